"""One decoded picture with its exact time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from seal.types import UInt8


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """A picture, upright, in square pixels and the standard range, and when it is on the screen.

    All pictures of a video have the size of the first one. A later picture of another shape keeps
    its shape between black bars, and boxes are boxes in the picture with its bars.
    """

    image: UInt8
    """[height, width, 3] RGB."""
    pts: int
    """Presentation timestamp, in ticks of `time_base`, as the container has it."""
    end_pts: int
    """When the next picture takes its place, in the same ticks."""
    time_base: Fraction
    """Seconds per tick."""
    is_key: bool
    """The codec stores this picture whole."""
    between: Sequence[UInt8] = ()
    """[height / 2, width / 2] grey: pictures since the analysed one before, in order of time. Not
    all that there are: what had to be decoded anyway, and a few a second. They are converted when
    they are asked for, which is seldom, and hold decoded pictures until then."""
    enlarge: Callable[[int], UInt8] | None = field(default=None, repr=False)
    """Converts the decoded picture once more, with this short side. It holds the decoded picture
    for as long as the frame is held: whoever keeps frames takes it away."""

    def larger(self, short_side_px: int) -> UInt8:
        """The same picture [height, width, 3] RGB with a short side of this size where the source
        has it, so that small print can be read. The side is at least `image`, at most the source's
        size.

        Boxes mean the same in both. It is converted at each call.
        """
        if self.enlarge is None or short_side_px <= min(self.image.shape[:2]):
            return self.image
        return self.enlarge(short_side_px)

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        # The very float that the exact fraction has, many times faster.
        return self.pts * self.time_base.numerator / self.time_base.denominator
