"""The subtitle streams inside a video file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av

from seal.config import VideoOptions
from seal.video.opening import Closing, open_container
from seal.words.charset import UnreadableSubtitlesError, decode
from seal.words.cue import TextReader
from seal.words.formats import RawCue, raw_cues
from seal.words.languages import language_code
from seal.words.pictures import FAULTS, UNKNOWN_MS, pictured, reason_of

PICTURE_CODECS: Final = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"})
"""Subtitles that are pictures."""
# What the packets of these hold is text: FFmpeg's decoders drop the times and the voices in it.
_TEXT = frozenset({"subrip", "text", "webvtt"})
_READ_HERE = _TEXT | {"mov_text", "ass", "ssa"}
_MAX_FAILURES = 100


@dataclass(frozen=True)
class SubtitleStream:
    """One subtitle stream as its container describes it."""

    number: int
    """Counted from 0 among the subtitle streams."""
    codec: str
    """FFmpeg's name; empty for a codec that this build of it does not decode."""
    language: str
    """ISO 639-1; empty if it is not stated."""
    marks: frozenset[str]
    """Of "default", "forced" and other dispositions."""

    @property
    def is_picture(self) -> bool:
        """Whether the stream holds pictures of its lines, as those of discs do."""
        return self.codec in PICTURE_CODECS

    def __str__(self) -> str:
        told = [self.language or "language unknown", self.codec or "unknown codec"]
        return f"subtitle stream {self.number} ({', '.join(told)})"


class SubtitledVideo(Closing):
    """A video file, opened for its subtitles; a context manager that closes it.

    Raises VideoError if FFmpeg cannot open it.
    """

    def __init__(self, source: str | Path, options: VideoOptions) -> None:
        self._source, self._options = source, options
        self._container = open_container(source, options)
        self._is_read = False
        self.streams = [
            SubtitleStream(number, _codec(stream), language_code(stream.language), _marks(stream))
            for number, stream in enumerate(self._container.streams.subtitles)
        ]
        self.start_s = (self._container.start_time or 0) / av.time_base
        """When the file starts, the earliest of its streams: what players show as 0, and where
        the times of a file beside it count from."""

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def rate_hz(self) -> float | None:
        """Pictures a second of the video, as the container states it."""
        stream = self._container.streams.best("video")
        rate = getattr(stream, "average_rate", None)
        return float(rate) if rate else None

    def read(
        self, stream: SubtitleStream, reader: TextReader | None = None
    ) -> tuple[list[RawCue], list[str]]:
        """The cues of a stream on the clock of the file, and what is wrong with it.

        Pictures are read by `reader`. Raises UnreadableSubtitlesError, and VideoError if the file
        cannot be opened once more for a second stream.
        """
        if not stream.codec:
            raise UnreadableSubtitlesError("this build of FFmpeg does not decode it")
        if stream.is_picture and reader is None:
            raise UnreadableSubtitlesError("it is pictures, and nothing here reads pictures")
        if self._is_read:
            self._container.close()
            self._container = open_container(self._source, self._options)
        self._is_read = True
        chosen = self._container.streams.subtitles[stream.number]
        for other in self._container.streams:
            if other.index != chosen.index:
                other.discard = av.stream.Discard.all
        faults: list[str] = []
        packets = _packets(self._container, chosen, faults)
        if stream.is_picture:
            assert reader is not None
            cues = pictured(packets, chosen, reader, faults)
        else:
            cues = [
                cue for packet in packets for cue in _texted(packet, chosen, stream.codec, faults)
            ]
            if stream.codec not in _READ_HERE:
                cues += _decoded(av.Packet(), chosen)
        if not cues:
            reason = f"no text could be read ({faults[0]})" if faults else "no text in it"
            raise UnreadableSubtitlesError(reason)
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        return cues, [f"damaged: {faults[0]}{more}"] if faults else []


def _codec(stream: Any) -> str:
    context = stream.codec_context
    if context is None:
        return ""
    return str(context.codec.canonical_name)


def _marks(stream: Any) -> frozenset[str]:
    kinds = av.stream.Disposition
    names = ("default", "forced", "hearing_impaired", "comment")
    return frozenset(name for name in names if stream.disposition & kinds[name])


def _packets(container: Any, stream: Any, faults: list[str]) -> Iterator[Any]:
    """The packets of a stream; damage on the way goes to `faults`."""
    failures = 0
    packets = container.demux(stream)
    while failures < _MAX_FAILURES:
        try:
            packet = next(packets, None)
        except IndexError:  # PyAV, at the end of a file with streams that began later.
            return
        except FAULTS as error:
            failures += 1
            faults.append(reason_of(error))
            packets = container.demux(stream)
            continue
        if packet is None:
            return
        failures = 0
        if packet.size and packet.pts is not None:
            yield packet


def _texted(packet: Any, stream: Any, codec: str, faults: list[str]) -> Iterator[RawCue]:
    """The cues of one packet."""
    start_s = float(packet.pts * packet.time_base)
    end_s = start_s + float(packet.duration * packet.time_base) if packet.duration else None
    try:
        if codec in _TEXT:
            yield from raw_cues(start_s, end_s, decode(bytes(packet)), "srt")
        elif codec == "mov_text":
            yield from raw_cues(start_s, end_s, _mov_text(bytes(packet)), "srt")
        elif codec in ("ass", "ssa"):
            # ReadOrder, Layer, Style, Name, three margins, Effect, Text.
            text = decode(bytes(packet)).split(",", 8)[-1]
            yield from raw_cues(start_s, end_s, text, "ass")
        else:
            yield from _decoded(packet, stream, start_s, end_s)
    except (UnreadableSubtitlesError, *FAULTS) as error:
        faults.append(f"at {start_s:.1f} s, {reason_of(error)}")


def _mov_text(data: bytes) -> str:
    """The text of a sample of 3GPP Timed Text: its length, then UTF-8 or marked UTF-16."""
    (length,) = struct.unpack_from(">H", data)
    return decode(data[2 : 2 + length])


def _decoded(
    packet: Any, stream: Any, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[RawCue]:
    """The cues that FFmpeg's own decoder gives after a packet; it writes them as ASS.

    That of closed captions gives a caption when it is taken away, one packet late.
    """
    shown = stream.decode2(packet)
    if shown is None:
        return
    if shown.pts is not None:
        begin_s = shown.pts / av.time_base
        if begin_s != start_s:
            end_s = None
        start_s = begin_s + shown.start_display_time / 1000
        if shown.end_display_time != UNKNOWN_MS:
            end_s = begin_s + shown.end_display_time / 1000
    for rect in shown:
        if rect.type != b"bitmap":
            text = rect.ass.decode(errors="replace").split(",", 8)[-1]
            yield from raw_cues(start_s, end_s, text, "ass")
