"""Outlines: maps of a thing drawn to the colours that set it apart, and the boxes of maps."""

from __future__ import annotations

import cv2
import numpy as np

from seal.types import Float32, Int64, UInt8

_BINS = 12
"""Levels of each of L, a, b in a colour model."""
_PRIOR = 0.3
"""How much the place counts against the colours, when a thing's outline is drawn."""
REACH_PX = 4
"""Pixels of the map by which flow is off from picture to picture."""
_THIN = 0.01
"""Share of a region that its box leaves out on each side."""
MIN_AREA = 0.0012
"""Smaller regions are noise; a share of the picture."""
_TRACE = 0.02
"""A map of less than this is nothing: work is cut to the rest."""

_LEVEL = np.arange(256)
# a and b of real pictures fill the middle half of their range.
_COLOUR = np.clip((_LEVEL - 64) * _BINS // 128, 0, _BINS - 1)
# What each level of L, a and b adds to the number of a cell; OpenCV adds up floats, and exactly.
_PLACES = np.stack([_LEVEL * _BINS // 256 * _BINS**2, _COLOUR * _BINS, _COLOUR], 1)[None]
_PLACES = _PLACES.astype(np.float32)


def cells(lab: UInt8) -> Int64:
    """[height, width] the cell of a colour model that each pixel falls into."""
    numbers = cv2.transform(cv2.LUT(lab, _PLACES), np.ones((1, 3), np.float32))
    return np.asarray(numbers, np.int64)


_SMOOTH = np.eye(_BINS, dtype=np.float32)
_SMOOTH += (np.eye(_BINS, k=1) + np.eye(_BINS, k=-1)).astype(np.float32) / 2


def histogram(bins: Int64, weights: Float32 | UInt8) -> Float32:
    """[bins ** 3] shares of the colours, smoothed by a bin."""
    counts = np.bincount(bins.ravel(), weights.ravel(), _BINS**3).astype(np.float32)
    cube = (_SMOOTH @ counts.reshape(_BINS, -1)).reshape(_BINS, _BINS, _BINS)
    cube = _SMOOTH @ cube @ _SMOOTH
    return np.asarray(cube.ravel() / max(float(cube.sum()), 1e-6), np.float32)


def alike(a: Float32, b: Float32) -> float:
    """How much two colour models share, in [0, 1]: Bhattacharyya's coefficient."""
    return float(np.sqrt(a * b).sum())


def likelihood(inside: Float32, outside: Float32, bins: Int64) -> Float32:
    """[height, width] how likely each pixel's colour is one of `inside`'s, in [0, 1]."""
    floor = 1e-4
    a, b = (inside + floor) ** 2, (outside + floor) ** 2
    ratio = a / (a + b)
    return np.asarray(ratio[bins], np.float32)


def refine(mask: Float32, bins: Int64, colours: Float32 | None = None) -> Float32:
    """A map of a thing, drawn to the colours that set it apart from what surrounds it.

    Flow spills over edges by the size of its blocks, so that a region has background in it. But
    its ring has nothing else, and what the ring has much of is background inside too.
    """
    if not mask.any():
        return mask
    reach = int(np.clip(0.35 * np.sqrt(mask.sum()), 3, 15)) if colours is None else REACH_PX
    x, y, w, h = cv2.boundingRect((mask > _TRACE).astype(np.uint8))
    rim = reach + 2
    rows = slice(max(0, y - rim), y + h + rim)
    columns = slice(max(0, x - rim), x + w + rim)
    whole, mask, bins = mask, mask[rows, columns], bins[rows, columns]
    near = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    for _ in range(2):
        outside = histogram(bins, near * (1 - mask) + 1e-4)
        inside = histogram(bins, mask) if colours is None else colours
        likely = cv2.blur(likelihood(inside, outside, bins), (3, 3))
        refined = cv2.GaussianBlur(near * (_PRIOR * mask + (1 - _PRIOR) * likely), (3, 3), 0)
        # Nothing sets it apart: the region as it is says more.
        if area_px(refined) < 0.15 * area_px(mask):
            return whole
        mask = np.asarray(refined > 0.5, np.float32) if colours is None else refined
    drawn = np.zeros_like(whole)
    drawn[rows, columns] = mask
    return drawn


def area_px(mask: Float32) -> int:
    """px above a half."""
    return cv2.countNonZero((mask > 0.5).view(np.uint8))


def box_of(mask: Float32) -> Float32 | None:
    """Normalised box of the largest part of a map above a half; None if there is none."""
    solid = (mask > 0.5).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(solid)
    if not w:
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid[y : y + h, x : x + w])
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    area = stats[largest, cv2.CC_STAT_AREA]
    if area < MIN_AREA * mask.size / 2:
        return None
    part = (labels == largest).view(np.uint8)
    edges = []
    for axis, start in ((0, x), (1, y)):
        along = np.cumsum(cv2.reduce(part, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)) / area
        # Thin ends are spill more often than limbs.
        first, last = start + np.searchsorted(along, [_THIN, 1 - _THIN])
        edges.append((first / mask.shape[1 - axis], (last + 1) / mask.shape[1 - axis]))
    (x0, x1), (y0, y1) = edges
    return np.array([x0, y0, x1, y1], np.float32)


def overlap(a: Float32, b: Float32) -> float:
    """Intersection over union of two boxes."""
    ax0, ay0, ax1, ay1 = a.tolist()
    bx0, by0, bx1, by1 = b.tolist()
    shared = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
    return float(shared / ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared))
