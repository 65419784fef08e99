"""The sound of a video between two times, on the clock of its pictures.

    with open_sound("film.mp4", options) as sound:
        stretch = sound.read(60.0, 70.0)

Every decoded frame is placed by its own presentation timestamp, so that a late start, a hole or a
drift of the sound shifts nothing that comes after it. What is missing is silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from seal.config import VideoOptions
from seal.errors import OptionError
from seal.types import Float32
from seal.video.damage import FAULTS, MAX_FAILURES, reason_of
from seal.video.opening import open_container, unreadable_container
from seal.video.source import is_address

RATE_HZ = 16_000
"""Samples a second, which every speech recogniser takes."""
# Decoders need some packets before the first whose sound is right; Opus asks for 80 ms.
_PREROLL_S = 1.0
# Where the stamps of a stream and the number of its samples are further apart than this, the stamps
# are followed. Matroska rounds stamps to milliseconds.
_TOLERANCE_S = 0.004
# So many packets in a row after the end of a stretch: the stretch is over, and no stamp was wrong.
_PAST_END = 8
# Damage that is nearer to the damage before it is one stretch.
_JOINED_S = 0.5


@dataclass(frozen=True, slots=True)
class LostSound:
    """A stretch of sound that could not be decoded, in seconds, and why."""

    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True, eq=False)
class Sound:
    """A stretch of sound: sample i is heard at start_s + i / rate_hz."""

    samples: Float32
    """[n] mono or [2, n] stereo, in [-1, 1]."""
    start_s: float
    """Seconds on the clock of the video."""
    lost: tuple[LostSound, ...] = ()
    """What could not be decoded, in order of time; it is silence in `samples`."""
    is_end: bool = False
    """Whether the source has no sound after this stretch."""
    rate_hz: int = RATE_HZ

    @property
    def end_s(self) -> float:
        samples: int = self.samples.shape[-1]
        return self.start_s + samples / self.rate_hz


def open_sound(
    source: str | Path, options: VideoOptions, *, rate_hz: int = RATE_HZ, stereo: bool = False
) -> SoundReader | None:
    """The sound of a source that can be read again; None where FFmpeg finds none that it decodes.

    Of several audio streams it is the one that the container marks as default, or else the first.
    It is mono, and with `stereo` stereo where the source has several channels. Raises VideoError if
    the source cannot be opened.
    """
    if not is_address(source) and Path(source).is_dir():
        return None
    reader = SoundReader(source, options, rate_hz, stereo)
    if reader.has_sound:
        return reader
    reader.close()
    return None


class SoundReader:
    """The open sound of one source; a context manager that closes it."""

    def __init__(
        self, source: str | Path, options: VideoOptions, rate_hz: int, stereo: bool
    ) -> None:
        self._source, self._options, self._rate_hz = source, options, rate_hz
        self._open()
        is_mono = not (stereo and self.has_sound and self._stream.codec_context.channels > 1)
        self.layout = "mono" if is_mono else "stereo"

    def _open(self) -> None:
        self._container: InputContainer = open_container(self._source, self._options)
        self._stream: Any = pick_sound(self._container)
        self._fresh = True

    @property
    def has_sound(self) -> bool:
        """Whether there is an audio stream that can be decoded."""
        return self._stream is not None

    @property
    def start_s(self) -> float:
        """When the sound begins, as the container states it."""
        return float((self._stream.start_time or 0) * self._stream.time_base)

    def close(self) -> None:
        """Release the source."""
        self._container.close()

    def __enter__(self) -> SoundReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, start_s: float, end_s: float) -> Sound:
        """The sound at start_s <= time < end_s; memory is that of the stretch.

        The same call gives the same samples, whatever was read before. Raises VideoError if an
        address fails, and OptionError for a stretch that runs backwards.
        """
        if not start_s <= end_s < float("inf"):
            raise OptionError(f"a stretch of sound needs finite times in order: {start_s}, {end_s}")
        if not self._fresh:
            # The noise that an AAC decoder fills in depends on all that it has decoded.
            self.close()
            self._open()
        mixer = _Mixer(start_s, end_s, self._rate_hz, self.layout)
        past = 0
        is_end = True
        for packet in self._seek(start_s):
            if isinstance(packet, str):
                mixer.missing(packet)
                continue
            at_s = None if packet.pts is None else float(packet.pts * packet.time_base)
            past = past + 1 if at_s is not None and at_s >= end_s else 0
            if past >= _PAST_END:
                is_end = False
                break
            length_s = float((packet.duration or 0) * packet.time_base)
            if packet.is_corrupt:
                mixer.lose(at_s, length_s, "packets of the sound are missing or cut off")
                continue
            try:
                frames = packet.decode()
            except FAULTS as error:
                mixer.lose(at_s, length_s, f"the sound cannot be decoded: {reason_of(error)}")
                continue
            for frame in frames:
                mixer.add(frame)
        return mixer.finish(is_end)

    def _seek(self, start_s: float) -> Iterator[Any]:
        """Packets of the sound, the first of them early enough for a decoder; in between, why some
        are missing.

        Where a seek lands differs by format, so it is checked; the beginning is always right.
        """
        back_s = _PREROLL_S
        while start_s - back_s > self.start_s:
            self._fresh = False
            target = int((start_s - back_s) / self._stream.time_base)
            try:
                self._container.seek(target, stream=self._stream)
            except FAULTS:
                break
            packets = self._packets()
            first = next(packets, None)
            if first is None:
                # Some demuxers land at the end when they are sent past it.
                back_s *= 4
                continue
            stamped = not isinstance(first, str) and first.pts is not None
            if stamped and float(first.pts * first.time_base) <= start_s - _PREROLL_S / 2:
                yield first
                yield from packets
                return
            back_s *= 4
        if not self._fresh:
            self.close()
            self._open()
        self._fresh = False
        yield from self._packets()

    def _packets(self) -> Iterator[Any]:
        """All packets of the sound from here on; in between, why some are missing."""
        failures = 0
        packets = self._container.demux(self._stream)
        while failures < MAX_FAILURES:
            try:
                packet = next(packets, None)
            except IndexError:
                # PyAV, at the end of a file with streams that began later.
                return
            except FAULTS as error:
                if is_address(self._source) and not isinstance(error, av.error.InvalidDataError):
                    raise unreadable_container(
                        self._source, error, self._options.timeout_s
                    ) from error
                failures += 1
                packets = self._container.demux(self._stream)
                yield f"the container is damaged: {reason_of(error)}"
                continue
            if packet is None:
                return
            failures = 0
            yield packet


def pick_sound(container: InputContainer) -> Any:
    """The audio stream to read; None where none can be decoded."""
    default = av.stream.Disposition.default
    decoded = [each for each in container.streams.audio if each.codec_context is not None]
    return max(decoded, key=lambda each: bool(each.disposition & default), default=None)


class _Mixer:
    """Decoded frames, made mono or stereo at one rate and put where their stamps say.

    Frames that follow each other without a hole are one run, which one resampler converts.
    """

    def __init__(self, start_s: float, end_s: float, rate_hz: int, layout: str) -> None:
        self._start_s, self._end_s = start_s, end_s
        self._rate_hz, self._layout = rate_hz, layout
        count = round((end_s - start_s) * rate_hz)
        self._samples = np.zeros(count if layout == "mono" else (2, count), np.float32)
        self._lost: list[LostSound] = []
        self._missing: str | None = None
        self._resampler: AudioResampler | None = None
        self._form: tuple[Any, ...] = ()
        self._next_s = start_s
        """When the run goes on."""
        self._place = 0
        """The sample at which the next output of the resampler belongs."""

    def missing(self, reason: str) -> None:
        """Packets before the next frame may be missing."""
        self._missing = reason

    def lose(self, at_s: float | None, length_s: float, reason: str) -> None:
        """A packet at this time cannot be decoded."""
        start_s = self._next_s if at_s is None else at_s
        self._lose(start_s, start_s + length_s, reason)

    def _lose(self, start_s: float, end_s: float, reason: str) -> None:
        start_s, end_s = max(start_s, self._start_s), min(end_s, self._end_s)
        if end_s <= start_s:
            return
        if self._lost and start_s - self._lost[-1].end_s < _JOINED_S:
            last = self._lost.pop()
            start_s, end_s, reason = last.start_s, max(last.end_s, end_s), last.reason
        self._lost.append(LostSound(start_s, end_s, reason))

    def add(self, frame: av.AudioFrame) -> None:
        """The next decoded frame."""
        length_s = frame.samples / frame.sample_rate
        at_s = self._next_s
        if frame.pts is not None and frame.time_base is not None:
            at_s = float(frame.pts * frame.time_base)
        if self._missing and at_s > self._next_s + _TOLERANCE_S:
            self._lose(self._next_s, at_s, self._missing)
        self._missing = None
        outside = at_s + length_s < self._start_s - _PREROLL_S / 2 or at_s > self._end_s
        if frame.is_corrupt or outside:
            self._flush()
            if frame.is_corrupt:
                self._lose(at_s, at_s + length_s, "the sound cannot be decoded whole")
            self._next_s = at_s + length_s
            return
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        holds = form == self._form and abs(at_s - self._next_s) <= _TOLERANCE_S
        if self._resampler is None or not holds:
            self._flush()
            self._resampler = AudioResampler("fltp", self._layout, self._rate_hz)
            self._form, self._next_s = form, at_s
            self._place = round((at_s - self._start_s) * self._rate_hz)
        self._next_s += length_s
        frame.pts = None
        self._put(frame)

    def _put(self, frame: av.AudioFrame | None) -> None:
        assert self._resampler is not None
        for out in self._resampler.resample(frame):
            rows = out.to_ndarray()
            first = max(0, -self._place)
            end = min(rows.shape[1], self._samples.shape[-1] - self._place)
            if first < end:
                # One row of a plane fills an array of one channel as well.
                self._samples[..., self._place + first : self._place + end] = rows[:, first:end]
            self._place += rows.shape[1]

    def _flush(self) -> None:
        """The run is over: the resampler gives what it still holds."""
        if self._resampler is not None:
            self._put(None)
        self._resampler = None

    def finish(self, is_end: bool) -> Sound:
        """All that was placed; damaged sound may be of any size."""
        self._flush()
        samples = np.nan_to_num(self._samples, nan=0.0, posinf=0.0, neginf=0.0)
        samples = np.clip(samples, -1.0, 1.0)
        return Sound(samples, self._start_s, tuple(self._lost), is_end, self._rate_hz)
