"""What every source of pictures gives: decoded pictures in order of time, with their losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

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
