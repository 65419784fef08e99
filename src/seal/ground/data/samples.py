"""One record for every data set: a query about a video, and the spans that answer it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from seal.errors import DataError
from seal.types import Span

# Annotated times and stated durations are rounded, and containers and annotators disagree on where
# a video ends: so much past it is cut off, more is a wrong annotation.
_SLACK_S = 1.0


class SampleError(DataError):
    """A query that cannot be used; `reason` is the same for all with the same fault."""

    def __init__(self, item: str, reason: str, came: object) -> None:
        super().__init__(f"{item}: {reason} ({came})")
        self.item, self.reason = item, reason


class SplitPart(NamedTuple):
    """Where in a longer video a clip was taken from."""

    video: str
    span: Span


@dataclass(frozen=True)
class Sample:
    """A query about a video, and the spans that answer it.

    Raises SampleError without text, duration, or span inside the video that is longer than nothing.
    """

    video: str
    """What its file is called, without the suffix; features are too."""
    duration_s: float
    query: str
    spans: tuple[Span, ...]
    """In seconds from the video's start; empty where a test split withholds them."""
    annotation: str
    """What the data set calls the annotation; that of several queries may be the same."""
    index: int
    """Which query of the annotation it is, from 0."""
    split: str
    part_of: SplitPart | None = None
    """Of what the video is a clip."""

    def __post_init__(self) -> None:
        if not self.query:
            raise SampleError(self.item, "no text", repr(self.query))
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise SampleError(self.item, "no duration of the video", self.duration_s)
        for span in self.spans:
            came = f"{span.start_s} to {span.end_s} s of {self.duration_s} s"
            if span.start_s < 0 or span.end_s > self.duration_s:
                raise SampleError(self.item, "a span outside the video", came)
            if span.duration_s == 0:
                raise SampleError(self.item, "a span of no length", came)

    @property
    def id(self) -> str:
        """Unique in a split."""
        return f"{self.annotation}_{self.index}"

    @property
    def item(self) -> str:
        """The sample as errors name it."""
        return _item(self.annotation, self.index, self.video)


class Skipped(NamedTuple):
    """A query that was left out of a data set."""

    item: str
    reason: str
    message: str
    """All that is to be said."""


@dataclass(frozen=True)
class Dataset:
    """The queries of one split that can be used, and those that cannot."""

    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = ()

    def reasons(self) -> dict[str, int]:
        """How many queries were skipped, by reason."""
        return dict(Counter(skipped.reason for skipped in self.skipped))


@dataclass(frozen=True)
class SourceRow:
    """A query as a data set has it: nothing is checked yet."""

    video: str
    duration_s: Any
    query: Any
    times_s: Sequence[Any] | None
    """Pairs of start and end; None where they are withheld."""
    annotation: str
    index: int
    part_of: SplitPart | None = None


def collect(rows: Iterable[SourceRow], split: str) -> Dataset:
    """The rows as samples; those that cannot be are left out and told of."""
    samples, skipped = [], []
    for row in rows:
        try:
            sample = _sample(row, split)
        except SampleError as error:
            skipped.append(Skipped(error.item, error.reason, str(error)))
            continue
        samples.append(sample)
    return Dataset(tuple(samples), tuple(skipped))


def _sample(row: SourceRow, split: str) -> Sample:
    item = _item(row.annotation, row.index, row.video)
    query = row.query.strip() if isinstance(row.query, str) else ""
    duration_s = _number(item, row.duration_s)
    spans = tuple(_span(item, times_s, duration_s) for times_s in row.times_s or ())
    if row.times_s is not None and not spans:
        raise SampleError(item, "no span", row.times_s)
    return Sample(
        row.video, duration_s, query, spans, row.annotation, row.index, split, row.part_of
    )


def _span(item: str, times_s: Any, duration_s: float) -> Span:
    """The span of a pair; what lies outside of the video by no more than the slack is cut off."""
    if not isinstance(times_s, Sequence) or len(times_s) != 2:
        raise SampleError(item, "not a start and an end", times_s)
    start_s, end_s = (_number(item, time_s) for time_s in times_s)
    if end_s < start_s:
        raise SampleError(item, "a span that ends before it starts", f"{start_s} to {end_s} s")
    if -_SLACK_S <= start_s < 0 <= end_s:
        start_s = 0.0
    if start_s <= duration_s < end_s <= duration_s + _SLACK_S:
        end_s = duration_s
    return Span(start_s, end_s)


def _number(item: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise SampleError(item, "not a number", repr(value))
    return number


def _item(annotation: str, index: int, video: str) -> str:
    return f"query {index} of {annotation}, video {video}"
