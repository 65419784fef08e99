"""One record for every data set: a query about a video, and the spans that answer it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from seal.datacheck import Skipped, reasons
from seal.errors import DataError
from seal.types import Span

# Annotated times are rounded: a span may begin so much before its video. A span that begins more
# before it is a wrong annotation.
_SLACK_S = 1.0


class SampleError(DataError):
    """A query that cannot be used; `reason` is the same for all with the same fault."""

    def __init__(self, item: str, reason: str, came: object) -> None:
        super().__init__(f"{item}: {reason} ({came})")
        self.item, self.reason = item, reason

    def skipped(self) -> Skipped:
        """What is told of it where the rest of the data set is used."""
        return Skipped(self.item, self.reason, str(self))


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
        _check_duration(self.item, self.duration_s)
        for span in self.spans:
            _check(self.item, span, self.duration_s)

    @property
    def id(self) -> str:
        """Unique in a split."""
        return f"{self.annotation}_{self.index}"

    @property
    def item(self) -> str:
        """The sample as errors name it."""
        return _item(self.annotation, self.index, self.video)


@dataclass(frozen=True)
class Dataset:
    """The queries of one split that can be used, and those that cannot."""

    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = ()
    corrected: tuple[Skipped, ...] = ()
    """What was cut off or left out of the spans of the samples."""

    def reasons(self) -> dict[str, int]:
        """How many queries were skipped, by reason."""
        return reasons(self.skipped)

    def corrections(self) -> dict[str, int]:
        """How many spans were cut off or left out, by reason."""
        return reasons(self.corrected)


@dataclass(frozen=True)
class SourceRow:
    """A query as a data set has it: nothing is checked yet."""

    video: Any
    duration_s: Any
    query: Any
    times_s: Any
    """A list of pairs of start and end; None where they are withheld."""
    annotation: str
    index: int
    part_of: SplitPart | None = None


def collect(rows: Iterable[SourceRow | Skipped], split: str) -> Dataset:
    """The rows as samples; those that cannot be are left out and told of."""
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    corrected: list[Skipped] = []
    for row in rows:
        if isinstance(row, Skipped):
            skipped.append(row)
            continue
        try:
            sample, faults = _sample(row, split)
        except SampleError as error:
            skipped.append(error.skipped())
            continue
        samples.append(sample)
        corrected += faults
    return Dataset(tuple(samples), tuple(skipped), tuple(corrected))


def _sample(row: SourceRow, split: str) -> tuple[Sample, list[Skipped]]:
    """The sample of a row, and what was cut off or left out of its spans.

    Raises SampleError if the row has no span that can be used.
    """
    item = _item(row.annotation, row.index, row.video)
    if not isinstance(row.video, str):
        raise SampleError(item, "no name of a video", repr(row.video))
    query = row.query.strip() if isinstance(row.query, str) else ""
    duration_s = _number(item, row.duration_s)
    _check_duration(item, duration_s)
    times_s = () if row.times_s is None else row.times_s
    if not isinstance(times_s, list | tuple):
        raise SampleError(item, "no list of spans", repr(times_s))
    if row.times_s is not None and not times_s:
        raise SampleError(item, "no span", row.times_s)
    spans: list[Span] = []
    faults: list[SampleError] = []
    for pair in times_s:
        try:
            span, cuts = _span(item, pair, duration_s)
        except SampleError as error:
            faults.append(error)
            continue
        spans.append(span)
        faults += cuts
    if times_s and not spans:
        raise faults[0]
    sample = Sample(
        row.video, duration_s, query, tuple(spans), row.annotation, row.index, split, row.part_of
    )
    return sample, [fault.skipped() for fault in faults]


def _span(item: str, times_s: Any, duration_s: float) -> tuple[Span, list[SampleError]]:
    """The span of a pair, cut off where the video ends, or where it begins if the span begins
    before it by no more than the slack. Also what was cut off."""
    if not isinstance(times_s, list | tuple) or len(times_s) != 2:
        raise SampleError(item, "not a start and an end", times_s)
    start_s, end_s = (_number(item, time_s) for time_s in times_s)
    came, cuts = f"{start_s} to {end_s} s of {duration_s} s", []
    if end_s < start_s:
        raise SampleError(item, "a span that ends before it starts", came)
    if -_SLACK_S <= start_s < 0 <= end_s:
        start_s = 0.0
        cuts.append(SampleError(item, "a span that starts before the video, cut off", came))
    if start_s < duration_s < end_s:
        end_s = duration_s
        cuts.append(SampleError(item, "a span that ends after the video, cut off", came))
    span = Span(start_s, end_s)
    _check(item, span, duration_s)
    return span, cuts


def _check_duration(item: str, duration_s: float) -> None:
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise SampleError(item, "no duration of the video", duration_s)


def _check(item: str, span: Span, duration_s: float) -> None:
    came = f"{span.start_s} to {span.end_s} s of {duration_s} s"
    if span.start_s < 0 or span.end_s > duration_s:
        raise SampleError(item, "a span outside the video", came)
    if span.duration_s == 0:
        raise SampleError(item, "a span of no length", came)


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
