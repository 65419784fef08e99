"""What every interface gives back: the command line, Python, notebooks, and whatever serves them.

Each result has `to_json()`, the only place where its JSON is made, prints itself in a terminal, and
has `_repr_html_()` for notebooks. Times are presentation timestamps in seconds, boxes normalised
x0 y0 x1 y1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple

from seal.clock import span_clock
from seal.printing import printable, printable_lines
from seal.types import Float32, Int64, Mask, Moment, Strings, Tokens

Verdict = Literal["likely", "unsure", "unlikely"]
FOUND_BY = ("picture", "words", "passage", "meaning")
"""What speaks most for a token: what it shows; or its words, those around it, or what they mean."""


CLOSEST: dict[Verdict, str] = {
    "likely": "",
    "unsure": "\nperhaps it is not there; these come closest",
    "unlikely": "\nnothing matches; these come closest",
}


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
        return {"verdict": self.verdict, "probability": self.probability}


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

    def __str__(self) -> str:
        lines = moment_lines(self.moments, self.several)
        if self.match is not None and self.match.verdict != "likely":
            said = "nothing matches" if self.match.verdict == "unlikely" else "perhaps not there"
            closest = "; what comes closest:" if lines else ""
            lines.insert(0, f"{said} (probability {self.match.probability:.2f}){closest}")
        if self.match is not None and self.match.doubt:
            lines.append(self.match.doubt)
        return "\n".join(lines or ["no moment stands out"])

    def __iter__(self) -> Any:
        return iter(self.moments)

    def __len__(self) -> int:
        return len(self.moments)


def moments_json(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    """Moments as JSON."""
    return [
        {
            "video": moment.video,
            "start_s": moment.span.start_s,
            "end_s": moment.span.end_s,
            "score": moment.score,
            "token": moment.token,
        }
        | _found_by_json(moment.found_by)
        | ({"text": moment.text} if moment.text else {})
        for moment in moments
    ]


def moment_lines(moments: Sequence[Moment], several: bool = False) -> list[str]:
    """A line for each moment; it names the video where there are several."""
    return [
        f"{moment.video + '  ' if several else ''}"
        f"{span_clock(moment.span.start_s, moment.span.end_s)}  score {moment.score:.3f}"
        f"{_said(moment)}"
        for moment in moments
    ]


def _found_by_json(by: str) -> dict[str, str]:
    """What speaks for a token that has words; a picture can only be found by what it shows."""
    return {} if by == "picture" else {"found_by": by}


def _said(moment: Moment) -> str:
    """The words by which a moment was found, as a line of a terminal ends."""
    return f'  "{printable(moment.text)}" (found by {moment.found_by})' if moment.text else ""


@dataclass(frozen=True, eq=False)
class TokenList(Result):
    """The tokens of a video."""

    tokens: Tokens

    def to_json(self) -> list[dict[str, Any]]:
        return [
            token_json(self.tokens, row) | _track_json(self.tokens, row)
            for row in range(len(self.tokens))
        ]

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
            | _found_by_json(str(self.found_by[row]))
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
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        lines = []
        for row, relevance in enumerate(self.relevance):
            role = "answer " if self.is_answer[row] else "context"
            lines.append(f"{token_line(self.tokens, row, self.several)}  {relevance:+.3f}  {role}")
        lines.append(
            f"No other choice within the budget scores above {self.upper_bound:.4g}; this one has"
            f" {self.objective:.4g}, {self.gap:.1%} less."
        )
        if self.reach is not None:
            lines.append(
                f"Every token of relevance {self.reach.relevance:.3f} or more lies within"
                f" {self.reach.within_s:.1f} s of a selected token."
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_table(
            self.rows_json(), ("id", "video", "role", "start_s", "end_s", "text", "relevance")
        )


def token_json(tokens: Tokens, row: int) -> dict[str, Any]:
    """One token as JSON."""
    return {
        "id": str(tokens.ids[row]),
        "kind": str(tokens.kinds[row]),
        "start_s": float(tokens.start_s[row]),
        "end_s": float(tokens.end_s[row]),
        "box": tokens.boxes[row].tolist(),
        "text": str(tokens.text[row]),
        "score": float(tokens.scores[row]),
    }


def _track_json(tokens: Tokens, row: int) -> dict[str, Any]:
    """Where a token is over time, or when each of its words is said."""
    track = tokens.track(row)
    if not tokens.kind(row).has_word_times:
        return {"track": track.tolist()}
    words = str(tokens.text[row]).split()
    return {
        "track": [],
        "words": [[*pair] for pair in zip(track[:, 0].tolist(), words, strict=False)],
    }


def token_line(tokens: Tokens, row: int, several: bool = False) -> str:
    """One token on a line of a terminal; the line names the video where there are several."""
    box = " ".join(f"{value:.3f}" for value in tokens.boxes[row])
    span = span_clock(float(tokens.start_s[row]), float(tokens.end_s[row]))
    text = f'  "{printable(tokens.words(row))}"' if tokens.text[row] else ""
    video = f"{tokens.video_ids[row]}  " if several else ""
    return f"{video}{tokens.ids[row]:17s} {span}  [{box}]{text}"


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
            "moments": moments_json(self.moments),
            "notes": list(self.notes),
            "model": self.model,
            "seconds": self.seconds,
        }
        if self.choice:
            values["choice"] = self.choice
        if self.changed is not None:
            values["without_cited"] = {"answer": self.without, "changed": self.changed}
        return values

    def besides_text(self) -> str:
        """All but text and notes, for where the text was printed as it was written."""
        lines = moment_lines(self.moments, self.several) if self.text is None else []
        if self.choice:
            lines += ["", f"option {self.choice}"]
        head = ", of which cited:" if len(self.cited) else ""
        lines += ["", f"{len(self.evidence)} pieces of evidence{head}"]
        for row in self.cited.tolist() or range(len(self.evidence)):
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
        match = self.found.match
        verdict = "likely" if match is None else match.verdict
        doubt = f"\n{match.doubt}" if match is not None and match.doubt else ""
        return line + CLOSEST[verdict] + doubt


def html_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as an HTML table, for notebooks."""
    head = "".join(f"<th>{column}</th>" for column in columns)
    cells = ([row[column] for column in columns] for row in rows)
    texts = (
        [f"{x:.2f}" if isinstance(x, float) else printable(str(x)) for x in line] for line in cells
    )
    lines = ("".join(f"<td>{escape(text)}</td>" for text in line) for line in texts)
    body = "".join(map("<tr>{}</tr>".format, lines))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
