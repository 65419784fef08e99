"""Pictures in the sizes that readers of text take."""

from __future__ import annotations

import cv2

from seal.types import UInt8

_MOST_ENLARGED = 4.0
"""Beyond it there is nothing to read, and what is guessed of a blur is wrong."""
_SMALLEST_PX = 64


def fitted(
    image: UInt8, short_side_px: int, enlarged_side_px: int, long_side_px: int
) -> tuple[UInt8, float]:
    """A picture made larger or smaller, and by what factor.

    One below `short_side_px` is enlarged to it, as long as its long side stays below
    `enlarged_side_px`; no side is longer than `long_side_px`. Below 64 px the picture's rim goes on
    to the right and below.
    """
    short, long = sorted(image.shape[:2])
    scale = max(1.0, min(short_side_px / short, enlarged_side_px / long, _MOST_ENLARGED))
    scale = min(scale, long_side_px / long)
    if scale != 1:
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        image = cv2.resize(image, (width, height), interpolation=how)
    below, right = (max(0, _SMALLEST_PX - side) for side in image.shape[:2])
    if below or right:
        image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return image, scale
