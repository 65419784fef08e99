"""Time that runs forward, whatever the stamps of a stream do.

Recordings are joined, encoders restart, counters wrap and bits flip. The clock is carried on then,
and each place where that happened is noted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from heapq import heappop, heappush
from itertools import chain, pairwise
from typing import Any, TypeAlias

import av

from seal.video.sampling import REORDERED
from seal.video.stream import DecodedPicture

# FFmpeg's own limits (its options dts_delta_threshold and dts_error_threshold, and the tenth of a
# second in ts_discontinuity_detect of ffmpeg_demux.c). A step of the clock over the first is a
# restart in formats whose clock may restart; a step over the second is a wrong stamp in any format.
RESTART_S = 10
IMPOSSIBLE_S = 30 * 3600
_TOLERANCE_S = Fraction(1, 10)
# Stamps that are nearer to each other than this are those of no camera. Two packets may share one,
# for a picture may come in two fields, but not several in a row.
STILL_S = Fraction(1, 1000)
_STILL = 5
# Pictures of a film that lasts longer than this, each, do not come so fast all of a sudden.
_SLOW_S = Fraction(1, 100)
_ODD_DELAY = 3

Piece: TypeAlias = "av.Packet[Any] | str"
"""A packet, or why packets are missing before the next one."""


class StreamClock:
    """The clock of one stream, from its packets in the order of decoding.

    The decoding stamp of a packet is compared with those of the packets around it. A stamp that
    only this packet has is wrong, and taken away. Where stamps go back, or jump ahead further than
    the format allows, the clock has restarted. All times from there on are shifted so that the
    packet follows the one before.
    """

    def __init__(
        self, time_base: Fraction, restarts: bool, join: Callable[[int, str], None]
    ) -> None:
        """`restarts`: the format is one whose clock may restart, such as MPEG-TS.

        `join` is told of each place where the clock is carried on: its tick, and what happened.
        """
        self._due = 0
        """When the next packet is due to be decoded, on the carried-on clock."""
        self.end = 0
        """When the latest picture ends."""
        self._lasting = 0
        """How long the latest packet lasts, as stated or by the packets so far; 0: not known."""
        self._delay = 0
        """The longest time from decoding to showing so far."""
        self._join = join
        self._time_base = time_base
        self._restarts = restarts
        self._limit = round((RESTART_S if restarts else IMPOSSIBLE_S) / time_base)
        self._tolerance = round(_TOLERANCE_S / time_base)
        self._least = max(1, round(STILL_S / time_base))
        # In ticks, for they are compared with every packet.
        self._second, self._slow = round(1 / time_base), math.ceil(_SLOW_S / time_base)
        self._still = 0
        """For so many packets the clock has hardly moved."""
        self._shift = 0
        self._is_cut = False
        self._last: int | None = None
        """The latest sound decoding stamp, on the carried-on clock."""
        self._others: dict[int, int] = {}
        self._heard_s: dict[int, float] = {}
        """How far each of the other streams has come since the latest packet, by its own clock."""
        self._elapsed_s = 0.0
        """How far they had come when that packet arrived, since the one before."""

    def carry_on(self, pieces: Iterator[Piece], is_own: Callable[[Any], bool]) -> Iterator[Piece]:
        """All pieces, with the stamps of the stream's own packets on the carried-on clock."""
        held: av.Packet[Any] | None = None
        for piece in pieces:
            if isinstance(piece, str):
                if held is not None:
                    yield self._settled(held, None)
                    held = None
                yield piece
            elif not is_own(piece):
                self._hear(piece)
                yield piece
            else:
                if held is not None:
                    yield self._settled(held, piece.dts)
                held = piece if piece.dts is not None else None
                if held is None:
                    yield self._settled(piece, None)
                self._elapsed_s = max(self._heard_s.values(), default=0.0)
                self._heard_s.clear()
        if held is not None:
            yield self._settled(held, None)

    @property
    def shift_s(self) -> float:
        """By how much stamps are shifted now."""
        return float(self._shift * self._time_base)

    @property
    def now_s(self) -> float:
        """When the next packet is due to be decoded, on the carried-on clock."""
        return float(self._due * self._time_base)

    @property
    def _longest_wait(self) -> int:
        """How far a picture may be shown from where it is decoded."""
        if not self._restarts:
            return self._limit
        return max(REORDERED * self._lasting, self._second)

    def cut(self) -> None:
        """What comes next is another recording, and must not overlap with this one."""
        self._is_cut = True

    def _hear(self, packet: av.Packet[Any]) -> None:
        if packet.dts is None or packet.time_base is None:
            return
        index = packet.stream_index
        step_s = float((packet.dts - self._others.get(index, packet.dts)) * packet.time_base)
        self._others[index] = packet.dts
        if 0 < step_s < RESTART_S:
            self._heard_s[index] = self._heard_s.get(index, 0.0) + step_s

    def _settled(self, packet: av.Packet[Any], following: int | None) -> av.Packet[Any]:
        """The packet with its stamps on the carried-on clock; `following` is the next raw one."""
        if packet.dts is not None and self._is_wrong(packet.dts, following):
            packet.dts = packet.pts = None
            if self._last is None and following is not None:
                # The first picture is no later than the second, whatever start is stated.
                packet.dts = packet.pts = following - (packet.duration or 1)
        if packet.dts is None:
            if packet.pts is not None and self._shift:
                packet.pts += self._shift
            return packet
        self._restart(packet)
        if packet.pts is not None and abs(packet.pts - packet.dts) > self._longest_wait:
            packet.pts = None
        if self._shift:
            packet.dts += self._shift
            if packet.pts is not None:
                packet.pts += self._shift
        if packet.duration and self._least <= packet.duration <= self._limit:
            self._lasting = packet.duration
        elif self._last is not None and packet.dts - self._last >= self._least:
            # The shortest step so far: packets may be missing within the others.
            step = packet.dts - self._last
            self._lasting = min(self._lasting or step, step)
        if packet.pts is not None:
            self._delay = max(self._delay, packet.pts - packet.dts)
        end = (packet.dts if packet.pts is None else packet.pts) + self._lasting
        self.end = end if self._last is None else max(self.end, end)
        self._due = packet.dts + self._lasting
        self._last = packet.dts
        return packet

    def _is_wrong(self, raw: int, following: int | None) -> bool:
        """Whether the clock goes on after this stamp as if the stamp were not there."""
        if following is None:
            return False
        at, after = raw + self._shift, following + self._shift
        if self._last is None:
            return after < at - self._tolerance
        if not self._last <= after <= self._due + self._limit:
            return False
        return at > after + self._tolerance or at < self._last - self._tolerance

    def _restart(self, packet: av.Packet[Any]) -> None:
        """Shift the clock if the packet cannot be a later one of the same clock."""
        if self._last is None or packet.dts is None:
            return
        at = packet.dts + self._shift
        if self._stands_still(at):
            self._shift += self._due - at
            return
        jump = at - self._due
        goes_on = at >= self._last - self._tolerance and jump <= self._limit
        was_cut, self._is_cut = self._is_cut, False
        if goes_on and not (was_cut and jump < 0):
            return
        jump_s = float(jump * self._time_base)
        if jump_s > 0 and jump_s - self._elapsed_s <= self._limit * self._time_base:
            # The other streams went on meanwhile: the pictures between are missing.
            return
        delay = 0 if packet.pts is None else packet.pts - packet.dts
        if not was_cut and delay > _ODD_DELAY * max(self._delay, self._lasting):
            # The source has one stamp of the old clock and one of the new: the next is shown before
            # it.
            delay = self._lasting
        self._shift += self.end - (at + delay)
        if not was_cut:
            text = f"the clock of the source jumps by {jump_s:+.1f} s and is carried on"
            self._join(self.end, text)

    def _stands_still(self, at: int) -> bool:
        """Whether the clock has hardly moved for several packets, of which this one is the last."""
        assert self._last is not None
        is_slow = self._lasting >= self._slow
        self._still = self._still + 1 if is_slow and 0 <= at - self._last < self._least else 0
        if self._still == _STILL:
            self._join(self.end, "the clock of the source stands still and is carried on")
        return self._still >= _STILL


class DecodeOrder:
    """Presentation times for a container whose stamps are in the order of decoding, such as AVI.

    The decoder gives pictures in the order of presentation: each takes the earliest stamp left.
    """

    def __init__(self) -> None:
        self._stamps: list[int] = []

    def push(self, stamp: int | None) -> None:
        """The next packet has this stamp."""
        if stamp is not None:
            heappush(self._stamps, stamp)

    def pop(self, frame: av.VideoFrame) -> int | None:
        """The time of the next picture; None if no stamp is left."""
        # Packets before a whole picture that are not decoded by now never will be.
        while frame.key_frame and frame.pts and self._stamps and self._stamps[0] < frame.pts:
            heappop(self._stamps)
        return heappop(self._stamps) if self._stamps else None


def forward(pictures: Iterator[DecodedPicture]) -> Iterator[DecodedPicture]:
    """Decoded pictures in order of time.

    A decoder gives pictures in the order in which they are shown, so a stamp that the pictures
    around it contradict gives way to the place of its picture.
    """
    last: DecodedPicture | None = None
    for picture, after in pairwise(chain(pictures, [None])):
        assert picture is not None
        pts = picture.pts
        if last is not None:
            following = None if after is None or after.pts <= last.pts else after.pts
            if following is not None and not last.pts < pts < following:
                pts = max(last.pts + 1, min(last.end, following - 1))
            elif pts <= last.pts:
                pts = last.end
        last = replace(picture, pts=pts, end=pts + picture.end - picture.pts)
        yield last
