"""One stretch of a video as a file of its own.

    cut("film.mp4", 60.0, 72.5, "clip.mp4")

By default pictures and sound are encoded anew (H.264 and AAC), which is the only way to begin at
any picture. A copy takes the packets as they are, from the last picture before the start that the
codec stores whole. Memory does not grow with the length of the stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain, pairwise
from math import floor
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    VideoReformatter,
)

from seal.config import VideoOptions
from seal.errors import BackendError, OptionError, VideoError
from seal.export.copying import copy_packets
from seal.export.output import ROUNDING, opened
from seal.types import Span, UInt8
from seal.video import SourceFiles, is_address, shown
from seal.video.audio import SoundReader, open_sound
from seal.video.container import ContainerStream
from seal.video.picture import Converter
from seal.video.stream import DecodedPicture

_ENCODER = "libx264"
# Visually lossless for most footage; the preset is the one that is fast and still compresses well.
_QUALITY = {"crf": "18", "preset": "veryfast"}
# The clock of MPEG, and how often a clip can be entered.
_TICKS_HZ = 90_000
_GOP = 50
_USUAL_HZ = 25
_SOUND_HZ = 48_000
_SOUND_BPS = 160_000
# The sound is read in stretches, so that a long clip needs no more memory than a short one.
_SOUND_STEP_S = 10
_ANY_SIZE = 1 << 16


def cut(
    source: str | Path,
    start_s: float,
    end_s: float,
    output: str | Path | IO[bytes],
    *,
    copy: bool = False,
    options: VideoOptions | None = None,
    on_progress: Callable[[float], None] = lambda done_s: None,
) -> Span:
    """Write what a video shows from `start_s` to `end_s`, presentation times of its container.

    `output` is a path that ends in .mp4 (or, for a copy, .mkv), which is replaced once the clip is
    whole. Or it is a file that is open for writing, which gets fragmented MP4 as it is made and
    need not seek. `options` say which stream is read. `on_progress` is told, after each picture,
    how many seconds of the clip there are.

    The clip begins with the picture on the screen at `start_s` and ends at `end_s`, both exact, or
    with the video. Pictures are upright, in square pixels and the standard range; each keeps its
    time, also where the frame rate varies, and the sound its place. A `copy` has the packets of the
    source: it begins at the keyframe at or before `start_s` and ends within the next pictures after
    `end_s`. Gives the span that was written.

    Raises OptionError for times that do not run forward, and VideoError for a source that cannot be
    read, whose clock restarts, or that shows nothing then. Raises DataError if a path cannot be
    written, and BackendError where FFmpeg has no encoder for H.264.
    """
    if not 0 <= end_s - start_s < float("inf") or end_s == start_s:
        raise OptionError(f"a clip needs finite times with start < end, got {start_s} to {end_s}")
    options = options or VideoOptions()
    # A playlist may name any file of this machine; what it must not read is an error.
    SourceFiles.of(source, options)
    stream = ContainerStream(source, 0, options)
    try:
        # Whoever reads an address to its end for that waits longer than for the clip.
        runs_through = not stream.may_restart if is_address(source) else stream.survey()
        if not runs_through:
            raise VideoError(
                f"{shown(source)}: no clips can be cut, because the clock of this video restarts or"
                " jumps; convert it first, for example with `ffmpeg -i INPUT OUTPUT.mp4`"
            )
        if copy:
            return copy_packets(stream, start_s, end_s, output, options, on_progress)
        return _encode(stream, start_s, end_s, output, options, on_progress)
    finally:
        stream.close()


def _encode(
    stream: ContainerStream,
    start_s: float,
    end_s: float,
    output: str | Path | IO[bytes],
    options: VideoOptions,
    on_progress: Callable[[float], None],
) -> Span:
    if _ENCODER not in av.codecs_available:
        raise BackendError(
            f"clips need the encoder {_ENCODER}, which this build of PyAV does not have:"
            " pip install -U av, or copy the packets (--copy)"
        )
    pictures = _on_screen(stream, Fraction(start_s), Fraction(end_s))
    first = next(pictures, None)
    if first is None:
        raise VideoError(
            f"{shown(stream.source)}: it shows no picture between {start_s:.3f} s and {end_s:.3f} s"
        )
    sound = open_sound(stream.source, options, rate_hz=_SOUND_HZ, stereo=True)
    begin = end = first[1]
    try:
        with opened(output) as container:
            film = _Film(container, stream, first[0])
            track = None if sound is None else _Track(container, sound, begin)
            container.start_encoding()
            for picture, from_, until in chain([first], pictures):
                end = until
                film.add(picture, from_ - begin, until - from_)
                if track is not None and end - track.until >= _SOUND_STEP_S:
                    track.add(end)
                on_progress(float(end - begin))
            if track is not None:
                track.add(end)
                track.finish()
            film.finish()
    finally:
        if sound is not None:
            sound.close()
    return Span(float(begin), float(end))


def _on_screen(
    stream: ContainerStream, start: Fraction, end: Fraction
) -> Iterator[tuple[DecodedPicture, Fraction, Fraction]]:
    """The pictures of a stretch, each with the times at which it comes and goes within it."""
    tick = stream.time_base
    pictures = stream.pictures(floor((start + ROUNDING) / tick))
    for picture, following in pairwise(chain(pictures, [None])):
        assert picture is not None
        if picture.pts * tick >= end - ROUNDING:
            return
        until = (picture.end if following is None else following.pts) * tick
        if picture.frame is not None and until > start + ROUNDING:
            yield picture, max(picture.pts * tick, start), min(until, end)


class _Film:
    """The pictures of a clip, encoded as they come."""

    def __init__(
        self, container: OutputContainer, stream: ContainerStream, first: DecodedPicture
    ) -> None:
        assert first.frame is not None
        self._container = container
        try:
            self._converter = Converter(first.frame, stream.pixel_aspect, _ANY_SIZE)
        except VideoError as error:
            raise VideoError(f"{shown(stream.source)}: {error}") from error
        width, height = self._converter.size
        rate = round(stream.rate_hz or _USUAL_HZ) or 1
        self._stream: Any = container.add_stream(_ENCODER, rate=rate, options=_QUALITY)
        codec: Any = self._stream.codec_context
        codec.width, codec.height = width + width % 2, height + height % 2
        codec.pix_fmt = "yuv420p"
        codec.time_base = self._stream.time_base = Fraction(1, _TICKS_HZ)
        codec.gop_size = _GOP
        # Without pictures made from later ones a clip begins at 0 in every container.
        codec.max_b_frames = 0
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        # One for all pictures: each prepares itself anew.
        self._reformatter = VideoReformatter()
        self._lasting = dict[int, int]()

    def add(self, picture: DecodedPicture, at: Fraction, lasting: Fraction) -> None:
        """The next picture, `at` so many seconds from the beginning of the clip."""
        assert picture.frame is not None
        image = _even(self._converter(picture.frame, picture.pixel_aspect))
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(image, "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = round(at * _TICKS_HZ), Fraction(1, _TICKS_HZ)
        self._lasting[frame.pts] = round((at + lasting) * _TICKS_HZ) - frame.pts
        self._write(frame)

    def finish(self) -> None:
        self._write(None)

    def _write(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            # Of the last picture the container would know only when it comes.
            packet.duration = self._lasting.pop(packet.pts)
            self._container.mux(packet)


def _even(image: UInt8) -> UInt8:
    """The picture with its last row and column once more where their number is odd, for H.264
    stores one colour for two by two pixels."""
    height, width = image.shape[:2]
    if height % 2 == width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


class _Track:
    """The sound of a clip, encoded in stretches."""

    def __init__(self, container: OutputContainer, sound: SoundReader, begin: Fraction) -> None:
        self._container, self._sound, self._begin = container, sound, begin
        self._stream: Any = container.add_stream("aac", rate=_SOUND_HZ, layout=sound.layout)
        self._stream.codec_context.bit_rate = _SOUND_BPS
        self._done = 0
        """Samples so far."""

    @property
    def until(self) -> Fraction:
        """How far the sound has come, as a time of the source."""
        return self._begin + Fraction(self._done, _SOUND_HZ)

    def add(self, until: Fraction) -> None:
        """The sound up to a time of the source."""
        wanted = round((until - self._begin) * _SOUND_HZ)
        while self._done < wanted:
            count = min(wanted - self._done, _SOUND_STEP_S * _SOUND_HZ)
            from_ = self.until
            stretch = self._sound.read(float(from_), float(from_ + Fraction(count, _SOUND_HZ)))
            planes = stretch.samples.reshape(-1, count)
            frame = av.AudioFrame.from_ndarray(planes, "fltp", self._sound.layout)
            frame.sample_rate, frame.pts = _SOUND_HZ, self._done
            frame.time_base = Fraction(1, _SOUND_HZ)
            self._container.mux(self._stream.encode(frame))
            self._done += count

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
