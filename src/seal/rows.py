"""One token and one moment: as JSON, on a line of a terminal, and read back from JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from html import escape
from math import lcm
from typing import Any

import numpy as np

from seal.clock import span_clock
from seal.printing import printable
from seal.types import WHOLE_FRAME, Float64, Moment, Span, Tokens

_TICKS_PER_S = tuple(10**digits for digits in range(3, 10))
"""Few ticks are looked for first: a time is near many numbers of many ticks."""
_LONGEST = 2**62
"""Columns of ticks and of their lengths hold larger numbers."""


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
        | found_by_json(moment.found_by)
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


def found_by_json(by: str) -> dict[str, str]:
    """What speaks for a token that has words; a picture can only be found by what it shows."""
    return {} if by == "picture" else {"found_by": by}


def _said(moment: Moment) -> str:
    """The words by which a moment was found, as a line of a terminal ends."""
    return f'  "{printable(moment.text)}" (found by {moment.found_by})' if moment.text else ""


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


def track_json(tokens: Tokens, row: int) -> dict[str, Any]:
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


def moments_from_json(rows: Sequence[Mapping[str, Any]]) -> list[Moment]:
    """What `moments_json` has written.

    Raises KeyError, TypeError or ValueError for other values.
    """
    return [
        Moment(
            span=Span(row["start_s"], row["end_s"]),
            score=row["score"],
            video=row["video"],
            token=row["token"],
            found_by=row.get("found_by", "picture"),
            text=row.get("text", ""),
        )
        for row in rows
    ]


def tokens_from_json(rows: Sequence[Mapping[str, Any]], video: str = "") -> Tokens:
    """The tokens of which `token_json` and `track_json` have written the rows, in their order.

    The tokens have no embeddings: `embeddings` is [n, 0]. `video` is the video of rows that do not
    name one. Raises KeyError, TypeError or ValueError for other values.
    """
    times = [_ticks(row["start_s"], row["end_s"]) for row in rows]
    tokens = Tokens.of(
        kinds=[row["kind"] for row in rows],
        pts=[pts for pts, _ in times],
        tick=[tick for _, tick in times],
        facets=np.empty((len(rows), 1, 0), np.float32),
        ids=[row["id"] for row in rows],
        boxes=[row["box"] for row in rows] or None,
        scores=[row["score"] for row in rows],
        text=[row["text"] for row in rows],
        tracks=[_track(row) for row in rows],
    )
    videos = np.array([row.get("video", video) for row in rows], np.str_)
    return replace(tokens, video_ids=videos)


def _track(row: Mapping[str, Any]) -> Float64:
    """[m, 5] what `track_json` has written: boxes over time, or the starts of words."""
    said = [[time_s, *WHOLE_FRAME] for time_s, _ in row.get("words", ())]
    return np.array(said or row.get("track") or (), np.float64).reshape(-1, 5)


def _ticks(start_s: float, end_s: float) -> tuple[tuple[int, int], Fraction]:
    """A span in ticks, and the tick, of which the same numbers come again.

    A float is a whole number of some power of two. Where a span begins so near to 0 that its end
    has too many of such ticks, those of a usual time base are looked for, or halves of them.
    """
    times = {start_s: Fraction(start_s), end_s: Fraction(end_s)}
    # Both columns have to hold their numbers.
    finest = _LONGEST / max(1.0, abs(start_s), abs(end_s))
    for per_s in _likely(times):
        gives = (round(exact * per_s) / per_s == time_s for time_s, exact in times.items())
        if per_s <= finest and all(gives):
            break
    else:
        per_s = _TICKS_PER_S[-1]
    return (round(times[start_s] * per_s), round(times[end_s] * per_s)), Fraction(1, per_s)


def _likely(times: Mapping[float, Fraction]) -> Iterator[int]:
    """Ticks in a second of which whole numbers may give these times."""
    yield max(exact.denominator for exact in times.values())
    usual = [_ticks_per_s(time_s) for time_s in times]
    yield lcm(*usual)
    for halvings in range(_LONGEST.bit_length()):
        yield usual[0] << halvings


def _ticks_per_s(time_s: float) -> int:
    """The fewest ticks in a second of which a whole number gives this time."""
    exact = Fraction(time_s)
    near = (exact.limit_denominator(most) for most in _TICKS_PER_S)
    return next((one.denominator for one in near if float(one) == time_s), _TICKS_PER_S[-1])
