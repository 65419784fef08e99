"""One video, opened: what it is, and its analysed frames with their exact times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from math import ceil
from pathlib import Path

from av import VideoFrame

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.inventory import NOT_LOOKED_AT
from seal.types import Span
from seal.video.container import ContainerStream
from seal.video.content import SourceFiles
from seal.video.frame import Frame
from seal.video.images import ImageStream
from seal.video.limits import SIZE_WANTED
from seal.video.listening import SoundFeed
from seal.video.opening import Closing
from seal.video.picture import Converter, Greys
from seal.video.sampling import FrameCandidates, Grid, Sampler
from seal.video.source import has_no_end, is_address, is_animated_webp, is_pipe, shown
from seal.video.stream import DecodedPicture, Note, PictureStream

# Between two pictures with nothing between them the times, rounded to milliseconds by some
# containers, may leave this much.
_ROUNDING_S = 0.0015
# `Frame.between` has pictures at this many times the analysis rate at most: 25 Hz by default, at
# which films are made to look smooth.
_STEPS = 5


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read."""

    source: str
    """As given; of an address nothing secret (`seal.video.shown`)."""
    start: Fraction
    """Presentation time of the first picture, in seconds, exact, as the container has it; 0 for a
    folder of images."""
    duration_s: float | None
    """As the source states it, or as `VideoReader.survey` has found it; None for live sources and
    where the length is not known."""
    width: int
    """Pixels of the picture made upright and square, before scaling; `height` likewise."""
    height: int
    rate_hz: float | None
    """Average pictures per second, for information only: times never come from it."""
    codec: str
    rotation: int
    """How many degrees clockwise the stored pictures are turned to be upright: 0, 90, 180, 270."""
    time_base: Fraction
    """Seconds per tick of all presentation timestamps."""
    is_live: bool
    size_bytes: int | None
    is_continuous: bool | None = None
    """Whether the clock runs through from start to end, so that the video can be entered anywhere;
    None if nobody has looked (`VideoReader.survey`)."""

    @property
    def start_s(self) -> float:
        """When the video begins, in seconds."""
        return float(self.start)


@dataclass(frozen=True)
class Gap:
    """A stretch of the video that could not be read."""

    span: Span
    reason: str


def open_video(
    source: str | Path,
    options: VideoOptions,
    *,
    threads: int = 0,
    known: VideoInfo | None = None,
) -> VideoReader:
    """Open a file, an http(s) address, a live source or a folder of images.

    `threads` is how many the decoder may use; 0 is one per core. `known` is what a survey of the
    same video has found, which spares another one.

    Raises VideoError if it cannot be read as video, OptionError for a live source without
    `max_duration_s`.
    """
    return VideoReader(source, options, threads, known)


class VideoReader(Closing):
    """An open video; a context manager that closes it."""

    info: VideoInfo
    gaps: list[Gap]
    """Stretches that were skipped, filled while frames are read."""
    files: SourceFiles
    """The files that the video is read from, as they were when it was opened."""
    read_until_s: float
    """When the latest picture that was read ends, analysed or not."""
    sound: SoundFeed
    """Gives the sound while frames are read, to whoever listens before."""

    def __init__(
        self, source: str | Path, options: VideoOptions, threads: int, known: VideoInfo | None
    ) -> None:
        self.files = SourceFiles.of(source, options)
        is_live = has_no_end(source)
        if is_live:
            _check_limit(source, options)
        is_folder = not is_address(source) and Path(source).is_dir()
        self._options, self.sound = options, SoundFeed()
        self._stream: PictureStream = (
            ImageStream(source, options.image_rate_hz)
            if is_folder
            else ContainerStream(source, threads, options, self.sound)
        )
        self._tick = self._stream.time_base
        try:
            # An address without a stated end is live as well: it cannot be read twice.
            is_live = is_live or (is_address(source) and self._stream.end is None)
            if is_live:
                _check_limit(source, options)
            first, frame = self._open_pictures(again=not (is_live or is_pipe(source)))
            try:
                self._converter = Converter(frame, self._stream.pixel_aspect, options.short_side_px)
            except VideoError as error:
                raise VideoError(f"{shown(source)}: {error}") from error
        except BaseException:
            self.close()
            raise
        # Pictures may be missing before the first.
        lost_from = min(first.pts, self._stream.begin) if first.lost else first.pts
        start = lost_from * self._tick
        self._grid = Grid(start, options.rate_hz)
        self._steps = Grid(start, _STEPS * options.rate_hz)
        width, height = self._converter.upright_size
        self.info = known or VideoInfo(
            source=shown(source),
            start=start,
            duration_s=self._duration_s(start),
            width=width,
            height=height,
            rate_hz=self._stream.rate_hz,
            codec=self._stream.codec,
            rotation=self._converter.clockwise_degrees,
            time_base=self._tick,
            is_live=is_live,
            size_bytes=self._stream.size_bytes,
        )
        self.gaps = []
        self.read_until_s = float(start)

    def _open_pictures(self, again: bool) -> tuple[DecodedPicture, VideoFrame]:
        """Begin to read, and give the first picture. `again`: the source can be read a second time.

        Raises VideoError if there is no picture.
        """
        pictures = self._stream.pictures()
        first = next(pictures, None)
        if first is None and self._stream.tail and again:
            # Damaged pictures are better than none.
            self._stream.takes_damaged = True
            self._stream.note(self._stream.begin, "no picture is whole; damaged ones are shown")
            pictures = self._stream.pictures()
            first = next(pictures, None)
        if first is None or first.frame is None:
            source = shown(self._stream.source)
            if is_animated_webp(source):
                raise VideoError(
                    f"{source}: FFmpeg does not decode animated WebP; convert it to GIF or MP4"
                )
            why = f" ({self._stream.tail.reason})" if self._stream.tail else ""
            raise VideoError(
                f"{source}: no picture in it can be decoded{why}; expected a video, {SIZE_WANTED}"
            )
        self._opened: Iterator[DecodedPicture] | None = chain([first], pictures)
        return first, first.frame

    def _pictures(self, tick: int) -> Iterator[DecodedPicture]:
        """Those from at or before a tick on; the first pass goes on where opening left off."""
        self.sound.shut_unheard()
        opened, self._opened = self._opened, None
        if opened is not None and (tick == 0 or self.info.is_live):
            return opened
        if self.info.is_live:
            raise VideoError(f"{self.info.source}: a live source can be read only once")
        if tick and self.info.is_continuous is None:
            self.survey()
        if not self.info.is_continuous:
            return self._stream.pictures()
        return self._stream.pictures(int(self._grid.time(tick) / self._tick) if tick else None)

    def _duration_s(self, start: Fraction) -> float | None:
        limit = self._options.max_duration_s
        if self._stream.end is None:
            return None
        stated = float(self._stream.end * self._tick - start)
        return max(0.0, stated if limit is None else min(stated, limit))

    def close(self) -> None:
        self._stream.close()
        self.sound.close()

    @property
    def notes(self) -> list[Note]:
        """What was noticed about the source while it was read or surveyed, without a loss."""
        return self._stream.notes

    def survey(self) -> None:
        """Look at all packets of a file, decoding none, for its length and restarts of its clock.

        The pass takes about a thousandth of that length. `info` and `notes` hold the result.
        Sources that can be read only once, or are far away, are taken by their word.
        """
        if self.info.is_continuous is not None or self.info.is_live or is_pipe(self.info.source):
            return
        if is_address(self.info.source):
            is_continuous = not self._stream.may_restart
        else:
            # It moves the source away from where opening it left off.
            self._opened = None
            is_continuous = self._stream.survey()
        duration_s = self._duration_s(self.info.start)
        self.info = replace(self.info, duration_s=duration_s, is_continuous=is_continuous)

    def part_starts(self, part_s: float) -> list[float]:
        """Where parts of about `part_s` seconds at most begin, for `frames`; first is the start.

        Parts are equally long, so that none is left over when they are worked on side by side, but
        for this. They begin at the first tick after a keyframe, so that `frames` decodes nothing
        twice. There is only one where the source cannot be entered in the middle or has no known
        length, or where its clock restarts.
        """
        self.survey()
        ticks = [0]
        if not self.info.is_continuous:
            return [self.info.start_s]
        length_s = Fraction(0 if self.info.is_live else self.info.duration_s or 0)
        count = ceil(length_s / Fraction(part_s))
        for number in range(1, count):
            # The seeks move the source away from where opening it left off.
            self._opened = None
            nominal = self._grid.start + number * length_s / count
            keyframe = self._stream.keyframe(int(nominal / self._tick))
            if keyframe is not None:
                tick = self._grid.at_or_after(keyframe * self._tick)
                ticks += [tick] if tick > ticks[-1] else []
        return [float(self._grid.time(tick)) for tick in ticks]

    def frames(self, start_s: float | None = None, end_s: float | None = None) -> Iterator[Frame]:
        """The analysed frames at start_s <= time < end_s, in order of time, in one decode pass.

        Analysed is the first frame at or after each tick info.start_s + i / rate_hz, whatever
        `start_s` is: parts that follow each other give the very frames that one pass gives.

        Raises VideoError if the source fails, or is live and was read before.
        """
        limit_s = self._options.max_duration_s
        limits = [] if limit_s is None else [self.info.start_s + limit_s]
        until_s = min([*limits, float("inf") if end_s is None else end_s])
        from_s = self.info.start_s if start_s is None else start_s
        first = max(0, self._grid.at_or_before(from_s))
        # What is not analysed need not be decoded.
        self._stream.only_keys = False
        self._stream.needs = FrameCandidates(self._grid, self._tick)
        sampler = Sampler(self._grid, self._tick, first)
        steps = Sampler(self._steps, self._tick, _STEPS * first)
        pictures = self._with_ends(self._pictures(first))
        yield from self._taken(pictures, sampler, steps, from_s, until_s)

    def keyframes(self, interval_s: float) -> Iterator[Frame]:
        """The pictures that the codec stores whole, the first at or after each tick of a grid of
        `interval_s`; nothing else is decoded.

        Where they are further apart, what lies between is a gap. Raises VideoError if the source
        fails, or is live and was read before.
        """
        grid = Grid(self.info.start, 1 / interval_s)
        self._stream.only_keys = True
        self._stream.needs = FrameCandidates(grid, self._tick)
        limit_s = self._options.max_duration_s
        from_s = last_s = self.info.start_s
        until_s = float("inf") if limit_s is None else from_s + limit_s
        pictures = ((picture, picture.end) for picture in self._pictures(0))
        sparse: Span | None = None
        longest_s = 0.0
        sampler = Sampler(grid, self._tick)
        for frame in chain(self._taken(pictures, sampler, None, from_s, until_s), [None]):
            time_s = self.read_until_s if frame is None else frame.time_s
            if time_s - last_s > interval_s + _ROUNDING_S:
                longest_s = max(longest_s, time_s - last_s)
                sparse = Span(sparse.start_s if sparse else last_s, time_s)
            elif sparse:
                self._add_sparse(sparse, longest_s)
                sparse, longest_s = None, 0.0
            last_s = time_s
            if frame is not None:
                yield frame
        if sparse:
            self._add_sparse(sparse, longest_s)

    def _taken(
        self,
        pictures: Iterator[tuple[DecodedPicture, int]],
        sampler: Sampler,
        steps: Sampler | None,
        from_s: float,
        until_s: float,
    ) -> Iterator[Frame]:
        """Frames of the pictures, each with its end, that `sampler` takes in from_s <= time <
        until_s; those that `steps` takes lie between."""
        between = Greys(self._converter)
        # Since when pictures cannot be converted, and why.
        refused: tuple[float, str] | None = None
        self.read_until_s = from_s
        for picture, end in pictures:
            time_s = self._seconds(picture.pts)
            if picture.lost:
                if refused:
                    self._add_gap(refused[0], self.read_until_s, refused[1])
                    refused = None
                self._add_gap(max(self.read_until_s, from_s), min(time_s, until_s), picture.lost)
            if time_s >= until_s:
                break
            self.read_until_s = self._seconds(picture.end)
            if picture.frame is None:
                continue
            is_step = steps is not None and steps.takes(picture.pts)
            is_analysed = sampler.takes(picture.pts)
            if time_s < from_s:
                continue
            if not is_analysed:
                if is_step:
                    between.append(picture.frame, picture.pixel_aspect)
                continue
            try:
                image = self._converter(picture.frame, picture.pixel_aspect)
            except VideoError as error:
                if refused is None:
                    refused = time_s, str(error)
                continue
            if refused:
                self._add_gap(refused[0], time_s, refused[1])
                refused = None
            yield Frame(
                image=image,
                pts=picture.pts,
                end_pts=end,
                time_base=self._tick,
                is_key=bool(picture.frame.key_frame),
                between=between,
                enlarge=partial(self._converter.larger, picture.frame, picture.pixel_aspect),
            )
            between = Greys(self._converter)
        else:
            tail = self._stream.tail
            if tail is not None:
                lost_until_s = min(self._seconds(tail.end), until_s)
                self._add_gap(max(self.read_until_s, from_s), lost_until_s, tail.reason)
        if refused:
            self._add_gap(refused[0], min(self.read_until_s, until_s), refused[1])

    def _seconds(self, pts: int) -> float:
        # The very float that the exact fraction has, many times faster.
        return pts * self._tick.numerator / self._tick.denominator

    def _with_ends(
        self, pictures: Iterator[DecodedPicture]
    ) -> Iterator[tuple[DecodedPicture, int]]:
        """Each picture and when the next one takes its place, or damage begins."""
        last: DecodedPicture | None = None
        for picture in pictures:
            if last is not None:
                yield last, min(last.end, picture.pts) if picture.lost else picture.pts
            last = picture
        if last is not None:
            yield last, last.end

    def _add_sparse(self, span: Span, longest_s: float) -> None:
        reason = f"{NOT_LOOKED_AT}: whole pictures of the codec are up to {longest_s:.1f} s apart"
        self._add_gap(span.start_s, span.end_s, reason)

    def _add_gap(self, start_s: float, end_s: float, reason: str) -> None:
        if end_s - start_s > _ROUNDING_S:
            self.gaps.append(Gap(Span(start_s, end_s), reason))


def _check_limit(source: str | Path, options: VideoOptions) -> None:
    if options.max_duration_s is None:
        raise OptionError(
            f"{shown(source)} is live and has no end: set video.max_duration_s to say how much"
            " to read"
        )
