"""What `seal watch` gives back: one result for each window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seal.attention.streaming import Standing
from seal.clock import clock, span_clock
from seal.printing import printable, printable_lines
from seal.results import Answer, Match, Result, match_json
from seal.rows import moments_json, token_json, token_line
from seal.types import Moment
from seal.video import Gap, Note


@dataclass(frozen=True, eq=False)
class Answered(Result):
    """What came of asking a model a standing question once."""

    question: str
    until_s: float
    """The end of the window after which it was asked: what came later is not in the evidence."""
    answer: Answer | None
    """None where the model failed."""
    failure: str
    """Why there is no answer; empty where there is one."""
    asked: int
    """How often the question has been asked by now, this time included."""
    failed: int
    """How often the model has failed at it by now."""

    def to_json(self) -> dict[str, Any]:
        times = {"until_s": self.until_s, "asked": self.asked, "failed": self.failed}
        if self.answer is None:
            return {**times, "failure": self.failure, "answer": None}
        return {**times, "failure": None, **self.answer.to_json()}

    def __str__(self) -> str:
        head = f"{printable(self.question)} (until {clock(self.until_s)})"
        if self.answer is None:
            return f"{head}: no answer, {self.told}"
        answer = self.answer
        cited = [token_line(answer.evidence, row) for row in answer.cited.tolist()]
        lines = [*printable_lines(answer.text or "").splitlines(), *cited]
        return "\n    ".join([f"{head}:", *lines, *map(printable, answer.notes)])

    @property
    def told(self) -> str:
        """The failure as a line says it."""
        return f"{self.failed} of {self.asked} failed: {self.failure}"


@dataclass(frozen=True, eq=False)
class Window(Result):
    """What one window brought, and what is chosen after it."""

    source: str
    number: int
    start_s: float
    """The start of the window's first picture, on the clock of the source's first picture."""
    end_s: float
    """The end of the window's last picture, analysed or not."""
    counts: Mapping[str, int]
    """kind -> number of tokens."""
    gaps: list[Gap]
    """The stretches that could not be seen since the previous window."""
    notes: list[Note]
    """What was noticed about the source since then, such as a clock that restarts."""
    choices: list[Standing]
    """The queries, each with its chosen tokens."""
    matches: list[Match | None]
    """For each of `choices`, whether this window shows what the query says; None where nothing is
    asked."""
    moments: list[list[Moment]] | None = None
    """For each of `choices`, what a trained head finds among its tokens; None without a head."""
    answers: list[Answered] | None = None
    """The answers that have come since the previous window, at most one for each question; None
    without an answerer."""

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "window": self.number,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "tokens": dict(self.counts),
            "gaps": [[gap.span.start_s, gap.span.end_s, gap.reason] for gap in self.gaps],
            "notes": [[note.time_s, note.text] for note in self.notes],
            "queries": self._queries_json(),
        }

    def _queries_json(self) -> list[dict[str, Any]]:
        queries = [_standing_json(standing) for standing in self.choices]
        for query, match in zip(queries, self.matches, strict=True):
            query["match"] = match_json(match)
        for query, moments in zip(queries, self.moments or (), strict=False):
            query["moments"] = moments_json(moments)
        if self.answers is not None:
            came = {each.question: each.to_json() for each in self.answers}
            for query in queries:
                query["answer"] = came.get(query["query"])
        return queries

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {kind}" for kind, n in self.counts.items())
        missing_s = sum(gap.span.duration_s for gap in self.gaps)
        parts = [f"{span_clock(self.start_s, self.end_s)}  {counts or 'nothing new'}"]
        parts += [f"{clock(missing_s)} missing"] if missing_s else []
        parts += [f"at {clock(note.time_s)} {note.text}" for note in self.notes]
        lines = [
            _standing_line(standing)
            + (
                f", {match.verdict} (probability {match.probability:.2f}) in this window"
                if match
                else ""
            )
            for standing, match in zip(self.choices, self.matches, strict=True)
        ]
        for i, moments in enumerate(self.moments or ()):
            if moments:
                best = moments[0].span
                lines[i] += f", moment {span_clock(best.start_s, best.end_s)}"
        answers = [f"  {each}" for each in self.answers or ()]
        return "\n".join(["  ".join(parts + lines), *answers])


def _standing_json(standing: Standing) -> dict[str, Any]:
    """A standing query and the tokens chosen for it, as JSON."""
    tokens, choice = standing.tokens, standing.selection
    rows = [
        token_json(tokens, row) | {"relevance": float(relevance)}
        for row, relevance in enumerate(choice.relevance)
    ]
    return {
        "query": standing.text or None,
        "selection": rows,
        "objective": choice.objective,
        "upper_bound": choice.upper_bound,
        "gap": choice.gap,
    }


def _standing_line(standing: Standing) -> str:
    """How many tokens are chosen for a query, and the most relevant of them."""
    tokens, relevance = standing.tokens, standing.selection.relevance
    line = f"{len(tokens)} chosen"
    if standing.text:
        line = f"{printable(standing.text)}: {line}"
        if len(tokens):
            row = int(relevance.argmax())
            start = clock(float(tokens.start_s[row]))
            line += f", best {tokens.ids[row]} at {start} {relevance[row]:+.3f}"
    return line
