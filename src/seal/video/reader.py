"""One video, opened: what it is, and its analysed frames with their exact times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.types import Span
from seal.video.frame import Frame
from seal.video.picture import Converter, orientation, upright_size
from seal.video.sampling import Grid, Sampler
from seal.video.source import check_readable, has_no_end, is_address
from seal.video.stream import ContainerStream, ImageStream, Picture, Stream


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read."""

    source: str
    """As given."""
    start_s: float
    """Presentation time of the first picture, in seconds, as the container has it."""
    duration_s: float | None
    """None for live sources and where the length is not known."""
    width: int
    """Pixels of the picture made upright and square, before scaling; `height` likewise."""
    height: int
    rate_hz: float | None
    """Average pictures per second, for information only: times never come from it."""
    codec: str
    rotated: bool
    """The container says to turn or mirror the picture, which is done."""
    time_base: Fraction
    """Seconds per tick of all presentation timestamps."""
    is_live: bool
    size_bytes: int | None


@dataclass(frozen=True)
class Gap:
    """A stretch of the video that could not be read."""

    span: Span
    reason: str


def open_video(source: str | Path, options: VideoOptions, *, threads: int = 0) -> Video:
    """Open a file, an http(s) address, a live source or a folder of images.

    `threads` is how many the decoder may use; 0 is one per core.

    Raises VideoError if it cannot be read as video, OptionError for a live source without
    `max_duration_s`.
    """
    return Video(source, options, threads)


class Video:
    """An open video; a context manager that closes it."""

    info: VideoInfo
    gaps: list[Gap]
    """Stretches that were skipped, filled while frames are read."""

    def __init__(self, source: str | Path, options: VideoOptions, threads: int) -> None:
        is_live = has_no_end(source)
        if is_live and options.max_duration_s is None:
            raise OptionError(
                f"{source} is live and has no end: set video.max_duration_s to say how much to read"
            )
        check_readable(source)
        is_folder = not is_address(source) and Path(source).is_dir()
        self._options = options
        self._stream: Stream = (
            ImageStream(source, options.image_rate_hz)
            if is_folder
            else ContainerStream(source, threads, options.timeout_s)
        )
        self._tick = self._stream.time_base
        try:
            first = next(self._stream.pictures(), None)
            if first is None:
                raise VideoError(f"{source}: no picture in it can be decoded; expected a video")
            self._converter = Converter(
                first.frame, self._stream.pixel_aspect, options.short_side_px
            )
        except BaseException:
            self.close()
            raise
        start = first.pts * self._tick
        self._grid = Grid(start, options.rate_hz)
        width, height = upright_size(first.frame, self._stream.pixel_aspect)
        self.info = VideoInfo(
            source=str(source),
            start_s=float(start),
            duration_s=self._duration_s(start),
            width=width,
            height=height,
            rate_hz=self._stream.rate_hz,
            codec=self._stream.codec,
            rotated=any(orientation(first.frame)),
            time_base=self._tick,
            is_live=is_live,
            size_bytes=self._stream.size_bytes,
        )
        self.gaps = []

    def _duration_s(self, start: Fraction) -> float | None:
        limit = self._options.max_duration_s
        if self._stream.end is None:
            return None
        stated = float(self._stream.end * self._tick - start)
        return max(0.0, stated if limit is None else min(stated, limit))

    def close(self) -> None:
        """Release the source."""
        self._stream.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def part_starts(self, part_s: float) -> list[float]:
        """Where parts about `part_s` seconds long begin, for `frames`; the first is the start.

        Parts begin just after keyframes, so that reading one decodes nothing twice. There is only
        one where the source cannot be entered in the middle or its length is not known.
        """
        starts = [self.info.start_s]
        if self.info.duration_s is None:
            return starts
        step = Fraction(part_s)
        for i in range(1, int(self.info.duration_s / part_s) + 1):
            nominal = self._grid.start + i * step
            keyframe = self._stream.keyframe(int(nominal / self._tick))
            if keyframe is None:
                break
            # Reading tick n takes the frames from tick n - 1 on: see `frames`.
            start_s = float(self._grid.time(self._grid.at_or_after(keyframe * self._tick) + 1))
            if start_s > starts[-1] + part_s / 2:
                starts.append(start_s)
        return starts

    def frames(self, start_s: float | None = None, end_s: float | None = None) -> Iterator[Frame]:
        """The analysed frames of the ticks from `start_s` to before `end_s`, in order of time.

        A frame belongs to the first tick that it is the next frame after, so parts that follow
        each other give every frame once, the very ones that one pass over the video gives.
        """
        first = 0 if start_s is None else max(0, self._grid.at_or_before(start_s))
        # What comes between the tick before and the first one decides which frames are an earlier
        # part's, so decoding begins before it.
        before = max(0, first - 1)
        seek = None if first == 0 else int(self._grid.time(before) / self._tick)
        limit_s = self._options.max_duration_s
        if limit_s is not None:
            limit_s += self.info.start_s
            end_s = limit_s if end_s is None else min(end_s, limit_s)
        sampler = Sampler(self._grid, before)
        start = self._grid.time(first)
        last_end: int | None = None
        key = False
        for picture, end in self._with_ends(seek):
            time = picture.pts * self._tick
            if picture.lost and time >= start:
                lost_from = self._stream_start() if last_end is None else last_end
                self._add_gap(lost_from, picture.pts, picture.lost)
            last_end = end
            key = key or bool(picture.frame.key_frame)
            tick = sampler.takes(time)
            if tick is None or tick < first:
                continue
            if end_s is not None and float(self._grid.time(tick)) >= end_s:
                return
            yield Frame(self._converter(picture.frame), picture.pts, end, self._tick, key)
            key = False
        if self._stream.tail is not None and last_end is not None:
            tail = self._stream.tail
            self._add_gap(last_end, max(last_end, tail.end or last_end), tail.reason)

    def _with_ends(self, seek: int | None) -> Iterator[tuple[Picture, int]]:
        """Each picture and when the next one takes its place, or damage begins."""
        last: Picture | None = None
        for picture in self._stream.pictures(seek):
            if last is not None:
                yield last, last.end if picture.lost else picture.pts
            last = picture
        if last is not None:
            yield last, last.end

    def _stream_start(self) -> int:
        return int(self._grid.start / self._tick)

    def _add_gap(self, start: int, end: int, reason: str) -> None:
        span = Span(float(start * self._tick), float(max(start, end) * self._tick))
        self.gaps.append(Gap(span, reason))
