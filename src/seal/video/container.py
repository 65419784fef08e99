"""Anything that FFmpeg opens, read as a video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.video.damage import Damage
from seal.video.opening import open_container, pick_stream, unreadable_container
from seal.video.source import has_no_end, is_address
from seal.video.stream import DecodedPicture, PictureStream, Tail

# A demuxer that fails this often in a row will not find its way again.
_MAX_FAILURES = 100
# Matroska has no checksums: when its demuxer skips damage it says nothing, but more bytes lie
# between two packets than the few dozen of their headers.
_MATROSKA_HEADERS_BYTES = 4096
# Stated durations differ by fractions of a second from what is there.
_DURATION_TOLERANCE_S = 1.0
# Formats whose header states the duration; the others' is an estimate.
_STATES_DURATION = ("avi", "matroska", "mov")


class ContainerStream(PictureStream):
    """One video stream of anything that FFmpeg opens."""

    def __init__(self, source: str | Path, threads: int, options: VideoOptions) -> None:
        self._source = source
        self._threads = threads
        self._options = options
        self._open()
        self.codec = self._stream.codec_context.name
        self.time_base = self._stream.time_base or Fraction(1, 1000)
        self.pixel_aspect = self._stream.sample_aspect_ratio or Fraction(1)
        rate = self._stream.average_rate
        self.rate_hz = float(rate) if rate else None
        self.end = self._stated_end()
        size = self._container.size
        self.size_bytes = size if size > 0 else None
        self._begin = self._ticks(self._stream.start_time, self.time_base) or 0

    def _open(self) -> None:
        self._container = open_container(self._source, self._options)
        try:
            self._stream = pick_stream(self._source, self._container, self._options.stream)
        except (OptionError, VideoError):
            self.close()
            raise
        self._fresh = True
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = self._threads

    def _ticks(self, time: int | None, base: Fraction) -> int | None:
        return None if time is None else round(time * base / self.time_base)

    def _stated_end(self) -> int | None:
        stream = self._stream
        if has_no_end(self._source):
            return None
        if stream.duration is not None:
            return int((stream.start_time or 0) + stream.duration)
        return self._ticks(self._container_end(), Fraction(1, av.time_base))

    def _container_end(self) -> int | None:
        """The end of all streams as the container states it, in microseconds."""
        start, duration = self._container.start_time or 0, self._container.duration
        # Matroska's duration counts from 0, not from the first picture, in most files.
        from_zero = "matroska" in self._container.format.name and (duration or 0) > start
        return None if duration is None else duration + (0 if from_zero else start)

    def close(self) -> None:
        self._container.close()

    # ---- packets ----

    def _packets(self) -> Iterator[av.Packet[Any] | str]:
        """All packets from here on, of all streams; in between, why some are missing."""
        failures = 0
        packets = self._container.demux()
        while failures < _MAX_FAILURES:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                if is_address(self._source) and not isinstance(
                    error, (av.error.InvalidDataError, av.error.BlockingIOError)
                ):
                    raise unreadable_container(
                        self._source, error, self._options.timeout_s
                    ) from error
                failures += 1
                packets = self._container.demux()
                yield f"the container is damaged: {error.strerror}"
                continue
            if packet is None:
                return
            failures = 0
            yield packet

    def _seek(self, pts: int) -> Iterator[av.Packet[Any] | str] | None:
        """Packets from a keyframe at or before `pts` on; None where only the beginning is left.

        Where a seek lands differs by format: on a keyframe by decoding time, whose presentation
        time may be later, or on any packet. So what it lands on is looked at.
        """
        back, step = 0, round(1 / self.time_base)
        while pts - back > self._begin:
            self._fresh = False
            try:
                self._container.seek(pts - back, stream=self._stream)
            except av.FFmpegError:
                return None
            packets = self._packets()
            for packet in packets:
                if isinstance(packet, str) or packet.stream is not self._stream:
                    continue
                if packet.pts is not None and packet.is_keyframe:
                    if packet.pts <= pts:
                        return chain([packet], packets)
                    break
            back = max(2 * back, step)
        return None

    def keyframe(self, pts: int) -> int | None:
        packets = self._seek(pts)
        first = next(packets) if packets else None
        return None if first is None or isinstance(first, str) else first.pts

    def pictures(self, pts: int | None = None) -> Iterator[DecodedPicture]:
        packets = None if pts is None else self._seek(pts)
        if packets is None:
            if not self._fresh:
                self.close()
                self._open()
            packets = self._packets()
        self._fresh = False
        return self._decode(packets)

    def _decode(self, packets: Iterator[av.Packet[Any] | str]) -> Iterator[DecodedPicture]:
        damage = Damage(self.time_base)
        last: int | None = None
        last_end = self._begin
        latest_s = 0.0
        position = 0
        default = round(1 / Fraction(self.rate_hz) / self.time_base) if self.rate_hz else 1
        spare: set[int] = set()
        # Once for all packets: each such question to PyAV makes new objects.
        codec, skipping = self._stream.codec_context, False
        codec.skip_frame = "DEFAULT"
        ticks_s = [float(stream.time_base or 0) for stream in self._container.streams]
        for packet in packets:
            if isinstance(packet, str):
                damage.missing(packet)
                continue
            if packet.dts is not None:
                end = packet.dts + (packet.duration or 0)
                latest_s = max(latest_s, end * ticks_s[packet.stream_index])
            hole = packet.pos - position if packet.pos is not None and position else 0
            if packet.pos is not None:
                position = packet.pos + packet.size
            if hole > _MATROSKA_HEADERS_BYTES and "matroska" in self._container.format.name:
                damage.missing(f"{hole} bytes that make no sense")
            if packet.stream is not self._stream:
                continue
            damage.at(packet)
            # Which pictures no other one is made from is for the decoder to say.
            skip = False
            if packet.pts is not None and damage.healed and not self.needs(packet.pts):
                skip = True
                spare.add(packet.pts)
            if skip != skipping:
                skipping = skip
                codec.skip_frame = "NONREF" if skip else "DEFAULT"
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                # A decoder with threads may mean an earlier packet: nothing since the last picture.
                first = None if last is None else last_end
                damage.broken(packet, f"cannot be decoded: {error.strerror}", first)
                continue
            for frame in frames:
                pts = frame.pts if frame.pts is not None else frame.dts
                pts = last_end if pts is None else pts
                skipped = sorted(at for at in spare if at < pts)
                spare.difference_update([*skipped, pts])
                for shown, at in [*((None, at) for at in skipped), (frame, pts)]:
                    if damage.hides(shown, at):
                        continue
                    if last is not None and at <= last:
                        damage.reason = damage.reason or "times that go back"
                        continue
                    last, last_end = at, at + ((shown and shown.duration) or default)
                    yield DecodedPicture(shown, at, last_end, damage.told())
        if damage.healed:
            yield from (DecodedPicture(None, at, at + default, None) for at in sorted(spare))
        self.tail = self._lost_tail(latest_s, damage.reason)

    def _lost_tail(self, latest_s: float, reason: str | None) -> Tail | None:
        stated = any(name in self._container.format.name for name in _STATES_DURATION)
        end = self._container_end()
        if stated and end is not None and end / av.time_base - latest_s > _DURATION_TOLERANCE_S:
            missing_s = end / av.time_base - latest_s
            return Tail(self.end, f"the file ends {missing_s:.1f} s before its stated end")
        return Tail(self.end, reason) if reason else None
