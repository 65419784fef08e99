"""The looks of text in the small analysed frames: whether it is still there, and where it is now.

Reading a picture takes a second, comparing a patch of a small one takes microseconds. So a patch
tells when the text that was read in a larger picture came and went.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from seal.types import Box, Float32, UInt8
from seal.video import Frame

_SHORT_SIDE_PX = 256
_BLUR_PX = 3.0
"""What is smoother than this is background: strokes of letters stay."""
_CELL_PX = 6
"""A line is compared in cells as wide as it is high, and at least as wide as this."""
_FAINT = 0.25
"""Cells with less than this share of the usual energy hold hardly any letter."""
_BLOCK_PX = 8
_STROKE = 12.0
"""Grey levels by which letters stand out from what is around them."""
_STEADY = 8.0
"""Grey levels by which a picture at rest changes from frame to frame."""
_NEW_STROKES = 0.12
"""By how much the share of strokes in a block grows where text appears."""
_NEW_BLOCKS = 2
_STILL = 4.0
"""Mean change of a block, in grey levels, below which nothing has changed in it."""


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of an analysed frame."""

    pts: int
    end_pts: int
    time_s: float
    grey: UInt8
    """[h, w], with a short side of 256 px at most."""
    strokes: Float32
    """[h, w] grey levels above or below what is around."""

    @staticmethod
    def of(frame: Frame) -> Look:
        """The look of a frame, with the short side scaled down to `_SHORT_SIDE_PX`."""
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        scale = _SHORT_SIDE_PX / min(grey.shape)
        if scale < 1:
            size = [max(1, round(side * scale)) for side in reversed(grey.shape)]
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        values = grey.astype(np.float32)
        strokes = values - cv2.GaussianBlur(values, (0, 0), _BLUR_PX)
        return Look(frame.pts, frame.end_pts, frame.time_s, grey, strokes)

    def is_like(self, other: Look) -> bool:
        """Whether nothing has changed between two frames but noise."""
        if self.grey.shape != other.grey.shape:
            return False
        change = cv2.absdiff(self.grey, other.grey).astype(np.float32)
        return float(_blocks(change).max()) < _STILL

    def stroke_shares(self, before: Look | None = None) -> Float32:
        """[h / 8, w / 8] the share of each block that are strokes, and are at rest since the look
        `before`."""
        strong = np.abs(self.strokes) > _STROKE
        if before is not None and before.strokes.shape == self.strokes.shape:
            strong &= np.abs(self.strokes - before.strokes) < _STEADY
        return _blocks(strong.astype(np.float32))


def appeared(shares: Float32, before: Float32) -> bool:
    """Whether blocks have strokes that had none."""
    if shares.shape != before.shape:
        return True
    return int((shares - before > _NEW_STROKES).sum()) >= _NEW_BLOCKS


def _blocks(values: Float32) -> Float32:
    height, width = (max(1, side // _BLOCK_PX) for side in values.shape)
    means: Float32 = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return means


class Resemblance(NamedTuple):
    """A patch of text against what is in its place."""

    opacity: float
    """How much of the text is there: 1 all of it, 0 nothing, between them while it fades."""
    weakest: float
    """The same of the cell that has least of it."""
    typical: float
    """Energy of the difference by that of the text, in the median cell."""
    worst: float
    """The same in the cell that differs most."""


GONE = Resemblance(0.0, 0.0, 1.0, 1.0)


class Patch:
    """The looks of one line of text."""

    def __init__(self, look: Look, box: Box) -> None:
        height, width = look.strokes.shape
        self.x0, self.y0 = int(box.x0 * width), int(box.y0 * height)
        self.width = max(3, int(np.ceil(box.x1 * width)) - self.x0)
        self.height = max(3, int(np.ceil(box.y1 * height)) - self.y0)
        self._strokes = _cut(look.strokes, self.x0, self.y0, self.width, self.height)
        cell_px = max(_CELL_PX, self.height)
        self._starts = np.arange(0, max(1, self.width - cell_px // 2), cell_px)
        energies = np.add.reduceat((self._strokes**2).sum(0), self._starts)
        self._counts = energies >= _FAINT * energies.mean()
        self._energies = np.maximum(energies, 1e-6)

    @property
    def energy(self) -> float:
        """Mean square of its strokes."""
        return float(self._energies.sum()) / self._strokes.size

    def compare(self, look: Look, x: int | None = None, y: int | None = None) -> Resemblance:
        """The patch against a frame, in its own place or with its corner at x, y."""
        x, y = self.x0 if x is None else x, self.y0 if y is None else y
        there = _cut(look.strokes, x, y, self.width, self.height)
        products = np.add.reduceat((self._strokes * there).sum(0), self._starts)
        squares = np.add.reduceat(((self._strokes - there) ** 2).sum(0), self._starts)
        shares = (products / self._energies)[self._counts]
        differences = (squares / self._energies)[self._counts]
        return Resemblance(
            opacity=float(products.sum() / self._energies.sum()),
            weakest=float(shares.min()),
            typical=float(np.median(differences)),
            worst=float(differences.max()),
        )

    def difference(self, look: Look, x: int | None = None, y: int | None = None) -> float:
        """Energy of the difference by that of the patch, over all of it."""
        x, y = self.x0 if x is None else x, self.y0 if y is None else y
        there = _cut(look.strokes, x, y, self.width, self.height)
        return float(((self._strokes - there) ** 2).sum() / self._energies.sum())

    def find(self, look: Look, x: int, y: int, reach: tuple[int, int]) -> tuple[int, int, float]:
        """Where within `reach`, px across and down, of x, y the patch fits best, and how well: at
        most 1."""
        across, down = reach
        x, y = x - across, y - down
        area = _cut(look.strokes, x, y, self.width + 2 * across, self.height + 2 * down)
        fits = cv2.matchTemplate(area, self._strokes, cv2.TM_CCORR_NORMED)
        _, best, _, (dx, dy) = cv2.minMaxLoc(np.nan_to_num(fits, posinf=0, neginf=0))
        return x + dx, y + dy, float(best)


def _cut(strokes: Float32, x: int, y: int, width: int, height: int) -> Float32:
    """A rectangle; outside of the picture there are no strokes."""
    cut = np.zeros((height, width), np.float32)
    rows, columns = strokes.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, columns), min(y + height, rows)
    if x0 < x1 and y0 < y1:
        cut[y0 - y : y1 - y, x0 - x : x1 - x] = strokes[y0:y1, x0:x1]
    return cut
