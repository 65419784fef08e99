"""What a storyboard shows, and the geometry that its HTML and its PNG share.

Positions along the time axis are shares of it, in [0, 1]; times are presentation timestamps of the
container, in seconds.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from seal.clock import clock, span_clock
from seal.errors import OptionError
from seal.kinds import Kind
from seal.types import Float64, Int64, Moment, Selection, Tokens

# About two pixels of a 1,200 px wide lane each: finer bins could not be told apart, and the size of
# the page must not grow with the number of tokens.
_BINS = 600
# How many strengths of ink say how many tokens a bin holds; more are not distinguishable.
LEVELS = 4
# A phone has room for about eight time labels side by side once every second one is left out.
_MAX_TICKS = 10
_TICK_STEPS_S = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60 * m for m in (1, 2, 5, 10, 15, 30)),
    *(3600 * h for h in (1, 2, 3, 6, 12, 24)),
)
# The width of a moment's number on a phone, as a share of the axis: closer ones need two rows.
_LABEL_WIDTH = 0.07
# Width and height, in pixels, of a card that holds words in place of a picture.
_WORDS_SIZE = (320, 180)
# Enough for the eye to see a curve in a picture 320 px wide.
_MAX_PATH_POINTS = 48


@dataclass(frozen=True, eq=False)
class Storyboard:
    """The evidence for one query in one video: all that is drawn, and nothing to look up.

    Raises OptionError if the parts do not fit together or a thumbnail is not a picture.
    """

    title: str
    """The video's name."""
    query: str
    path: str
    """The video file or URL that "play" links lead to; no links where there is no such file."""
    start_s: float
    """Presentation time of the first frame. Media players call it 0."""
    duration_s: float
    tokens: Tokens
    """All tokens of the video."""
    selection: Selection
    """Rows into `tokens`."""
    thumbnails: list[bytes | None]
    """The whole frame of each selected token as JPEG, WebP or PNG, in the selection's order: the
    frame at the middle of its time. None for a token of a kind without pictures."""
    moments: list[Moment]
    """Best first."""
    curve: tuple[Float64, Float64]
    """Times in ascending order [m] and the relevance at these times [m]; may be empty."""
    facts: dict[str, str]
    """Settings that the last line names, such as {"profile": "mini"}."""
    has_match: bool
    """False where nothing in the video fits the query: what is shown merely comes closest."""

    def __post_init__(self) -> None:
        rows, n = self.selection.rows, len(self.tokens)
        if len(self.thumbnails) != len(rows) or len(self.selection.relevance) != len(rows):
            raise OptionError(
                f"a storyboard needs one thumbnail and one relevance for each of the {len(rows)}"
                f" selected tokens, got {len(self.thumbnails)} and {len(self.selection.relevance)}"
            )
        if ((rows < 0) | (rows >= n)).any():
            raise OptionError(f"the selection's rows must lie in [0, {n}), got {rows.tolist()}")
        if not math.isfinite(self.start_s) or not 0 <= self.duration_s < math.inf:
            raise OptionError(
                f"a storyboard needs a finite start and duration >= 0, got {self.start_s}"
                f" and {self.duration_s}"
            )
        times, relevance = self.curve
        if len(times) != len(relevance) or (np.diff(times) < 0).any():
            raise OptionError("the curve needs ascending times, and a relevance for each of them")

    @cached_property
    def axis(self) -> Axis:
        return Axis(self.start_s, self.duration_s)

    @cached_property
    def entries(self) -> list[Entry]:
        """The selected tokens in order of time, as a film is read."""
        order = np.argsort(self.tokens.start_s[self.selection.rows], kind="stable")
        return [self._entry(int(rank)) for rank in order]

    def _entry(self, rank: int) -> Entry:
        row, data = int(self.selection.rows[rank]), self.thumbnails[rank]
        size, mime = self._format(row, data)
        x0, y0, x1, y1 = (float(v) for v in self.tokens.boxes[row])
        width, height = size
        track = self.tokens.track(row)
        steps = np.linspace(0, len(track) - 1, min(len(track), _MAX_PATH_POINTS)).astype(int)
        centres = (track[steps, 1:3] + track[steps, 3:5]) / 2 * size
        start_s, end_s = float(self.tokens.start_s[row]), float(self.tokens.end_s[row])
        return Entry(
            rank=rank + 1,
            token_id=str(self.tokens.ids[row]),
            kind=self.tokens.kind(row),
            start_s=start_s,
            end_s=end_s,
            span=(self.axis.position(start_s), self.axis.position(end_s)),
            relevance=float(self.selection.relevance[rank]),
            thumbnail=data,
            mime=mime,
            size=size,
            box=(x0 * width, y0 * height, x1 * width, y1 * height),
            path=[(float(x), float(y)) for x, y in centres],
            text=str(self.tokens.text[row]),
        )

    def _format(self, row: int, data: bytes | None) -> tuple[tuple[int, int], str]:
        """Width and height of a thumbnail, and its MIME type."""
        if data is None:
            return _WORDS_SIZE, ""
        try:
            with Image.open(io.BytesIO(data)) as picture:
                return picture.size, Image.MIME[str(picture.format)]
        except UnidentifiedImageError:
            raise OptionError(
                f"the thumbnail of {self.tokens.ids[row]} is not a picture ({len(data)} bytes)"
            ) from None

    def density(self, kind: Kind) -> list[tuple[float, float, int]]:
        """Where tokens of a kind lie: spans (start, end, strength of 1 to `LEVELS`), no more than
        a fixed number however many tokens there are."""
        mine = self.tokens.kinds == kind.name
        if not mine.any():
            return []
        first = self._bins(self.tokens.start_s[mine])
        # The end of a span is not part of it, but every token is seen in at least one bin.
        last = np.maximum(first, self._bins(self.tokens.end_s[mine] - 1e-9))
        changes = np.zeros(_BINS + 1)
        np.add.at(changes, first, 1)
        np.add.at(changes, last + 1, -1)
        counts = np.cumsum(changes)[:-1]
        levels = np.ceil(counts / counts.max() * LEVELS).astype(int)
        edges = np.flatnonzero(np.diff(levels, prepend=-1, append=-1))
        return [
            (float(a / _BINS), float(b / _BINS), int(levels[a]))
            for a, b in pairwise(edges)
            if levels[a]
        ]

    def count(self, kind: Kind) -> int:
        return int((self.tokens.kinds == kind.name).sum())

    def _bins(self, times_s: Float64) -> Int64:
        shares = (times_s - self.start_s) / self.axis.length_s
        return np.clip(np.floor(shares * _BINS), 0, _BINS - 1).astype(np.int64)

    @cached_property
    def curve_points(self) -> tuple[Float64, Float64]:
        """The relevance curve with at most one point, the highest, for each bin of the axis."""
        times, relevance = self.curve
        if len(times) <= _BINS:
            return times, relevance
        bins = self._bins(times)
        # Sorted by relevance within each bin, the last of a bin is its peak.
        order = np.lexsort((relevance, bins))
        peaks = order[np.flatnonzero(np.diff(bins[order], append=_BINS))]
        return times[peaks], relevance[peaks]

    @cached_property
    def curve_range(self) -> tuple[float, float]:
        """The lowest and the highest relevance of the curve, drawn at its foot and its top."""
        relevance = self.curve_points[1]
        return (float(relevance.min()), float(relevance.max())) if len(relevance) else (0.0, 0.0)

    def curve_path(self) -> list[tuple[float, float]]:
        """The curve as points (x, y): x along the axis, y from 0 (lowest) to 1 (highest)."""
        times, relevance = self.curve_points
        low, high = self.curve_range
        height = (relevance - low) / (high - low) if high > low else np.full(len(relevance), 0.5)
        return [(self.axis.position(t), float(y)) for t, y in zip(times, height, strict=True)]

    def moment_rows(self) -> list[int]:
        """The row in which each moment's label stands so that labels do not overlap."""
        rows = [0] * len(self.moments)
        ends: list[float] = []
        for i in sorted(range(len(rows)), key=lambda i: self.moments[i].span.start_s):
            x = self.axis.position(self.moments[i].span.start_s)
            row = next((r for r, end in enumerate(ends) if end <= x), len(ends))
            ends[row : row + 1] = [x + _LABEL_WIDTH]
            rows[i] = row
        return rows

    def settings(self) -> dict[str, str]:
        """What the last line says: how good the selection is and how it was made."""
        chosen = self.selection
        bounded = math.isfinite(chosen.upper_bound)
        return {
            "selected": f"{len(chosen):,} of {len(self.tokens):,} tokens",
            "objective value": f"{chosen.objective:.4g}",
            "upper bound": f"{chosen.upper_bound:.4g}" if bounded else "none",
            "gap": f"{chosen.gap:.1%}" if bounded else "unknown",
            **self.facts,
        }

    def verdict(self) -> str:
        """What to say where nothing matches; empty where something does."""
        if self.has_match:
            return ""
        closest = " Shown below is what comes closest." if self.entries else ""
        return f"Nothing in this video matches the query.{closest}"

    def name(self) -> str:
        return self.title or PurePath(self.path).name


@dataclass(frozen=True)
class Axis:
    """The time axis of a video."""

    start_s: float
    duration_s: float

    @property
    def length_s(self) -> float:
        """The duration, but never 0: a video of one frame has an axis too."""
        return max(self.duration_s, 1e-3)

    def position(self, time_s: float) -> float:
        """Where a time lies, in [0, 1]; times outside the video lie at its ends."""
        return min(max((float(time_s) - self.start_s) / self.length_s, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """(position, label) of round times."""
        step = next((s for s in _TICK_STEPS_S if self.length_s / s <= _MAX_TICKS), None)
        if step is None:
            days = math.ceil(self.length_s / (_MAX_TICKS * 86400))
            step = days * 86400
        first = math.ceil(self.start_s / step - 1e-9)
        last = math.floor((self.start_s + self.length_s) / step + 1e-9)
        times = [i * step for i in range(first, last + 1)]
        return [(self.position(t), clock(t, tenths=step < 1)) for t in times]


@dataclass(frozen=True)
class Entry:
    """A selected token, ready to be drawn; lengths in pixels of its thumbnail."""

    rank: int
    """1 was selected first."""
    token_id: str
    kind: Kind
    start_s: float
    end_s: float
    span: tuple[float, float]
    """Start and end along the axis."""
    relevance: float
    thumbnail: bytes | None
    mime: str
    size: tuple[int, int]
    """Width and height; those of a card for words where there is no thumbnail."""
    box: tuple[float, float, float, float]
    """x0 y0 x1 y1."""
    path: list[tuple[float, float]]
    """Centres of the token's track in order of time; empty where it has none."""
    text: str
    """Its words, or ""."""

    @property
    def has_box(self) -> bool:
        """Whether there is a box to be drawn over a picture."""
        return self.thumbnail is not None and not self.kind.whole_frame

    def times(self) -> str:
        return self.time() if self.kind.instant else span_clock(self.start_s, self.end_s)

    def time(self) -> str:
        return clock(self.start_s)


__all__ = ["LEVELS", "Axis", "Entry", "Storyboard"]
