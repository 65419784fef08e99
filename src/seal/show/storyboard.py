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

from seal import kinds
from seal.clock import clock, span_clock
from seal.errors import OptionError
from seal.kinds import Kind
from seal.lookup import original
from seal.results import Found, Selection, Verdict
from seal.scope import Scope
from seal.store import VideoRecord
from seal.types import Choice, Float64, Int64, Mask, Moment, Tokens

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


@dataclass(frozen=True)
class Reel:
    """One video on the time axis of a storyboard."""

    video: str
    """Its id."""
    name: str
    """The name of its file."""
    path: str
    """The file or address that "play" links lead to; there are none where there is no such file."""
    start_s: float
    """Presentation time of the first frame. Media players call it 0."""
    duration_s: float

    @staticmethod
    def of(record: VideoRecord) -> Reel:
        """A video of a store."""
        name = PurePath(record.path).name
        return Reel(record.id, name, original(record), record.start_s, record.duration_s)


@dataclass(frozen=True, eq=False)
class Storyboard:
    """The evidence for one query: all that is drawn, and nothing to look up.

    Several videos follow one another on the time axis. Raises OptionError if the parts do not fit
    together or a thumbnail is not a picture.
    """

    query: str
    reels: list[Reel]
    """The videos, at least one, in the order of the time axis."""
    tokens: Tokens
    """The tokens that could be chosen."""
    selection: Choice
    """Rows into `tokens`."""
    is_answer: Mask
    """[k] whether each selected token was chosen for the query, or for the rest of the video."""
    thumbnails: list[bytes | None]
    """The whole frame of each selected token as JPEG, WebP or PNG, in the selection's order: the
    frame at the middle of its time. None for a token of a kind without pictures."""
    moments: list[Moment]
    """Best first."""
    curve: tuple[Float64, Float64]
    """Times in ascending order [m] and the relevance at these times [m]; may be empty."""
    threshold: float | None
    """The relevance from which a token is an answer; None where there is no such number."""
    facts: dict[str, str]
    """Settings that the last line names, such as {"profile": "mini"}."""
    verdict: Verdict
    """Whether anything fits the query; if it is not likely, what is shown merely comes closest."""
    doubt: str = ""
    """Why that is worth little."""

    def __post_init__(self) -> None:
        rows, n = self.selection.rows, len(self.tokens)
        columns = (self.thumbnails, self.selection.relevance, self.is_answer)
        if any(len(column) != len(rows) for column in columns):
            raise OptionError(
                f"a storyboard needs one thumbnail, relevance and role for each of the {len(rows)}"
                f" selected tokens, got {', '.join(str(len(column)) for column in columns)}"
            )
        if ((rows < 0) | (rows >= n)).any():
            raise OptionError(f"the selection's rows must lie in [0, {n}), got {rows.tolist()}")
        for reel in self.reels:
            if not math.isfinite(reel.start_s) or not 0 <= reel.duration_s < math.inf:
                raise OptionError(
                    f"a storyboard needs a finite start and duration >= 0, got {reel.start_s}"
                    f" and {reel.duration_s}"
                )
        times, relevance = self.curve
        if len(times) != len(relevance) or (np.diff(times) < 0).any():
            raise OptionError("the curve needs ascending times, and a relevance for each of them")

    @staticmethod
    def of(scope: Scope, selection: Selection, choice: Choice, found: Found) -> Storyboard:
        """The storyboard of what was selected and found in `scope`; `choice` has its rows."""
        facts = {
            "profile": scope.options.profile,
            "encoder": scope.content.encoder.fingerprint,
            "objective": scope.options.attention.objective,
        }
        if found.match is not None:
            facts["probability of a match"] = f"{found.match.probability:.2f}"
        times_s, relevance, threshold = np.empty(0), np.empty(0), None
        if scope.is_one:
            question = scope.content.question(found.query)
            curve, least = scope.curve(question), scope.least(question, scope.record)
            times_s, relevance = curve.times_s, curve.relevance
            threshold = least if math.isfinite(least) else None
        shown = selection.tokens.where(lambda kind: kind.has_picture)
        pictures = iter(scope.pictures(selection.tokens.take(shown)))
        return Storyboard(
            query=found.query,
            reels=[Reel.of(record) for record in scope.content.records],
            tokens=scope.tokens,
            selection=choice,
            is_answer=selection.is_answer,
            thumbnails=[next(pictures) if has_picture else None for has_picture in shown],
            moments=found.moments,
            curve=(times_s, relevance),
            threshold=threshold,
            facts=facts,
            verdict="likely" if found.match is None else found.match.verdict,
            doubt="" if found.match is None else found.match.doubt,
        )

    @cached_property
    def lanes(self) -> list[Kind]:
        """The kinds that have a lane: the paper's, and others of which there are tokens."""
        there = {*(kind.name for kind in kinds.SEEN), *self.tokens.kinds.tolist()}
        return [kind for name, kind in kinds.known().items() if name in there]

    @cached_property
    def axis(self) -> Axis:
        first = self.reels[0].start_s if len(self.reels) == 1 else 0.0
        return Axis(first, sum(reel.duration_s for reel in self.reels))

    @cached_property
    def _shift_s(self) -> dict[str, float]:
        """By video, what to add to its times so that it follows the one before it on the axis."""
        if len(self.reels) == 1:
            return {}
        ends_s = np.cumsum([reel.duration_s for reel in self.reels])
        begins_s = [0.0, *ends_s[:-1].tolist()]
        return {
            reel.video: begin_s - reel.start_s
            for reel, begin_s in zip(self.reels, begins_s, strict=True)
        }

    def position(self, time_s: float, video: str) -> float:
        """Where a time of a video lies on the axis, in [0, 1]."""
        return self.axis.position(time_s + self._shift_s.get(video, 0.0))

    def ticks(self) -> list[tuple[float, str]]:
        """(position, label): round times, or the start of each of several videos.

        A short video has no label, because its name would cover that of the next video.
        """
        if len(self.reels) == 1:
            return self.axis.ticks()
        shares = [reel.duration_s / self.axis.length_s for reel in self.reels]
        return [
            (self.position(reel.start_s, reel.video), reel.name if share >= 1 / _MAX_TICKS else "")
            for reel, share in zip(self.reels, shares, strict=True)
        ]

    @cached_property
    def entries(self) -> list[Entry]:
        """The selected tokens in order of time, as a film is read."""
        order = np.argsort(self._along_s(self.tokens.start_s)[self.selection.rows], kind="stable")
        return [self._entry(int(rank)) for rank in order]

    def _entry(self, rank: int) -> Entry:
        row, data = int(self.selection.rows[rank]), self.thumbnails[rank]
        size, mime = self._format(row, data)
        x0, y0, x1, y1 = (float(v) for v in self.tokens.boxes[row])
        width, height = size
        kind = self.tokens.kind(row)
        track = self.tokens.track(row) if kind.has_track else np.empty((0, 5))
        steps = np.linspace(0, len(track) - 1, min(len(track), _MAX_PATH_POINTS)).astype(int)
        centres = (track[steps, 1:3] + track[steps, 3:5]) / 2 * size
        start_s, end_s = float(self.tokens.start_s[row]), float(self.tokens.end_s[row])
        video = str(self.tokens.video_ids[row])
        return Entry(
            rank=rank + 1,
            token_id=str(self.tokens.ids[row]),
            kind=kind,
            start_s=start_s,
            end_s=end_s,
            video=video,
            name=self.reel(video).name if len(self.reels) > 1 else "",
            span=(self.position(start_s, video), self.position(end_s, video)),
            relevance=float(self.selection.relevance[rank]),
            is_answer=bool(self.is_answer[rank]),
            thumbnail=data,
            mime=mime,
            size=size,
            box=(x0 * width, y0 * height, x1 * width, y1 * height),
            path=[(float(x), float(y)) for x, y in centres],
            text=self.tokens.words(row),
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
        first = self._bins(self._along_s(self.tokens.start_s)[mine])
        # The end of a span is not part of it, but every token is seen in at least one bin.
        last = np.maximum(first, self._bins(self._along_s(self.tokens.end_s)[mine] - 1e-9))
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
        """How many tokens of a kind there are."""
        return int((self.tokens.kinds == kind.name).sum())

    def _along_s(self, times_s: Float64) -> Float64:
        """[n] times of the tokens, counted along the axis."""
        along_s = times_s.copy()
        for video, shift_s in self._shift_s.items():
            along_s[self.tokens.video_ids == video] += shift_s
        return along_s

    def reel(self, video: str) -> Reel:
        """The video of this id; the only one where ids do not matter."""
        return next((reel for reel in self.reels if reel.video == video), self.reels[0])

    def _bins(self, times_s: Float64) -> Int64:
        shares = (times_s - self.axis.start_s) / self.axis.length_s
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
        """The lowest and the highest relevance that is drawn, at the foot and the top: those of the
        curve, and the threshold."""
        relevance = self.curve_points[1]
        if not len(relevance):
            return 0.0, 0.0
        drawn = [*relevance[[relevance.argmin(), relevance.argmax()]].tolist()]
        drawn += [] if self.threshold is None else [self.threshold]
        return min(drawn), max(drawn)

    def curve_path(self) -> list[tuple[float, float]]:
        """The curve as points (x, y): x along the axis, y from 0 (lowest) to 1 (highest)."""
        times, relevance = self.curve_points
        return [
            (self.axis.position(t), self.height(float(y)))
            for t, y in zip(times, relevance, strict=True)
        ]

    def height(self, relevance: float) -> float:
        """Where a relevance is drawn, from 0 at the foot to 1 at the top."""
        low, high = self.curve_range
        return (relevance - low) / (high - low) if high > low else 0.5

    def moment_rows(self) -> list[int]:
        """The row in which each moment's label stands so that labels do not overlap."""
        rows = [0] * len(self.moments)
        ends: list[float] = []
        starts = [self.position(m.span.start_s, m.video) for m in self.moments]
        for i in sorted(range(len(rows)), key=starts.__getitem__):
            x = starts[i]
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

    def warning(self) -> str:
        """What to say where nothing is likely to match, or that is worth little; else empty."""
        said = f"{self.doubt}." if self.doubt else ""
        if self.verdict == "likely":
            return said
        where = "this video" if len(self.reels) == 1 else "these videos"
        closest = "Shown below is what comes closest." if self.entries else ""
        sentences = [f"A match in {where} is {self.verdict}.", closest, said]
        return " ".join(filter(None, sentences))

    def name(self) -> str:
        """What the storyboard is about."""
        return self.reels[0].name if len(self.reels) == 1 else f"{len(self.reels)} videos"

    def times(self, moment: Moment) -> str:
        """When a moment is, with the name of its video where there are several."""
        name = f"{self.reel(moment.video).name} " if len(self.reels) > 1 else ""
        return name + span_clock(moment.span.start_s, moment.span.end_s)


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
    video: str
    name: str
    """The name of the video's file where there are several videos; otherwise ""."""
    span: tuple[float, float]
    """Start and end along the axis."""
    relevance: float
    is_answer: bool
    """Whether it was chosen for the query, or for the rest of the video."""
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
        """When the token is, with the name of its video where there are several."""
        span = clock(self.start_s)
        if not self.kind.instant:
            span = span_clock(self.start_s, self.end_s)
        return f"{self.name} {span}" if self.name else span


__all__ = ["LEVELS", "Axis", "Entry", "Reel", "Storyboard"]
