"""Dense optical flow: between two pictures, or in steps where these differ too much."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from seal.types import Float32, UInt8

GRID_PX = 4
"""DIS matches blocks of 8 px this far apart, and the camera's motion is fitted to flow as far
apart. At 5 px things that move are found less often, and it is a fifth quicker."""


def matcher() -> cv2.DISOpticalFlow:
    """DIS flow (Kroeger et al. 2016) for pictures as small as the maps of `motion`."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    # The preset is for pictures of four times the size.
    dis.setFinestScale(0)
    dis.setPatchStride(GRID_PX)
    return dis


def positions(height: int, width: int) -> Float32:
    """[height, width, 2] px: x and y of each pixel."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], 2)


class Steps:
    """Flow through the pictures between two, each matched with the next.

    Flow is found at half the size, with five steps in the time of one at full size. It is less
    exact than one step, and it finds what one step does not find at all.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = width, height
        self._half = (width + 1) // 2, (height + 1) // 2
        self._pixels = positions(*self._half[::-1])
        self._dis = matcher()

    def flow(self, pictures: Sequence[UInt8]) -> Float32:
        """[height, width, 2] px from each pixel of the last picture to where it was in the first.

        `pictures` are grey, in order of time, of any size.
        """
        small = [cv2.resize(p, self._half, interpolation=cv2.INTER_AREA) for p in pictures]
        flow = np.zeros_like(self._pixels)
        for later, earlier in pairwise(reversed(small)):
            step = self._dis.calc(later, earlier, None)
            flow += cv2.remap(
                step, self._pixels + flow, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        scale = np.divide(self._size, self._half, dtype=np.float32)
        return np.asarray(cv2.resize(flow, self._size) * scale, np.float32)
