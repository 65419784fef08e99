"""Decoded sound, put where its stamps say.

Every decoded frame is placed by its own presentation timestamp, so that a late start, a hole or a
drift of the sound shifts nothing that comes after it. What is missing is silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from seal.types import Float32
from seal.video.damage import FAULTS, reason_of

RATE_HZ = 16_000
"""Samples a second, which every speech recogniser takes."""
PREROLL_S = 1.0
"""Decoders need some packets before the first whose sound is right; Opus asks for 80 ms."""
# Where the stamps of a stream and the number of its samples are further apart than this, the stamps
# are followed. Matroska rounds stamps to milliseconds.
_TOLERANCE_S = 0.004
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

    def later(self, shift_s: float) -> Sound:
        """The same sound, so many seconds later."""
        lost = (LostSound(at.start_s + shift_s, at.end_s + shift_s, at.reason) for at in self.lost)
        return replace(self, start_s=self.start_s + shift_s, lost=tuple(lost))

    @property
    def end_s(self) -> float:
        """When the sound ends, in seconds."""
        samples: int = self.samples.shape[-1]
        return self.start_s + samples / self.rate_hz


def pick_sound(container: InputContainer) -> Any:
    """The audio stream to read; None where none can be decoded."""
    default = av.stream.Disposition.default
    decoded = [each for each in container.streams.audio if each.codec_context is not None]
    return max(decoded, key=lambda each: bool(each.disposition & default), default=None)


def add_lost(lost: list[LostSound], new: LostSound) -> None:
    """Put a stretch behind others, in order of time; what lies close together is one."""
    if lost and new.start_s - lost[-1].end_s < _JOINED_S:
        last = lost.pop()
        new = LostSound(last.start_s, max(last.end_s, new.end_s), last.reason)
    lost.append(new)


def bounded(samples: Float32) -> Float32:
    """Samples in [-1, 1]: damaged sound may be of any size."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(finite, -1.0, 1.0)


class Mixer:
    """Makes packets of sound mono or stereo at one rate, and says where the samples belong.

    Frames that follow each other without a hole are one run, which one resampler converts.
    """

    def __init__(
        self,
        put: Callable[[int, Float32], None],
        start_s: float = -math.inf,
        end_s: float = math.inf,
        rate_hz: int = RATE_HZ,
        layout: str = "mono",
    ) -> None:
        """`put` takes the place of some samples and the samples, [1 or 2, n] of any size. Those at
        place i are heard at i / rate_hz, counted from `start_s` if that is finite. Frames before
        `start_s` or after `end_s` are not converted."""
        self.lost: list[LostSound] = []
        """What could not be decoded between `start_s` and `end_s`."""
        self._put = put
        self._start_s, self._end_s = start_s, end_s
        self._rate_hz, self._layout = rate_hz, layout
        self._origin_s = start_s if math.isfinite(start_s) else 0.0
        self._missing: str | None = None
        self._resampler: AudioResampler | None = None
        self._form: tuple[Any, ...] = ()
        self._next_s = start_s
        """When the run goes on."""
        self._place = 0
        """Where the next output of the resampler belongs."""

    def missing(self, reason: str) -> None:
        """Packets before the next one may be missing."""
        self._missing = reason

    def hear(self, packet: Any) -> None:
        """The next packet; an empty one makes the decoder give what it still holds."""
        at_s = None if packet.pts is None else float(packet.pts * packet.time_base)
        length_s = float((packet.duration or 0) * packet.time_base)
        if packet.is_corrupt:
            self._lose_packet(at_s, length_s, "packets of the sound are missing or cut off")
            return
        try:
            frames = packet.decode()
        except FAULTS as error:
            reason = f"the sound cannot be decoded: {reason_of(error)}"
            self._lose_packet(at_s, length_s, reason)
            return
        for frame in frames:
            self._add(frame)

    def _lose_packet(self, at_s: float | None, length_s: float, reason: str) -> None:
        start_s = self._next_s if at_s is None else at_s
        self._lose(start_s, start_s + length_s, reason)

    def _lose(self, start_s: float, end_s: float, reason: str) -> None:
        start_s, end_s = max(start_s, self._start_s), min(end_s, self._end_s)
        if math.isfinite(start_s) and end_s > start_s:
            add_lost(self.lost, LostSound(start_s, end_s, reason))

    def _add(self, frame: av.AudioFrame) -> None:
        """The next decoded frame."""
        length_s = frame.samples / frame.sample_rate
        at_s = self._next_s if math.isfinite(self._next_s) else self._origin_s
        if frame.pts is not None and frame.time_base is not None:
            at_s = float(frame.pts * frame.time_base)
        if self._missing and at_s > self._next_s + _TOLERANCE_S:
            self._lose(self._next_s, at_s, self._missing)
        self._missing = None
        outside = at_s + length_s < self._start_s - PREROLL_S / 2 or at_s > self._end_s
        if frame.is_corrupt or outside:
            self.flush()
            if frame.is_corrupt:
                self._lose(at_s, at_s + length_s, "the sound cannot be decoded whole")
            self._next_s = at_s + length_s
            return
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        holds = form == self._form and abs(at_s - self._next_s) <= _TOLERANCE_S
        if self._resampler is None or not holds:
            self.flush()
            self._resampler = AudioResampler("fltp", self._layout, self._rate_hz)
            self._form, self._next_s = form, at_s
            self._place = round((at_s - self._origin_s) * self._rate_hz)
        self._next_s += length_s
        frame.pts = None
        self._convert(frame)

    def _convert(self, frame: av.AudioFrame | None) -> None:
        assert self._resampler is not None
        for out in self._resampler.resample(frame):
            rows: Float32 = out.to_ndarray().astype(np.float32, copy=False)
            self._put(self._place, rows)
            self._place += rows.shape[1]

    def flush(self) -> None:
        """The run is over: the resampler gives what it still holds."""
        if self._resampler is not None:
            self._convert(None)
        self._resampler = None
