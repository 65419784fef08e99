"""What moves by itself: optical flow between two pictures, less what the camera did."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seal.types import Float32, Float64, UInt8

_GRID_PX = 4
"""Flow is sampled this far apart to fit the camera's motion: DIS itself steps by this."""
_INLIER_PX = 0.5
"""Flow within this distance of the camera's motion belongs to the background."""
_NOISE_PX = 0.18
"""Flow of a still background errs by about this much, however well the camera's motion fits."""


@dataclass(frozen=True, eq=False)
class Motion:
    """What moved between two pictures; all maps are of the later one."""

    flow: Float32
    """[height, width, 2] px from each pixel to where it was in the earlier picture."""
    camera: Float64
    """[3, 3] where the camera's motion alone takes points of the later picture in the earlier."""
    noise_px: float
    """The length of residual that the background shows, a robust standard deviation."""

    def at(self, pixels: Float32) -> Float32:
        """[h, w, 2] where the camera's motion alone takes these pixels of the later picture."""
        return np.asarray(cv2.perspectiveTransform(pixels, self.camera), np.float32)


class Camera:
    """Flow of picture pairs of one size, and the motion of the camera in it.

    Dense flow is DIS (Kroeger et al. 2016), on pictures first shifted onto each other: its search
    is short, and pictures that are a fifth of a second apart can differ by a third of their width.
    The camera's motion is the homography that most of the flow agrees with: exact for a turning
    camera or a flat world, near for a far one.
    """

    def __init__(self, height: int, width: int) -> None:
        preset = cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST
        self._dis = cv2.DISOpticalFlow.create(preset)
        # The preset is for pictures of four times the size.
        self._dis.setFinestScale(0)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self.pixels: Float32 = np.stack([x, y], 2)
        half = _GRID_PX // 2
        self._sampled = (slice(half, None, _GRID_PX), slice(half, None, _GRID_PX))
        self._window = cv2.createHanningWindow((width, height), cv2.CV_32F)

    def motion(self, earlier: UInt8, later: UInt8) -> Motion:
        """What moved between two grey pictures [height, width]."""
        flow = self._flow(earlier, later)
        points = self.pixels[self._sampled].reshape(-1, 1, 2)
        moved = points + flow[self._sampled].reshape(-1, 1, 2)
        camera = self._fit(points, moved)
        lengths = np.linalg.norm(moved - cv2.perspectiveTransform(points, camera), axis=2)
        # Half of the picture is background at least: the lower half of the lengths holds no mover.
        # Lengths of a two-dimensional normal error have their median at 1.18 deviations.
        noise = float(np.median(lengths)) / 1.18
        return Motion(flow, camera, max(noise, _NOISE_PX))

    def _flow(self, earlier: UInt8, later: UInt8) -> Float32:
        here, there = (image.astype(np.float32) for image in (later, earlier))
        (x, y), _ = cv2.phaseCorrelate(here, there, self._window)
        shifts = [np.zeros(2), np.array([x, y])]
        aligned = [self._shifted(earlier, shift) for shift in shifts]
        # A peak of the correlation may be a mover's, or chance: it has to explain the picture.
        errors = [float(np.mean(cv2.absdiff(image, later))) for image in aligned]
        best = int(np.argmin(errors))
        flow = self._dis.calc(later, aligned[best], None)
        return np.asarray(flow + shifts[best].astype(np.float32), np.float32)

    def _shifted(self, image: UInt8, shift: Float64) -> UInt8:
        """The picture as seen `shift` px further right and down."""
        height, width = image.shape
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(
            image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(moved, np.uint8)

    def _fit(self, points: Float32, moved: Float32) -> Float64:
        """[3, 3] the camera's motion, from points [n, 1, 2] and where most were before."""
        matrix, _ = cv2.findHomography(points, moved, cv2.USAC_FAST, _INLIER_PX, None, 300)
        if matrix is None or abs(np.linalg.det(matrix)) < 1e-3:
            matrix = np.eye(3)
            matrix[:2, 2] = np.median(moved - points, axis=(0, 1))
        return np.asarray(matrix, np.float64)
