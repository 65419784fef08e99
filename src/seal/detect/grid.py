"""The boxes that an anchor-free detector says in the cells of its grids (YOLOX, Ge et al. 2021)."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from seal.detect import LEAST_SCORE, Detections
from seal.scaling import scaled
from seal.types import Float32, UInt8

STRIDES = (8, 16, 32)
"""px of the input from cell to cell, in the order in which the grids follow each other."""
REST = 114
"""The grey that networks were trained to see where the picture does not reach."""
_SAME_IOU = 0.65
"""Of two boxes of one name that overlap more, the less sure one goes, as in the official demo."""


def framed(image: UInt8, scale: float, rows: int, columns: int) -> tuple[UInt8, tuple[int, int]]:
    """A picture scaled by this factor in the left upper corner of [rows, columns, 3], grey around
    it, and the width and height in px that it fills."""
    height, width = image.shape[:2]
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    filled = np.full((rows, columns, 3), REST, np.uint8)
    filled[: inner[1], : inner[0]] = scaled(image, *inner)
    return filled, inner


@lru_cache(maxsize=16)
def cells(height: int, width: int) -> tuple[Float32, Float32]:
    """[n, 2] x and y of every cell, and [n, 1] px its stride, of an input of this size in px."""
    places, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(strides).astype(np.float32)


def detections(raw: Float32, height: int, width: int, shown: tuple[float, float]) -> Detections:
    """What `raw` [n, 5 + names] says of an input of `height` x `width` px.

    After the box, a cell has the probability that a thing is there, and that of each name. The
    picture fills the left upper `shown` px (width, height) of the input.
    """
    # Nearly all cells are empty: their names need not be compared.
    rows = np.flatnonzero(raw[:, 4] >= LEAST_SCORE)
    scores = raw[rows, 4] * raw[rows, 5:].max(1)
    likely = scores >= LEAST_SCORE
    rows, scores = rows[likely], scores[likely]
    raw, (places, strides) = raw[rows], (part[rows] for part in cells(height, width))
    middle = (raw[:, :2] + places) * strides
    half = np.exp(np.minimum(raw[:, 2:4], 10)) * strides / 2
    corners = np.concatenate([middle - half, middle + half], 1) / np.tile(shown, 2)
    boxes = corners.clip(0, 1).astype(np.float32)
    inside = (boxes[:, :2] < boxes[:, 2:]).all(1)
    boxes, scores, names = boxes[inside], scores[inside], raw[inside, 5:].argmax(1)
    spans = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxesBatched(
        spans.tolist(), scores.tolist(), names.tolist(), LEAST_SCORE, _SAME_IOU
    )
    order = np.asarray(kept, np.int64).ravel()
    order = order[np.argsort(-scores[order], kind="stable")]
    return Detections(boxes[order], scores[order], names[order])
