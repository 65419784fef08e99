"""What a damaged source raises, and which pictures of it are left out, and why."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av

# Damage spreads from picture to picture until one is stored whole. Streams that have no such
# picture (they refresh in slices) have healed after this long.
_HEALED_AFTER_S = 10.0
# A demuxer that fails this often in a row will not find its way again.
MAX_FAILURES = 100
# What PyAV raises for damaged input; some of it without a class of its own.
FAULTS = (av.FFmpegError, IndexError, ValueError, OverflowError)


def reason_of(error: Exception) -> str:
    """What a fault says, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Damage:
    """Which pictures to leave out: from the first sign of damage to the next whole picture."""

    def __init__(self, time_base: Fraction, takes_all: bool = False) -> None:
        """`takes_all`: damaged pictures are shown as the decoder has restored them."""
        self._takes_all = takes_all
        self.reason: str | None = None
        """Why pictures were left out, until that is told."""
        self._healed_after = round(_HEALED_AFTER_S / time_base)
        self._pending: str | None = None
        self._dts = 0
        self._first: int | None = None
        self._sound = 0

    @property
    def healed(self) -> bool:
        """Whether pictures are taken as they come."""
        return self._first is None

    @property
    def untold(self) -> str | None:
        """Why pictures were left out that nothing was told of yet."""
        return self.reason or self._pending

    def missing(self, reason: str) -> None:
        """Something before the next packet is missing."""
        self._pending = reason

    def at(self, packet: av.Packet[Any]) -> None:
        """The next packet is this one."""
        dts = packet.dts if packet.dts is not None else packet.pts
        self._dts = dts if dts is not None else self._dts
        if packet.is_corrupt:
            self.broken(packet, "packets are missing or cut off")
        elif self._pending:
            self._hide(packet.pts, self._pending)
        self._pending = None

    def broken(self, packet: av.Packet[Any], reason: str, first: int | None = None) -> None:
        """This packet does not make a picture, or one before it, of a picture from `first` on."""
        if first is not None:
            self._since(first)
        self._hide(None if packet.pts is None else packet.pts + 1, reason)

    def silent(self) -> None:
        """Pictures have not come, without a word from the decoder."""
        self.reason = self.reason or "pictures cannot be decoded"

    def told(self) -> str | None:
        """Why pictures before the one that is shown next were left out; once. Until damage has
        healed, what is shown is from before it."""
        if not self.healed and not self._takes_all:
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
        if self._takes_all:
            return False
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
