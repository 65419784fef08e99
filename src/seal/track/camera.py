"""What moves by itself: optical flow between two pictures, less what the camera did."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seal.types import Float32, Float64, UInt8

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
    camera: Float64
    """[3, 3] where the camera's motion alone takes points of the later picture in the earlier."""
    noise_px: float
    """The length of residual that the background shows, a robust standard deviation."""

    def at(self, pixels: Float32, later: bool = False) -> Float32:
        """[h, w, 2] where these of the later picture's pixels at half size were before.

        With `later` they are the earlier picture's, and it is where they are afterwards.
        """
        matrix = np.linalg.inv(self.camera) if later else self.camera
        # Pixel i of half the size covers 2 i and 2 i + 1.
        seen = cv2.perspectiveTransform(2 * pixels + np.float32(0.5), matrix)
        return np.asarray((seen - 0.5) / 2, np.float32)


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
        # One scale finer than the preset: blocks of 16 px, not 32, see things of that size.
        self._dis.setFinestScale(1)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._pixels: Float32 = np.stack([x, y], 2)
        half = _GRID_PX // 2
        self._sampled = (slice(half, None, _GRID_PX), slice(half, None, _GRID_PX))
        self._window = cv2.createHanningWindow((width // 2, height // 2), cv2.CV_32F)

    def motion(self, earlier: UInt8, later: UInt8) -> Motion:
        """What moved between two grey pictures [height, width]."""
        flow = self._flow(earlier, later)
        points = self._pixels[self._sampled].reshape(-1, 1, 2)
        moved = points + flow[self._sampled].reshape(-1, 1, 2)
        camera = self._fit(points, moved)
        lengths = np.linalg.norm(moved - cv2.perspectiveTransform(points, camera), axis=2)
        # Half of the picture is background at least: the lower half of the lengths holds no mover.
        # Lengths of a two-dimensional normal error have their median at 1.18 deviations.
        noise = float(np.median(lengths)) / 1.18
        return Motion(flow, camera, max(noise, _NOISE_PX))

    def _flow(self, earlier: UInt8, later: UInt8) -> Float32:
        height, width = later.shape
        half = (width // 2, height // 2)
        here, there = (cv2.resize(i, half).astype(np.float32) for i in (later, earlier))
        (x, y), _ = cv2.phaseCorrelate(here, there, self._window)
        shifts = [np.zeros(2), 2 * np.array([x, y])]
        aligned = [self._shifted(earlier, shift) for shift in shifts]
        # A peak of the correlation may be a mover's, or chance: it has to explain the picture.
        errors = [float(np.mean(cv2.absdiff(image, later)[::4, ::4])) for image in aligned]
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
