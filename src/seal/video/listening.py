"""What lies between the packets of the pictures: the sound, and other streams.

The sound of a source that can be read only once comes from the pass that gives its pictures. Its
clock is carried on with that of the pictures: where both jump, both are shifted by as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from av.container import InputContainer

from seal.types import Float32
from seal.video.sound import RATE_HZ, Mixer, Sound, bounded, pick_sound
from seal.video.timeline import RESTART_S, Piece, StreamClock

_TOLERANCE_S = 0.1
"""A stamp that is no further from the end of the packet before goes on with it."""
_HELD_S = 10.0
"""The pictures jump within this much sound after the sound, or they do not."""
_MOST_HELD = 2000
_MOST_WAITING = 50_000
"""So many packets wait for a listener, which is about a quarter of an hour of sound."""


class SoundClock:
    """The clock of the sound, from its packets in order.

    Which packet is the first after a restart differs between the pictures and the sound. So a
    packet of the sound whose stamp does not go on with the one before is held until the pictures
    have jumped as well. A stamp that only one packet has is wrong, and taken away.
    """

    def __init__(self, pictures: StreamClock) -> None:
        self._pictures = pictures
        self._shift_s = 0.0
        self._due_s: float | None = None
        """When the next packet is due, on the carried-on clock."""
        self._held: list[Any] = []
        self._held_s = 0.0

    def carry_on(self, packet: Any) -> Iterator[Any]:
        """The packets that can be placed by now, in order, with carried-on stamps."""
        if self._held and (packet.pts is None or self._shift_at(_seconds(packet)) is None):
            self._hold(packet)
            if self._held_s > _HELD_S or len(self._held) > _MOST_HELD:
                yield from self.rest()
            return
        held, self._held, self._held_s = self._held, [], 0.0
        for each in [*held, packet]:
            shift_s = None if each.pts is None else self._shift_at(_seconds(each))
            if shift_s is not None:
                yield self._placed(each, shift_s)
            elif each.pts is None or held:
                each.pts = each.dts = None
                yield each
            else:
                self._hold(each)

    def rest(self) -> Iterator[Any]:
        """The packets that are held: the sound has jumped and the pictures have not. It goes on
        without a break."""
        held, self._held, self._held_s = self._held, [], 0.0
        for packet in held:
            if packet.pts is not None:
                at_s = _seconds(packet)
                shift_s = self._shift_at(at_s)
                if shift_s is None:
                    assert self._due_s is not None
                    shift_s = self._due_s - at_s
                packet = self._placed(packet, shift_s)
            yield packet

    def _hold(self, packet: Any) -> None:
        self._held.append(packet)
        self._held_s += float((packet.duration or 0) * packet.time_base)

    def _shift_at(self, at_s: float) -> float | None:
        """By how much a packet with this stamp is shifted; None if it cannot be a later one."""
        if self._due_s is None:
            return self._pictures.shift_s
        if abs(at_s + self._shift_s - self._due_s) <= _TOLERANCE_S:
            return self._shift_s
        now_s = self._pictures.now_s
        shifts_s = {self._shift_s, self._pictures.shift_s}
        shift_s = min(shifts_s, key=lambda shift_s: (abs(at_s + shift_s - now_s), shift_s))
        ahead_s, away_s = at_s + shift_s - self._due_s, abs(at_s + shift_s - now_s)
        if shift_s != self._shift_s:
            # Of two recordings that were joined the first may have more sound than pictures.
            return shift_s if ahead_s > -_HELD_S else None
        if away_s > RESTART_S and ahead_s > RESTART_S:
            return None
        # Where the pictures are further from the packets before than from this one, those were
        # wrong.
        is_right = away_s + RESTART_S < abs(self._due_s - now_s)
        return shift_s if ahead_s >= 0 or is_right else None

    def _placed(self, packet: Any, shift_s: float) -> Any:
        packet.pts += round(shift_s / packet.time_base)
        self._shift_s = shift_s
        self._due_s = _seconds(packet) + float((packet.duration or 0) * packet.time_base)
        return packet


def _seconds(packet: Any) -> float:
    return float(packet.pts * packet.time_base)


class SoundFeed:
    """Takes the packets of the sound as they come, and hands on rows of samples with their times.

    Packets that come before anybody listens wait; they come with the first picture. Nothing is
    decoded where nobody listens.
    """

    def __init__(self) -> None:
        self.has_sound = False
        """Whether the source has sound that can be decoded, as it says when it is opened."""
        self._to: Callable[[Sound], None] | None = None
        self._is_shut = False
        self._waiting: list[Piece] = []

    def listen(self, to: Callable[[Sound], None]) -> None:
        """From now on `to` is called with all sound from the beginning on, a row at a time. Rows
        are in order of time, but where recordings are joined some sound may be placed anew."""
        self._to = to

    def pick(self, container: InputContainer) -> Any:
        """The stream of a container that is heard; None where none can be decoded."""
        stream = pick_sound(container)
        self.has_sound = self.has_sound or stream is not None
        return stream

    def begin(self, pictures: StreamClock) -> None:
        """The source is read from a place on; `pictures` is the clock of its pictures."""
        self._clock = SoundClock(pictures)
        self._mixer = Mixer(self._put)
        self._waiting = []

    def close(self) -> None:
        """Nothing more is heard."""
        self._is_shut, self._to, self._waiting = True, None, []
        # The mixer and the clock of the pictures refer to what refers to this feed: decoders would
        # stay until the garbage collector comes.
        for name in ("_mixer", "_clock"):
            vars(self).pop(name, None)

    def shut_unheard(self) -> None:
        """Where nobody listens by now, nobody will."""
        self._is_shut = self._to is None

    def hear(self, piece: Piece) -> None:
        """The next packet of the sound, or why packets are missing before the next one."""
        if self._is_shut:
            return
        for placed in [piece] if isinstance(piece, str) else self._clock.carry_on(piece):
            self._take(placed)

    def end(self) -> None:
        """The source has ended."""
        if self._is_shut:
            return
        for placed in self._clock.rest():
            self._take(placed)
        if self._to is not None:
            self._mix()
            self._mixer.flush()
            if self._mixer.lost:
                self._put(round(self._mixer.lost[-1].end_s * RATE_HZ), np.zeros((1, 0), np.float32))

    def _take(self, piece: Piece) -> None:
        self._waiting.append(piece)
        if self._to is not None:
            self._mix()
        elif len(self._waiting) > _MOST_WAITING:
            self._waiting[-2:] = ["the sound comes long before the pictures"]

    def _mix(self) -> None:
        waiting, self._waiting = self._waiting, []
        for piece in waiting:
            if isinstance(piece, str):
                self._mixer.missing(piece)
            else:
                self._mixer.hear(piece)

    def _put(self, place: int, rows: Float32) -> None:
        assert self._to is not None
        lost, self._mixer.lost = tuple(self._mixer.lost), []
        self._to(Sound(bounded(rows[0]), place / RATE_HZ, lost))


class OtherStreams:
    """What is seen of the other streams of a container while its video is read."""

    def __init__(self, container: InputContainer) -> None:
        self.end_s = 0.0
        """The latest end of a packet, by the clock of its stream."""
        self.own_pos = 0
        """The byte of the latest packet of the video itself."""
        self.unknown = False
        """Whether there are streams that were not there when the container was opened."""
        self._ticks_s = [float(stream.time_base or 0) for stream in container.streams]
        self._began: dict[int, int] = {}

    @property
    def has_successor(self) -> bool:
        """Whether another video stream may have begun after the last packet of the video."""
        return self.unknown or any(pos > self.own_pos for pos in self._began.values())

    def hear(self, packet: av.Packet[Any]) -> None:
        """The next packet of the container is this one, of another stream."""
        if packet.dts is not None:
            end = packet.dts + (packet.duration or 0)
            self.end_s = max(self.end_s, end * self._ticks_s[packet.stream_index])
        if packet.stream_index not in self._began and packet.stream.type == "video":
            self._began[packet.stream_index] = packet.pos or 0
