"""What every interface gives back: the command line, Python, notebooks, and whatever serves them.

Each result has `to_json()`, the only place where its JSON is made, prints itself in a terminal, and
has `_repr_html_()` for notebooks. Times are presentation timestamps in seconds, boxes normalised
x0 y0 x1 y1.

`from_json` reads what `to_json` has written: such a result prints itself alike and has no
embeddings. Its further arguments are what the JSON leaves out, because whoever asks knows it. It
raises KeyError, TypeError or ValueError for other values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from seal.printing import printable, printable_lines
from seal.rows import (
    found_by_json,
    html_table,
    moment_lines,
    moments_from_json,
    moments_json,
    token_json,
    token_line,
    tokens_from_json,
    track_json,
)
from seal.types import Float32, Int64, Mask, Moment, Strings, Tokens

Verdict = Literal["likely", "unsure", "unlikely"]
FOUND_BY = ("picture", "words", "passage", "meaning")
"""What speaks most for a token: what it shows; or its words, those around it, or what they mean."""


class Result(ABC):
    """What a call gives back."""

    @abstractmethod
    def to_json(self) -> Any:
        """JSON-able values: dicts, lists, strings, finite numbers, booleans and None."""

    @abstractmethod
    def __str__(self) -> str:
        """The result for a terminal, over several lines and without a line end."""

    def _repr_html_(self) -> str:
        """The result for a notebook."""
        return f"<pre>{escape(str(self))}</pre>"


@dataclass(frozen=True)
class Match:
    """Whether a video shows what was asked at all."""

    verdict: Verdict
    probability: float
    """That the video shows it, where one query in fourteen is about something that is there."""
    doubt: str = ""
    """Why the verdict is worth little, as a sentence; empty where it is not."""

    def to_json(self) -> dict[str, Any]:
        """`verdict` and `probability`, and `doubt` where the verdict is worth little."""
        doubt = {"doubt": self.doubt} if self.doubt else {}
        return {"verdict": self.verdict, "probability": self.probability, **doubt}

    @staticmethod
    def from_json(values: Mapping[str, Any] | None) -> Match | None:
        """A match, or None, as `match_json` has written it."""
        return None if values is None else Match(**values)

    @property
    def short(self) -> str:
        """The verdict and its probability."""
        return f"{self.verdict} (probability {self.probability:.2f})"

    def __str__(self) -> str:
        closest = "" if self.verdict == "likely" else "; this comes closest"
        return self.short + closest + (f"\n{self.doubt}" if self.doubt else "")


def match_lines(match: Match | None) -> list[str]:
    """The verdict for a terminal, alike wherever it is printed; nothing where nobody can tell."""
    return [] if match is None else [str(match)]


def match_json(match: Match | None) -> dict[str, Any] | None:
    """A match as JSON: null where the encoder is not calibrated and nobody can tell."""
    return None if match is None else match.to_json()


@dataclass(frozen=True, eq=False)
class Found(Result):
    """The moments that a query describes."""

    query: str
    match: Match | None
    """None where the encoder is not calibrated."""
    moments: list[Moment]
    """Best first."""
    several: bool = False
    """Whether every video was asked: then the terminal names the video of each moment."""

    def to_json(self) -> dict[str, Any]:
        return {"match": match_json(self.match), "moments": moments_json(self.moments)}

    @staticmethod
    def from_json(values: Mapping[str, Any], query: str, several: bool = False) -> Found:
        """What `to_json` has written."""
        match, moments = Match.from_json(values["match"]), moments_from_json(values["moments"])
        return Found(query, match, moments, several)

    def __str__(self) -> str:
        moments = moment_lines(self.moments, self.several) or ["no moment stands out"]
        return "\n".join([*match_lines(self.match), *moments])

    def __iter__(self) -> Any:
        return iter(self.moments)

    def __len__(self) -> int:
        return len(self.moments)


@dataclass(frozen=True, eq=False)
class TokenList(Result):
    """The tokens of a video."""

    tokens: Tokens

    def to_json(self) -> list[dict[str, Any]]:
        return [
            token_json(self.tokens, row) | track_json(self.tokens, row)
            for row in range(len(self.tokens))
        ]

    @staticmethod
    def from_json(rows: Sequence[Mapping[str, Any]], video: str = "") -> TokenList:
        """What `to_json` has written of the tokens of a video."""
        return TokenList(tokens_from_json(rows, video))

    def __str__(self) -> str:
        return "\n".join(token_line(self.tokens, row) for row in range(len(self.tokens)))

    def _repr_html_(self) -> str:
        return html_table(self.to_json(), ("id", "start_s", "end_s", "text"))

    def __len__(self) -> int:
        return len(self.tokens)


class Reach(NamedTuple):
    """How far what is as relevant as the answers can be from what is selected."""

    relevance: float
    """That of the least relevant answer."""
    within_s: float
    """Every token at least as relevant lies this close in time to a selected token."""


@dataclass(frozen=True, eq=False)
class Selection(Result):
    """The tokens worth looking at for a query, in the order chosen, with a bound on the best."""

    query: str
    tokens: Tokens
    """[k]"""
    relevance: Float32
    """[k] R of each token to the query, in [-1, 1]."""
    is_answer: Mask
    """[k] whether a token was chosen for the query, or for the rest of the video."""
    match: Match | None
    objective: float
    """The objective's value."""
    upper_bound: float
    """No other choice of this size (or within this budget) can score higher than the bound."""
    gap: float
    """(upper_bound - objective) / |upper_bound|; 0 proves that the choice is the best."""
    cost: float
    """What the tokens take of the budget."""
    seconds: float
    """How long the selection took."""
    candidates: int
    """The number of tokens that they were chosen from."""
    reach: Reach | None
    """None where no token is an answer, and where every video was asked."""
    found_by: Strings
    """[k] what speaks most for each token, one of `FOUND_BY`."""
    several: bool = False
    """Whether every video was asked: then the terminal names the video of each token."""

    @property
    def answers(self) -> Tokens:
        """The tokens that were chosen for the query."""
        return self.tokens.take(self.is_answer)

    @property
    def context(self) -> Tokens:
        """The tokens that were chosen for the rest of the video."""
        return self.tokens.take(~self.is_answer)

    def __len__(self) -> int:
        return len(self.tokens)

    def rows_json(self) -> list[dict[str, Any]]:
        """The tokens as JSON."""
        tokens = self.tokens
        return [
            token_json(tokens, row)
            | {
                "video": str(tokens.video_ids[row]),
                "role": "answer" if self.is_answer[row] else "context",
                "relevance": float(self.relevance[row]),
            }
            | found_by_json(str(self.found_by[row]))
            for row in range(len(tokens))
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "selection": self.rows_json(),
            "match": match_json(self.match),
            "objective": self.objective,
            "upper_bound": self.upper_bound,
            "gap": self.gap,
            "reach": None if self.reach is None else self.reach._asdict(),
            "cost": self.cost,
            "candidates": self.candidates,
            "seconds": self.seconds,
        }

    @staticmethod
    def from_json(values: Mapping[str, Any], query: str, several: bool = False) -> Selection:
        """What `to_json` has written."""
        rows, reach = values["selection"], values["reach"]
        names = ("objective", "upper_bound", "gap", "cost", "candidates", "seconds")
        return Selection(
            query=query,
            tokens=tokens_from_json(rows),
            relevance=np.array([row["relevance"] for row in rows], np.float32),
            is_answer=np.array([row["role"] == "answer" for row in rows], bool),
            found_by=np.array([row.get("found_by", "picture") for row in rows], np.str_),
            match=Match.from_json(values["match"]),
            reach=None if reach is None else Reach(**reach),
            several=several,
            **{name: values[name] for name in names},
        )

    def __str__(self) -> str:
        lines = match_lines(self.match)
        for row, relevance in enumerate(self.relevance):
            role = "answer " if self.is_answer[row] else "context"
            lines.append(f"{token_line(self.tokens, row, self.several)}  {relevance:+.3f}  {role}")
        lines.append(f"{len(self)} tokens, which take {self.cost:g} of the budget.")
        lines.append(
            f"No other choice within the budget scores above {self.upper_bound:.4g}; this one has"
            f" {self.objective:.4g}{self._less()}."
        )
        if self.reach is not None:
            lines.append(
                f"Every token of relevance {self.reach.relevance:.3f} or more lies within"
                f" {self.reach.within_s:.1f} s of a selected token."
            )
        return "\n".join(lines)

    def _less(self) -> str:
        """How far the choice may be from the best one, as the end of a sentence."""
        if self.gap < 5e-4:
            return ": it is the best choice"
        # A share of a bound near zero, or of one on the other side of zero, says nothing.
        return f", {self.gap:.1%} less" if self.objective > 0 else ""

    def _repr_html_(self) -> str:
        return html_table(
            self.rows_json(), ("id", "video", "role", "start_s", "end_s", "text", "relevance")
        )


@dataclass(frozen=True, eq=False)
class Answer(Result):
    """What a model says of a question, and the evidence that it was shown."""

    text: str | None
    """None where no model is set: then the evidence and the moments are the answer."""
    evidence: Tokens
    """[k] the tokens that the model was shown, in order of time."""
    relevance: Float32
    """[k] R of each of them to the question, in [-1, 1]."""
    cited: Int64
    """Rows of `evidence` at the times that the text cites."""
    moments: list[Moment]
    """Where the video is about the question, best first."""
    choice: str = ""
    """Of a question with options: the letter of the one chosen; "" for none."""
    without: str | None = None
    """The model's second answer, given without the cited evidence; None if it was not asked."""
    changed: bool | None = None
    """Whether the second answer differs."""
    cut: str = ""
    """Why the text ends before it is whole; "" where it is whole."""
    notes: tuple[str, ...] = ()
    """What else there is to know, such as cited times at which nothing was shown."""
    model: str | None = None
    """The back end and the model that answered."""
    seconds: float = 0.0
    """How long the answer took."""
    match: Match | None = None
    """Whether the video shows what is asked about; None where the encoder is not calibrated."""
    several: bool = False
    """Whether every video was asked: then the terminal names the video of each piece."""

    @property
    def citations(self) -> Tokens:
        """The tokens at the times that the text cites."""
        return self.evidence.take(self.cited)

    def _rows(self) -> list[dict[str, Any]]:
        cited = set(self.cited.tolist())
        return [
            token_json(self.evidence, row)
            | {
                "video": str(self.evidence.video_ids[row]),
                "relevance": float(self.relevance[row]),
                "cited": row in cited,
            }
            for row in range(len(self.evidence))
        ]

    def to_json(self) -> dict[str, Any]:
        rows = self._rows()
        values: dict[str, Any] = {
            "answer": self.text,
            "citations": [
                {key: row[key] for key in ("id", "video", "start_s", "end_s")}
                for row in rows
                if row["cited"]
            ],
            "evidence": rows,
            "match": match_json(self.match),
            "moments": moments_json(self.moments),
            "notes": list(self.notes),
            "model": self.model,
            "seconds": self.seconds,
        }
        if self.choice:
            values["choice"] = self.choice
        if self.changed is not None:
            values["without_cited"] = {"answer": self.without, "changed": self.changed}
        if self.cut:
            values["cut"] = self.cut
        return values

    @staticmethod
    def from_json(values: Mapping[str, Any], several: bool = False) -> Answer:
        """What `to_json` has written."""
        rows, without = values["evidence"], values.get("without_cited", {})
        return Answer(
            text=values["answer"],
            evidence=tokens_from_json(rows),
            relevance=np.array([row["relevance"] for row in rows], np.float32),
            cited=np.flatnonzero([row["cited"] for row in rows]),
            moments=moments_from_json(values["moments"]),
            match=Match.from_json(values.get("match")),
            choice=values.get("choice", ""),
            without=without.get("answer"),
            changed=without.get("changed"),
            cut=values.get("cut", ""),
            notes=tuple(values["notes"]),
            model=values["model"],
            seconds=values["seconds"],
            several=several,
        )

    def besides_text(self, in_dialogue: bool = False) -> str:
        """All but text and notes, for where the text was printed as it was written.

        Evidence is listed as far as it is cited, and as a whole without a model. A dialogue has
        shown most of it before, and counts it `in_dialogue`.
        """
        lines = []
        if self.text is None:
            lines = [*match_lines(self.match), *moment_lines(self.moments, self.several)]
        if self.choice:
            lines += ["", f"option {self.choice}"]
        if self.text is None:
            rows, head = ([], "") if in_dialogue else (list(range(len(self.evidence))), ":")
        else:
            rows = self.cited.tolist()
            head = ", of which cited:" if rows else ", none of them cited"
        lines += ["", f"{len(self.evidence)} pieces of evidence{head}"]
        for row in rows:
            line = token_line(self.evidence, row, self.several)
            lines.append(f"{line}  {self.relevance[row]:+.3f}")
        if self.changed is not None:
            verb = "changes" if self.changed else "stays the same"
            lines += ["", f"without them the answer {verb}: {printable_lines(self.without or '')}"]
        return "\n".join(lines)

    def __str__(self) -> str:
        text = [] if self.text is None else [printable_lines(self.text)]
        return "\n".join([*text, self.besides_text(), *map(printable, self.notes)])


@dataclass(frozen=True, eq=False)
class Shown(Result):
    """A storyboard that was written to a file."""

    output: Path
    selection: Selection
    found: Found
    videos: list[str]
    """The ids of the videos that it is about."""

    def to_json(self) -> dict[str, Any]:
        return {
            "videos": self.videos,
            "output": str(self.output),
            "tokens": len(self.selection),
            "match": match_json(self.found.match),
        }

    def __str__(self) -> str:
        about = self.videos[0] if len(self.videos) == 1 else f"{len(self.videos)} videos"
        line = f"{printable(str(self.output))}: {len(self.selection)} tokens of {about}"
        return "\n".join([line, *match_lines(self.found.match)])
