"""Time that runs forward, whatever the stamps of a stream do.

Recordings are joined, encoders restart, counters wrap and bits flip. The clock is carried on then,
and each place where that happened is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from heapq import heappop, heappush
from itertools import chain, pairwise
from typing import Any, TypeAlias

import av

from seal.video.stream import DecodedPicture

# FFmpeg's own limits (its options dts_delta_threshold and dts_error_threshold, and the tenth of a
# second in ts_discontinuity_detect of ffmpeg_demux.c). A step of the clock over the first is a
# restart in formats whose clock may restart; a step over the second is a wrong stamp in any format.
RESTART_S = 10
IMPOSSIBLE_S = 30 * 3600
_TOLERANCE_S = Fraction(1, 10)

Piece: TypeAlias = "av.Packet[Any] | str"
"""A packet, or why packets are missing before the next one."""


class Timeline:
    """The clock of one stream, from its packets in the order of decoding.

    The decoding stamp of a packet is compared with those of the packets around it. A stamp that
    only this packet has is wrong, and taken away. Where stamps go back, or jump ahead further than
    the format allows, the clock has restarted: all times from there on are shifted so that the
    packet follows the one before.
    """

    def __init__(
        self, time_base: Fraction, restarts: bool, join: Callable[[int, str], None]
    ) -> None:
        """`restarts`: the format is one whose clock may restart, such as MPEG-TS.

        `join` is told of each place where the clock is carried on: its tick, and what happened.
        """
        self.due = 0
        """When the latest packet with a sound stamp ends, on the carried-on clock."""
        self._join = join
        self._time_base = time_base
        self._limit = round((RESTART_S if restarts else IMPOSSIBLE_S) / time_base)
        self._tolerance = round(_TOLERANCE_S / time_base)
        self._shift = 0
        self._is_cut = False
        self._last: int | None = None
        """The latest sound decoding stamp, on the carried-on clock."""
        self._others: dict[int, int] = {}
        self._elapsed_s: dict[int, float] = {}
        """How far other streams have come since the latest packet, by their own clocks."""

    def carry_on(self, pieces: Iterator[Piece], is_own: Callable[[Any], bool]) -> Iterator[Piece]:
        """All pieces, with the stamps of the stream's own packets on the carried-on clock."""
        held: av.Packet[Any] | None = None
        for piece in pieces:
            if isinstance(piece, str) or not is_own(piece):
                if held is not None and isinstance(piece, str):
                    yield self._settled(held, None)
                    held = None
                elif not isinstance(piece, str):
                    self._hear(piece)
                yield piece
                continue
            if held is not None:
                yield self._settled(held, piece.dts)
            held = piece
        if held is not None:
            yield self._settled(held, None)

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
            self._elapsed_s[index] = self._elapsed_s.get(index, 0.0) + step_s

    def _settled(self, packet: av.Packet[Any], following: int | None) -> av.Packet[Any]:
        """The packet with its stamps on the carried-on clock; `following` is the next raw one."""
        if packet.dts is not None and self._is_wrong(packet.dts, following):
            packet.dts = packet.pts = None
        if packet.dts is None:
            if packet.pts is not None and self._shift:
                packet.pts += self._shift
            return packet
        self._restart(packet.dts + self._shift)
        if packet.pts is not None and abs(packet.pts - packet.dts) > self._limit:
            packet.pts = None
        if self._shift:
            packet.dts += self._shift
            if packet.pts is not None:
                packet.pts += self._shift
        self._last = packet.dts
        duration = packet.duration or 0
        self.due = packet.dts + (duration if 0 < duration <= self._limit else 0)
        self._elapsed_s.clear()
        return packet

    def _is_wrong(self, raw: int, following: int | None) -> bool:
        """Whether the clock goes on after this stamp as if the stamp were not there."""
        if following is None:
            return False
        at, after = raw + self._shift, following + self._shift
        if self._last is None:
            return after < at - self._tolerance
        if not -self._tolerance <= after - self._last <= self.due - self._last + self._limit:
            return False
        return at > after + self._tolerance or at < self._last - self._tolerance

    def _restart(self, at: int) -> None:
        """Shift the clock if `at` cannot be a later time of the same clock."""
        if self._last is None:
            return
        step, was_cut, self._is_cut = at - self.due, self._is_cut, False
        if was_cut and step < 0:
            self._shift -= step
            return
        if at >= self._last - self._tolerance and step <= self._limit:
            return
        elapsed_s = max(self._elapsed_s.values(), default=0.0)
        if (
            step > 0
            and step * self._time_base - Fraction(elapsed_s) <= self._limit * self._time_base
        ):
            # The other streams went on meanwhile: these pictures are missing.
            return
        self._shift -= step
        step_s = float(step * self._time_base)
        self._join(self.due, f"the clock of the source jumps by {step_s:+.1f} s and is carried on")


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


def forward(pictures: Iterator[DecodedPicture], time_base: Fraction) -> Iterator[DecodedPicture]:
    """Decoded pictures in order of time.

    A stamp that the pictures around it contradict gives way to the place of its picture. Pictures
    whose stamps go back for longer are left out, and told.
    """
    tolerance = round(_TOLERANCE_S / time_base)
    last: DecodedPicture | None = None
    lost: str | None = None
    for picture, after in pairwise(chain(pictures, [None])):
        assert picture is not None
        if last is not None:
            next_pts = None if after is None else after.pts
            if picture.pts <= last.pts:
                alone = next_pts is not None and next_pts > last.pts
                if not alone and last.pts - picture.pts > tolerance:
                    lost = lost or picture.lost or "times that go back"
                    continue
                picture = _moved(picture, last.pts + 1)
            elif next_pts is not None and last.pts < next_pts < picture.pts:
                picture = _moved(picture, max(last.pts + 1, min(last.end, next_pts - 1)))
        if lost:
            picture, lost = replace(picture, lost=lost), None
        yield picture
        last = picture


def _moved(picture: DecodedPicture, pts: int) -> DecodedPicture:
    return replace(picture, pts=pts, end=pts + picture.end - picture.pts)
