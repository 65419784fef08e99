"""Anything that FFmpeg opens, read as a video."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.format import Flags

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.video.damage import FAULTS, MAX_FAILURES, Damage, reason_of
from seal.video.limits import admit
from seal.video.listening import OtherStreams, SoundFeed
from seal.video.opening import open_container, pick_stream, unreadable_container
from seal.video.source import has_no_end, is_address, shown
from seal.video.stream import DecodedPicture, PictureStream, Tail
from seal.video.timeline import IMPOSSIBLE_S, STILL_S, DecodeOrder, Piece, StreamClock, forward

# Matroska has no checksums: when its demuxer skips damage it says nothing, but more bytes lie
# between two packets than the few dozen of their headers.
_MATROSKA_HEADERS_BYTES = 4096
# Stated durations differ by fractions of a second from what is there.
_DURATION_TOLERANCE_S = 1.0
# Formats whose header states how long a tick of the clock is. Where pictures come faster than any
# camera takes them, or slower than FFmpeg lets a clock step, that is wrong. Then the rate that
# FFmpeg assumes for pictures without a clock stands in its place.
_STATES_TICKS = ("avi", "mov")
_FASTEST_HZ = 1 / STILL_S
_USUAL_HZ = 25
# Formats whose header states the duration; the others' is an estimate.
_STATES_DURATION = ("avi", "matroska", "mov")
# Live formats without a clock. FFmpeg assumes 25 pictures a second; they are shown as they arrive.
_CLOCKLESS = frozenset({"mpjpeg"})
# Formats that can be read from any byte on, and whose streams may change on the way.
_TRANSPORT = frozenset({"mpeg", "mpegts"})
# Two packets may make one picture, its fields: a single one without a picture is no loss.
_FIELDS = 2


class ContainerStream(PictureStream):
    """One video stream of anything that FFmpeg opens."""

    def __init__(
        self,
        source: str | Path,
        threads: int,
        options: VideoOptions,
        sound: SoundFeed | None = None,
    ) -> None:
        """`sound` takes the packets of the sound, where anybody may listen."""
        self.source = source
        self._sound = sound
        self._threads = threads
        self._options = options
        self.notes = []
        self._has_no_end = has_no_end(source)
        self._latest = 0
        """The latest end of a picture so far, by what the packets state."""
        self._clock: StreamClock | None = None
        self._is_joined = False
        """Whether a place was found where the clock is carried on over a break."""
        self._shows_as_decoded = False
        """Whether all stamps are in the order of decoding, though the codec has another."""
        self._open()
        self.codec = self._stream.codec_context.name
        self._is_clockless = self._format in _CLOCKLESS
        stated = None if self._is_clockless else self._stream.time_base
        self.time_base = stated or Fraction(1, 1000)
        self.pixel_aspect = self._stream.sample_aspect_ratio or Fraction(1)
        self.rate_hz = self._rate_hz()
        # In ticks, for there are many packets and fractions are slow.
        self._longest = int(IMPOSSIBLE_S / self.time_base)
        nominal = round(1 / Fraction(self.rate_hz) / self.time_base) if self.rate_hz else 1
        self._nominal = nominal if 0 < nominal <= self._longest else 1
        """How long a picture lasts that does not say so."""
        self.end = self._stated_end = self._ticks_stated()
        self.may_restart = Flags.ts_discont in Flags(self.container.format.flags)
        size = self.container.size
        self.size_bytes = size if size > 0 else None
        self.begin = self._ticks(self._stream.start_time, self.time_base) or 0
        # What the codec says at its first picture; unset before.
        self._first_aspect: list[Fraction | None] = []

    def _open(self, first_byte: int = 0) -> None:
        container = open_container(self.source, self._options, first_byte)
        # Streams are numbered anew where others begin.
        number = None if first_byte else self._options.stream
        try:
            stream = pick_stream(self.source, container, number)
            admit(shown(self.source), stream)
        except (OptionError, VideoError):
            container.close()
            raise
        self.container, self._stream = container, stream
        self._others = OtherStreams(container)
        heard = None if self._sound is None else self._sound.pick(container)
        self._heard = None if heard is None else heard.index
        self._first_byte = self._read_bytes = first_byte
        self._fresh = True
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = self._threads

    def _rate_hz(self) -> float | None:
        """Pictures a second as the container states it; sets the clock right where it cannot be."""
        rate = self._stream.average_rate
        if not rate or rate <= 0:
            return None
        states = any(name in self._format for name in _STATES_TICKS)
        if states and not 1 / Fraction(IMPOSSIBLE_S) <= rate <= _FASTEST_HZ:
            self.time_base *= rate / _USUAL_HZ
            text = f"the file states {float(rate):.3g} pictures a second, which cannot be;"
            self.note(0, f"{text} {_USUAL_HZ} are assumed")
            return float(_USUAL_HZ)
        return float(rate)

    @property
    def _format(self) -> str:
        return self.container.format.name

    def _ticks(self, time: int | None, base: Fraction) -> int | None:
        return None if time is None else round(time * base / self.time_base)

    def _ticks_stated(self) -> int | None:
        stream = self._stream
        if self._has_no_end:
            return None
        if stream.duration is not None:
            return self._ticks((stream.start_time or 0) + stream.duration, stream.time_base)
        return self._ticks(self._container_end(), Fraction(1, av.time_base))

    def _container_end(self) -> int | None:
        """The end of all streams as the container states it, in microseconds."""
        start, duration = self.container.start_time or 0, self.container.duration
        # Matroska's duration counts from 0, not from the first picture, in most files.
        from_zero = "matroska" in self._format and (duration or 0) > start
        return None if duration is None else duration + (0 if from_zero else start)

    def close(self) -> None:
        self.container.close()
        # The clock calls back: with it, the decoder and its threads would wait for the collector.
        self._clock = None

    def survey(self) -> bool:
        """Look at every packet: sets `end` and `notes`.

        Gives whether the clock runs through, so that the source can be entered anywhere.
        """
        self._rewind()
        self._latest, delays = self.begin, set[int]()
        for piece in self._carried_on(self._packets()):
            if not isinstance(piece, str) and self._is_own(piece):
                self._latest = max(self._latest, self._end_of(piece))
                if piece.pts is not None and piece.dts is not None and len(delays) < 2:
                    delays.add(piece.pts - piece.dts)
        # Pictures that are made from later ones have to be decoded longer before they are shown.
        self._shows_as_decoded = len(delays) == 1 and self._reorders
        tail = self._lost_tail(None)
        self.end = tail.end if tail else self._latest
        return not self._is_joined

    # ---- packets ----

    def _rewind(self) -> None:
        """Go to the beginning, where the source is not there."""
        if not self._fresh:
            self.close()
            self._open()
        self._fresh = False

    def _is_own(self, packet: av.Packet[Any]) -> bool:
        return packet.stream is self._stream

    def _carried_on(self, packets: Iterator[Piece]) -> Iterator[Piece]:
        """Packets with the stamps of the video's own on a clock that runs forward."""
        clock = self._clock = StreamClock(self.time_base, self.may_restart, self._join)
        return clock.carry_on(packets, self._is_own)

    def _join(self, pts: int, text: str) -> None:
        self._is_joined = True
        self.note(pts, text)

    def _packets(self) -> Iterator[Piece]:
        """All packets from here on, of all streams; in between, why some are missing."""
        yield from self._demuxed()
        while self._goes_on():
            yield from self._demuxed()

    def _demuxed(self) -> Iterator[Piece]:
        """All packets from here to the end of the open container."""
        failures = position = 0
        began_at = heard_at = time.monotonic()
        lacks_order = self.lacks_order
        packets = self.container.demux()
        while failures < MAX_FAILURES:
            try:
                packet = next(packets, None)
            except IndexError:  # PyAV, at the end of a file with streams that began later.
                self._others.unknown = True
                return
            except FAULTS as error:
                if is_address(self.source) and not isinstance(
                    error, (av.error.InvalidDataError, av.error.BlockingIOError)
                ):
                    raise unreadable_container(
                        self.source, error, self._options.timeout_s
                    ) from error
                failures += 1
                packets = self.container.demux()
                yield f"the container is damaged: {reason_of(error)}"
                continue
            if packet is None:
                return
            failures = 0
            if packet.pos is not None:
                hole = packet.pos - position if position else 0
                position = packet.pos + packet.size
                if hole > _MATROSKA_HEADERS_BYTES and "matroska" in self._format:
                    yield f"{hole} bytes that make no sense"
            if packet.stream is self._stream:
                heard_at = time.monotonic()
                if packet.pos is not None:
                    self._others.own_pos = packet.pos
                    self._read_bytes = self._first_byte + position
                if lacks_order:
                    packet.pts = packet.dts
                elif self._is_clockless and packet.size:
                    packet.pts = packet.dts = round((heard_at - began_at) / self.time_base)
                    packet.duration = 0
            else:
                self._check_silence(heard_at)
                self._others.hear(packet)
            yield packet

    def _check_silence(self, heard_at: float) -> None:
        """Raise VideoError if a live source sends everything but its video, since `heard_at`."""
        timeout_s = self._options.timeout_s
        if self._has_no_end and time.monotonic() - heard_at > timeout_s:
            raise VideoError(
                f"{shown(self.source)}: no picture came for {timeout_s:g} s, only other streams"
            )

    def _goes_on(self) -> bool:
        """Whether the video goes on in a stream that began later; that one is then open."""
        is_file = not is_address(self.source) and Path(self.source).is_file()
        if not (is_file and self._format in _TRANSPORT and self._others.has_successor):
            return False
        before = self.container
        try:
            self._open(self._read_bytes)
        except VideoError:
            return False
        before.close()
        self._fresh = False
        if self._stream.time_base != self.time_base:
            return False
        assert self._clock is not None
        self._clock.cut()
        self._join(self._clock.end, "the video goes on in another stream of the file")
        return True

    def _seek(self, pts: int) -> Iterator[av.Packet[Any] | str] | None:
        """Packets from a keyframe at or before `pts` on; None where only the beginning is left.

        Where a seek lands differs by format: on a keyframe by decoding time, whose presentation
        time may be later, or on any packet. So what it lands on is looked at.
        """
        back, step = 0, round(1 / self.time_base)
        while pts - back > self.begin:
            self._fresh = False
            try:
                self.container.seek(pts - back, stream=self._stream)
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

    def packets(self, pts: int | None = None) -> Iterator[Piece]:
        """All packets of all streams, as they are, from the beginning or from the video's keyframe
        at or before `pts`. Reasons for missing packets come in between."""
        packets = None if pts is None else self._seek(pts)
        if packets is None:
            self._rewind()
            packets = self._packets()
        self._fresh = False
        return packets

    def pictures(self, pts: int | None = None) -> Iterator[DecodedPicture]:
        pieces = self._carried_on(self.packets(pts))
        if self._sound is not None:
            assert self._clock is not None
            self._sound.begin(self._clock)
        return self._decode(pieces)

    def _end_of(self, packet: av.Packet[Any]) -> int:
        """When the picture of a packet leaves the screen, by what the packet states."""
        begin = packet.pts if packet.pts is not None else packet.dts
        if begin is None:
            return self._latest
        return begin + self._lasting(packet.duration)

    def _lasting(self, stated: int | None) -> int:
        """How long a picture lasts that states this duration."""
        return stated if stated and 0 < stated <= self._longest else self._nominal

    def _decode(self, pieces: Iterator[Piece]) -> Iterator[DecodedPicture]:
        damage = Damage(self.time_base, self.takes_damaged)
        waiting: dict[int, bool] = {}
        """Stamps of packets whose pictures have not come -> whether the picture is not needed."""
        reached: int | None = None
        for picture in forward(self._frames(pieces, damage, waiting)):
            passed = sorted(at for at in waiting if at < picture.pts)
            if reached is None:
                # Pictures count from the first packet, whatever start the container states.
                self.begin = min([*passed, picture.pts])
                reached = self.begin - 1
            skipped = [at for at in passed if waiting.pop(at)]
            if len(passed) - len(skipped) >= _FIELDS:
                damage.silent()
            for at in skipped:
                if reached < at and not damage.hides(None, at):
                    yield DecodedPicture(None, at, at + self._lasting(None), damage.told())
            reached = picture.pts
            if not damage.hides(picture.frame, picture.pts):
                yield replace(picture, lost=picture.lost or damage.told())
        skipped = sorted(at for at, is_skipped in waiting.items() if is_skipped)
        for at in skipped if damage.healed else []:
            if reached is None or reached < at:
                yield DecodedPicture(None, at, at + self._lasting(None), None)
        if len(waiting) - len(skipped) >= _FIELDS:
            damage.silent()
        self.tail = self._lost_tail(damage.untold)

    def _frames(
        self, pieces: Iterator[Piece], damage: Damage, waiting: dict[int, bool]
    ) -> Iterator[DecodedPicture]:
        """All that the decoder gives, as it gives it; keeps `damage` and `waiting`."""
        last_end = self._latest = self.begin
        is_first = True
        stream: Any = None
        for piece in pieces:
            if isinstance(piece, str):
                damage.missing(piece)
                if self._sound is not None:
                    self._sound.hear(piece)
                continue
            packet = piece
            if not self._is_own(packet):
                if self._sound is not None and packet.stream_index == self._heard:
                    self._sound.hear(packet)
                continue
            if packet.stream is not stream:
                # Once for all packets: each such question to PyAV makes new objects.
                stream, codec, skipping = packet.stream, packet.stream.codec_context, False
                codec.skip_frame = "DEFAULT"
                in_order = not (self.lacks_order or self._shows_as_decoded)
                decode_order = None if in_order else DecodeOrder()
            self._latest = max(self._latest, self._end_of(packet))
            damage.at(packet)
            # Which pictures no other one is made from is for the decoder to say.
            skip = False
            if self.only_keys and packet.pts is not None:
                waiting[packet.pts] = not (packet.is_keyframe and self.needs(packet.pts))
                if waiting[packet.pts]:
                    continue
            if decode_order is not None:
                decode_order.push(packet.pts)
            elif packet.pts is not None and not packet.is_discard:
                skip = damage.healed and not self.only_keys and not self.needs(packet.pts)
                waiting[packet.pts] = skip
            if skip != skipping:
                skipping = skip
                codec.skip_frame = "NONREF" if skip else "DEFAULT"
            try:
                frames = packet.decode()
            except FAULTS as error:
                # A decoder with threads may mean an earlier packet: nothing since the last picture.
                first = None if is_first else last_end
                damage.broken(packet, f"pictures cannot be decoded: {reason_of(error)}", first)
                continue
            aspect = self._changed_aspect(codec.sample_aspect_ratio) if frames else None
            for frame in frames:
                pts = frame.pts if decode_order is None else decode_order.pop(frame)
                if pts is None:
                    pts = frame.dts if is_first and frame.dts is not None else last_end
                waiting.pop(pts, None)
                is_first, last_end = False, pts + self._lasting(frame.duration)
                yield DecodedPicture(frame, pts, last_end, None, aspect)
        if self._sound is not None:
            self._sound.end()

    def _changed_aspect(self, coded: Fraction | None) -> Fraction | None:
        """The pixel aspect that the codec states where it is another than at the first picture.
        Until then the container's holds, which may well be another."""
        if not self._first_aspect:
            self._first_aspect.append(coded)
        return None if coded == self._first_aspect[0] else coded or Fraction(1)

    @property
    def _reorders(self) -> bool:
        return bool(self._stream.codec_context.has_b_frames)

    @property
    def lacks_order(self) -> bool:
        """Whether the container has no stamps but those of decoding, which is another order."""
        return self._format == "avi" and self._reorders

    def _lost_tail(self, reason: str | None) -> Tail | None:
        """What is missing after the last picture, once all packets were read."""
        latest = self._latest
        end = self._container_end()
        states = any(name in self._format for name in _STATES_DURATION)
        if end is not None and states:
            stated_s = end / av.time_base
            missing_s = stated_s - max(float(latest * self.time_base), self._others.end_s)
            if missing_s > IMPOSSIBLE_S:
                self.note(latest, f"the file states a length of {stated_s:.0f} s; this is its end")
            elif missing_s > _DURATION_TOLERANCE_S:
                reason = f"the file ends {missing_s:.1f} s before its stated end"
                return Tail(max(latest, self._stated_end or latest), reason)
        return Tail(latest, reason) if reason else None
