"""What every source of pictures gives: decoded pictures in order of time, with their losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av


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
    pixel_aspect: Fraction | None = None
    """Width over height of a pixel; None where it is that of the stream."""


@dataclass(frozen=True)
class Tail:
    """Why something is missing after the last picture, and until when."""

    end: int
    reason: str


@dataclass(frozen=True)
class Note:
    """Something about the source that its user has to know; nothing is missing."""

    time_s: float
    """Where it happened."""
    text: str


class PictureStream(ABC):
    """One source of pictures, open."""

    source: str | Path
    time_base: Fraction
    codec: str
    pixel_aspect: Fraction
    rate_hz: float | None
    end: int | None
    """The end in ticks, as the source states it or `survey` has found it; None if not known."""
    size_bytes: int | None
    begin: int
    """The earliest tick of which something is known to have been there."""
    takes_damaged: bool = False
    """Whether damaged pictures are given as the decoder restores them, and not left out."""
    only_keys: bool = False
    """Whether no pictures are decoded but those that the codec stores whole."""
    may_restart: bool = False
    """Whether the clock of such a source may restart on the way."""
    tail: Tail | None = None
    """Set when `pictures` has ended, if pictures are missing there."""
    notes: list[Note]
    """What was noticed so far, at `time_s` from the zero of the container's clock."""
    needs: Callable[[int], bool] = staticmethod(lambda pts: True)
    """Says of timestamps, in the order of decoding, whether the picture there is needed."""

    def note(self, pts: int, text: str) -> None:
        """Note something that happens at a tick; once, however often that place is read."""
        note = Note(float(pts * self.time_base), text)
        if note not in self.notes:
            self.notes.append(note)

    @abstractmethod
    def pictures(self, pts: int | None = None) -> Iterator[DecodedPicture]:
        """The pictures from the beginning, or from a keyframe at or before `pts`."""

    @abstractmethod
    def survey(self) -> bool:
        """Look through the source: sets `end` and `notes` to what is there and not what is stated.

        Gives whether the clock runs through, so that the source can be entered anywhere.
        """

    @abstractmethod
    def keyframe(self, pts: int) -> int | None:
        """When a keyframe at or before `pts` is; None where the source cannot seek."""

    @abstractmethod
    def close(self) -> None:
        """Release the source."""
