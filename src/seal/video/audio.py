"""The sound of a video between two times, on the clock of its pictures.

    with open_sound("film.mp4", options) as sound:
        stretch = sound.read(60.0, 70.0)

Every decoded frame is placed by its own presentation timestamp, so that a late start, a hole or a
drift of the sound shifts nothing that comes after it. What is missing is silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer

from seal.config import VideoOptions
from seal.errors import OptionError
from seal.types import Float32
from seal.video.damage import FAULTS, MAX_FAILURES, reason_of
from seal.video.opening import Closing, open_container, unreadable_container
from seal.video.sound import PREROLL_S, RATE_HZ, Mixer, Sound, bounded, pick_sound
from seal.video.source import is_address

# So many packets in a row after the end of a stretch: the stretch is over, and no stamp was wrong.
_PAST_END = 8


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


class SoundReader(Closing):
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
        self._container.close()

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
        count = round((end_s - start_s) * self._rate_hz)
        samples = np.zeros(count if self.layout == "mono" else (2, count), np.float32)

        def put(place: int, rows: Float32) -> None:
            first, end = max(0, -place), min(rows.shape[1], count - place)
            if first < end:
                # One row of a plane fills an array of one channel as well.
                samples[..., place + first : place + end] = rows[:, first:end]

        mixer = Mixer(put, start_s, end_s, self._rate_hz, self.layout)
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
            mixer.hear(packet)
        mixer.flush()
        return Sound(bounded(samples), start_s, tuple(mixer.lost), is_end, self._rate_hz)

    def _seek(self, start_s: float) -> Iterator[Any]:
        """Packets of the sound, the first of them early enough for a decoder; in between, why some
        are missing.

        Where a seek lands differs by format, so it is checked; the beginning is always right.
        """
        back_s = PREROLL_S
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
            if stamped and float(first.pts * first.time_base) <= start_s - PREROLL_S / 2:
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
