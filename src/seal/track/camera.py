"""What moves by itself: optical flow between two pictures, less what the camera did."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seal.types import Float32, UInt8

_GRID_PX = 8
"""Flow is sampled this far apart to fit the camera's motion: DIS itself has blocks of 8 px."""
_INLIER_PX = 1.0
"""Flow within this distance of the camera's motion belongs to the background, at 320x180."""
_NOISE_PX = 0.35
"""Flow of a still background errs by about this much, however well the camera's motion fits."""


@dataclass(frozen=True, eq=False)
class Motion:
    """What moved between two pictures; all maps are of the later one."""

    flow: Float32
    """[height, width, 2] px from each pixel to where it was in the earlier picture."""
    residual: Float32
    """[height, width, 2] the same without the camera's motion."""
    noise_px: float
    """The length of residual that the background shows, a robust standard deviation."""


class Camera:
    """Flow of picture pairs of one size, and the motion of the camera in it.

    Dense flow is DIS (Kroeger et al. 2016). The camera's motion is the homography that most of the
    flow agrees with: exact for a turning camera or a flat world, near for one that is far.
    """

    def __init__(self, height: int, width: int) -> None:
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._pixels: Float32 = np.stack([x, y], 2)
        half = _GRID_PX // 2
        self._sampled = (slice(half, None, _GRID_PX), slice(half, None, _GRID_PX))

    def motion(self, earlier: UInt8, later: UInt8) -> Motion:
        """What moved between two grey pictures [height, width]."""
        flow = self._dis.calc(later, earlier, None)
        camera = self._fit(flow)
        residual = flow - camera
        lengths = np.linalg.norm(residual[self._sampled], axis=2)
        # Half of the picture is background at least, so its lower half holds no mover: the
        # lengths of a two-dimensional normal error have their median at 1.18 deviations.
        noise = float(np.median(lengths)) / 1.18
        return Motion(flow, residual, max(noise, _NOISE_PX))

    def _fit(self, flow: Float32) -> Float32:
        """[height, width, 2] the flow that the camera's motion alone would cause."""
        points = self._pixels[self._sampled].reshape(-1, 2)
        moved = points + flow[self._sampled].reshape(-1, 2)
        matrix, _ = cv2.findHomography(points, moved, cv2.USAC_FAST, _INLIER_PX)
        if matrix is None:
            return np.zeros_like(flow) + np.median(flow, axis=(0, 1))
        seen = cv2.perspectiveTransform(self._pixels, matrix)
        return np.asarray(seen - self._pixels, np.float32)
