"""Decoded pictures of a source, in order of time, with what was lost between them.

`ContainerStream` reads whatever FFmpeg opens, `ImageStream` a folder of images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from errno import EIO
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from seal.errors import VideoError
from seal.video.source import has_no_end, image_files, is_address, is_device

# Damage spreads from picture to picture until one is stored whole. Streams that have no such
# picture (they refresh in slices) have healed after this long.
_HEALED_AFTER_S = 10.0
# A demuxer that fails this often in a row will not find its way again.
_MAX_FAILURES = 100
# Matroska has no checksums: when its demuxer skips damage it says nothing, but more bytes lie
# between two packets than the few dozen of their headers.
_MATROSKA_HEADERS_BYTES = 4096
# Stated durations differ by fractions of a second from what is there.
_DURATION_TOLERANCE_S = 1.0
# Formats whose header states the duration; the others' is an estimate.
_STATES_DURATION = ("avi", "matroska", "mov")
# FFmpeg takes any text for "ANSI art"; a page or a list is not what was meant.
_NOT_VIDEO = frozenset({"tty"})


@dataclass(frozen=True, eq=False)
class DecodedPicture:
    """A decoded frame and when it is on the screen, in ticks of the stream's time base."""

    frame: av.VideoFrame | None
    """None where it was not needed, for others neither, and was not decoded."""
    pts: int
    end: int
    """`pts` plus the duration that the container states."""
    lost: str | None
    """Why something is missing between the picture before and this one, if so."""


@dataclass(frozen=True)
class Tail:
    """Why something is missing after the last picture, and until when."""

    end: int | None
    reason: str


class PictureStream(ABC):
    """One source of pictures, open."""

    time_base: Fraction
    codec: str
    pixel_aspect: Fraction
    rate_hz: float | None
    end: int | None
    """The end that the source states, in ticks; None for what has no known end."""
    size_bytes: int | None
    tail: Tail | None = None
    """Set when `pictures` has ended, if pictures are missing there."""
    needs: Callable[[int], bool] = staticmethod(lambda pts: True)
    """Says of timestamps, in the order of decoding, whether the picture there is needed."""

    @abstractmethod
    def pictures(self, pts: int | None = None) -> Iterator[DecodedPicture]:
        """The pictures from the beginning, or from a keyframe at or before `pts`."""

    @abstractmethod
    def keyframe(self, pts: int) -> int | None:
        """When a keyframe at or before `pts` is; None where the source cannot seek."""

    @abstractmethod
    def close(self) -> None:
        """Release the source."""


class ImageStream(PictureStream):
    """The images of a folder, one every 1 / rate_hz seconds, the first at 0."""

    def __init__(self, source: str | Path, rate_hz: float) -> None:
        self._files = image_files(Path(source))
        self._source = source
        self.time_base = 1 / Fraction(str(rate_hz))
        self.codec = "images"
        self.pixel_aspect = Fraction(1)
        self.rate_hz = rate_hz
        self.end = len(self._files)
        self.size_bytes = sum(path.stat().st_size for path in self._files)

    def pictures(self, pts: int | None = None) -> Iterator[DecodedPicture]:
        lost = None
        for i in range(pts or 0, len(self._files)):
            try:
                with av.open(str(self._files[i])) as container:
                    frame = next(container.decode(video=0))
            except (av.FFmpegError, IndexError, StopIteration) as error:
                lost = f"{self._files[i].name} cannot be read: {error}"
                continue
            yield DecodedPicture(frame, i, i + 1, lost)
            lost = None
        self.tail = Tail(self.end, lost) if lost else None

    def keyframe(self, pts: int) -> int | None:
        return max(0, pts)

    def close(self) -> None:
        pass


class ContainerStream(PictureStream):
    """The first video stream of anything that FFmpeg opens."""

    def __init__(self, source: str | Path, threads: int, timeout_s: float) -> None:
        self._source = source
        self._threads = threads
        self._timeout_s = timeout_s
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
        remote = is_address(self._source) or is_device(self._source)
        options = {"rtsp_transport": "tcp"} if str(self._source).startswith("rtsp") else {}
        try:
            self._container = av.open(
                str(self._source) if is_address(self._source) else str(Path(self._source)),
                format="v4l2" if is_device(self._source) else None,
                options=options,
                timeout=self._timeout_s if remote else None,
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError) as error:
            raise self._unreadable(error) from error
        self._fresh = True
        self._stream = self._pick_stream()
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = self._threads

    def _pick_stream(self) -> Any:
        container = self._container
        videos = [
            stream
            for stream in container.streams.video
            if not stream.disposition & av.stream.Disposition.attached_pic
        ]
        if container.format.name in _NOT_VIDEO or not videos:
            kinds = {stream.type for stream in container.streams} - {"video"}
            what = f"only {', '.join(sorted(kinds))}" if kinds else "no video"
            container.close()
            raise VideoError(
                f"{self._source}: {what} in it; expected a video (`ffprobe` shows what it is)"
            )
        for stream in videos:
            if stream.codec_context is not None:
                return stream
        container.close()
        raise VideoError(
            f"{self._source}: its codec is not supported by this build of FFmpeg; convert it, for"
            " example with `ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4`"
        )

    def _unreadable(self, error: Exception) -> VideoError:
        source = self._source
        if isinstance(error, av.error.ExitError):
            return VideoError(
                f"{source}: no answer within {self._timeout_s:g} s; check the address, or raise"
                " video.timeout_s"
            )
        # FFmpeg calls it an I/O error when a server closes the line before it has seen a video.
        is_nothing = isinstance(error, av.error.InvalidDataError) or (
            getattr(error, "errno", None) == EIO
        )
        if is_address(source) and is_nothing:
            return VideoError(
                f"{source}: the server sends something that is not a video, perhaps a web page;"
                " expected the address of the video file or stream itself"
            )
        if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
            return VideoError(
                f"{source}: not a video, or cut off, or damaged at its beginning or in its index"
                f" ({error.strerror}); expected a file that FFmpeg can read (`ffprobe` shows more)"
            )
        reason = getattr(error, "strerror", None) or str(error)
        return VideoError(f"{source}: cannot be opened as video: {reason}")

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
                    raise self._unreadable(error) from error
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
        damage = _Damage(round(_HEALED_AFTER_S / self.time_base))
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


class _Damage:
    """Which pictures to leave out: from the first sign of damage to the next whole picture."""

    def __init__(self, healed_after: int) -> None:
        self.reason: str | None = None
        """Why pictures were left out, until that is told."""
        self._healed_after = healed_after
        self._pending: str | None = None
        self._dts = 0
        self._first: int | None = None
        self._sound = 0

    @property
    def healed(self) -> bool:
        """Whether pictures are taken as they come."""
        return self._first is None

    def missing(self, reason: str) -> None:
        """Something before the next packet is missing."""
        self._pending = reason

    def at(self, packet: av.Packet[Any]) -> None:
        """The next packet is this one."""
        dts = packet.dts if packet.dts is not None else packet.pts
        self._dts = dts if dts is not None else self._dts
        if packet.is_corrupt:
            self.broken(packet, "the container says that it is damaged")
        elif self._pending:
            self._hide(packet.pts, self._pending)
        self._pending = None

    def broken(self, packet: av.Packet[Any], reason: str, first: int | None = None) -> None:
        """This packet does not make a picture, or one before it, of a picture from `first` on."""
        if first is not None:
            self._since(first)
        self._hide(None if packet.pts is None else packet.pts + 1, reason)

    def told(self) -> str | None:
        """Why pictures before the one that is shown next were left out; once. Until damage has
        healed, what is shown is from before it."""
        if not self.healed:
            return None
        reason, self.reason = self.reason, None
        return reason

    def _hide(self, sound: int | None, reason: str) -> None:
        """Until a whole picture at or after `sound`, in the packets from the current one on."""
        self._first = self._dts if self._first is None else self._first
        self._sound = self._sound if sound is None else max(self._sound, sound)
        self.reason = self.reason or reason

    def _since(self, pts: int) -> None:
        """Pictures are left out from here on, if not from before."""
        self._first = pts if self._first is None else min(pts, self._first)

    def hides(self, frame: av.VideoFrame | None, pts: int) -> bool:
        """Whether to leave this picture, decoded or not, out."""
        if frame and frame.is_corrupt:
            self._since(pts)
            self._sound = pts + 1
            self.reason = self.reason or "pictures cannot be decoded whole"
            return True
        if self._first is None or pts < self._first:
            return False
        is_sound = frame is not None and frame.key_frame and pts >= self._sound
        if is_sound or pts - self._first > self._healed_after:
            self._first = None
            return False
        return True
