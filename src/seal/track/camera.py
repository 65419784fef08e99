"""What moves by itself: optical flow between two pictures, less what the camera did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from seal.track.steps import GRID_PX, Steps, matcher, positions
from seal.types import Float32, Float64, UInt8

_INLIER_PX = 0.5
"""Flow within this distance of the camera's motion belongs to the background."""
_ASTRAY_PX = 0.7
"""Where half of the flow is further than this from the camera's motion, flow is wrong."""
_EXPLAINED = 6.0
"""Levels of colour by which noise and compression change a pixel."""
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
    residual: Float32
    """[height, width, 2] px: the flow without the camera's, from later to earlier."""
    warp: Float32
    """[height, width, 2] px: where each pixel was in the earlier picture."""

    @cached_property
    def onward(self) -> Float64:
        """[3, 3] where the camera's motion alone takes points of the earlier picture."""
        return np.asarray(np.linalg.inv(self.camera), np.float64)

    @cached_property
    def residual_square(self) -> Float32:
        """[height, width] px ** 2: the squared length of the residual."""
        x, y = cv2.split(self.residual)
        return np.asarray(x * x + y * y, np.float32)


class Camera:
    """Flow of picture pairs of one size, and the motion of the camera in it.

    Dense flow is DIS (Kroeger et al. 2016), on pictures first shifted onto each other. Its search
    is short, and pictures that are a fifth of a second apart can differ by a third of their width.
    The camera's motion is the homography that most of the flow agrees with: exact for a turning
    camera or a flat world, near for a far one.
    """

    def __init__(self, height: int, width: int) -> None:
        self._dis = matcher()
        self._steps = Steps(height, width)
        self._pixels = positions(height, width)
        half = GRID_PX // 2
        self._sampled = (slice(half, None, GRID_PX), slice(half, None, GRID_PX))
        self._window = cv2.createHanningWindow((width, height), cv2.CV_32F)

    def motion(self, earlier: UInt8, later: UInt8, between: Sequence[UInt8] = ()) -> Motion:
        """What moved between two grey pictures [height, width].

        Where most of the flow does not agree on a motion of the camera, matching failed. The motion
        is found anew in the smaller steps that pictures `between` the two, of any size, allow.
        """
        motion, typical_px = self._explain(self._flow(earlier, later))
        if between and typical_px > _ASTRAY_PX:
            motion, _ = self._explain(self._steps.flow((earlier, *between, later)))
        return motion

    def _explain(self, flow: Float32) -> tuple[Motion, float]:
        """The camera's motion in a flow, and the median length of what it does not explain."""
        warp = self._pixels + flow
        points = self._pixels[self._sampled].reshape(-1, 1, 2)
        camera = self._fit(points, warp[self._sampled].reshape(-1, 1, 2))
        residual = warp - cv2.perspectiveTransform(self._pixels, camera)
        # Half of the picture is background at least: the lower half of the lengths holds no mover.
        typical_px = float(np.median(np.hypot(*np.moveaxis(residual[self._sampled], 2, 0))))
        # Lengths of a two-dimensional normal error have their median at 1.18 deviations.
        noise = max(typical_px / 1.18, _NOISE_PX)
        return Motion(flow, camera, noise, residual, warp), typical_px

    def _flow(self, earlier: UInt8, later: UInt8) -> Float32:
        here, there = (image.astype(np.float32) for image in (later, earlier))
        shift, _ = cv2.phaseCorrelate(here, there, self._window)
        aligned = self._shifted(earlier, shift)
        # A peak of the correlation may be a mover's, or chance: it has to explain the picture.
        if cv2.norm(aligned, later, cv2.NORM_L1) >= cv2.norm(earlier, later, cv2.NORM_L1):
            return np.asarray(self._dis.calc(later, earlier, None), np.float32)
        flow = self._dis.calc(later, aligned, None)
        return np.asarray(cv2.add(flow, (*shift, 0, 0)), np.float32)

    def _shifted(self, image: UInt8, shift: Sequence[float]) -> UInt8:
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
        if matrix is None or abs(cv2.determinant(matrix)) < 1e-3:
            matrix = np.eye(3)
            matrix[:2, 2] = np.median(moved - points, axis=(0, 1))
        return np.asarray(matrix, np.float64)


def soft(x: Float32, half: float) -> Float32:
    """x in [0, inf) to [0, 1): a half at `half`."""
    return x / (x + np.float32(half))


def unexplained(lab: UInt8, other: UInt8, camera: Float64) -> Float32:
    """[height, width] how far the camera's motion alone does not explain each pixel, in [0, 1].

    What the camera shows of a still world has, within a pixel, the colours that it had before.
    What moves differs at its edges at least: they vouch for the inside between them.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = lab.shape[1::-1]
    before = cv2.warpPerspective(other, camera, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    square = np.ones((3, 3), np.uint8)
    above = cv2.subtract(lab, cv2.dilate(before, square))
    below = cv2.subtract(cv2.erode(before, square), lab)
    change = cv2.transform(cv2.max(above, below), np.ones((1, 3), np.float32)).astype(np.float32)
    change *= change
    # Of the whole picture, a moving camera's errors at sharp edges are the usual change.
    change = soft(change, _EXPLAINED**2 + float(cv2.mean(change)[0]) / 4)
    change = cv2.dilate(cv2.blur(change, (3, 3)), np.ones((7, 7), np.uint8))
    return np.asarray(cv2.min(2 * change, 1.0), np.float32)
