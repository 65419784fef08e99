"""What a detector finds, with regions of colour and texture for what it was not taught.

Two finds that overlap, such as a rider and a horse, are one thing as well (Arbelaez et al. 2014
propose pairs of neighbouring regions for the same reason).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seal.config import ClassicalSegment, MiniSegment
from seal.detect import Detections, Detector
from seal.segment import Masks, Segmenter
from seal.segment.classical import ClassicalSegmenter
from seal.types import TEXT, Float32, UInt8, box_areas, pairwise_iou

_REGION_IOU = 0.5
"""A region is the mask of a find if their boxes overlap so much."""
_PAIR_SHARE = 0.1
"""Two finds make a pair if they share more than this of the smaller one."""
_FINDS = 1
"""The group of masks that a detector found; the others are regions."""

_ROUNDING_PX = 1e-3


class MiniSegmenter(Segmenter):
    """Finds that are sure enough for a name, and without a name pairs of these, less sure finds and
    regions that have no name. Boxes are the detector's where it found something."""

    uses_detector = True

    def __init__(self, options: MiniSegment, detector: Detector) -> None:
        del options  # It has none; every segmenter is made from its options.
        self._detector = detector
        self._classical = ClassicalSegmenter(ClassicalSegment())
        self.fingerprint = f"mini-2 {self._classical.fingerprint} {detector.fingerprint}"

    def segment(self, image: UInt8) -> Masks:
        """See `Segmenter.segment`."""
        found = self._detector.detect(image)
        regions = self._classical.segment(image)
        sure = found.scores >= self._detector.min_score
        pairs = _pairs(found[sure])
        boxes = np.concatenate([found.boxes, pairs.boxes])
        names = np.full(len(boxes), "", TEXT)
        names[: len(found)][sure] = [self._detector.names[i] for i in found.names[sure]]
        overlaps = pairwise_iou(boxes, regions.boxes)
        free = np.flatnonzero(overlaps[names != ""].max(0, initial=0) < _REGION_IOU)
        stability = np.concatenate([found.scores, pairs.scores, regions.stability[free]])
        # Masks are large: each is drawn where it is to stay.
        order = np.argsort(-stability, kind="stable")
        masks = np.zeros((len(order), *image.shape[:2]), bool)
        for mask, row in zip(masks, order.tolist(), strict=True):
            if row < len(boxes):
                _draw(mask, boxes[row], regions, overlaps[row])
            else:
                mask[:] = regions.masks[free[row - len(boxes)]]
        return Masks(
            masks,
            np.concatenate([boxes, regions.boxes[free]])[order],
            np.array([np.count_nonzero(mask) / mask.size for mask in masks], np.float32),
            stability[order],
            np.concatenate([names, regions.names[free]])[order],
            np.concatenate([np.full(len(boxes), _FINDS), regions.groups[free]])[order],
        )


def _draw(mask: NDArray[np.bool_], box: Float32, regions: Masks, overlaps: Float32) -> None:
    """Fill an empty mask with the region that overlaps a box most, or else with the box."""
    inside = _pixels(box, *mask.shape)
    has_region = overlaps.max(initial=0) >= _REGION_IOU
    mask[inside] = regions.masks[int(overlaps.argmax())][inside] if has_region else True


def _pairs(found: Detections) -> Detections:
    """The boxes around two finds of different names that overlap, as sure as the less sure one."""
    boxes, areas = found.boxes, box_areas(found.boxes)
    i, j = np.triu_indices(len(found), 1)
    low, high = (f(boxes[i], boxes[j]) for f in (np.minimum, np.maximum))
    inner = np.clip(low[:, 2:] - high[:, :2], 0, None).prod(1)
    rows = (inner > _PAIR_SHARE * np.minimum(areas[i], areas[j])) & (
        found.names[i] != found.names[j]
    )
    around = np.concatenate([low[:, :2], high[:, 2:]], 1)[rows]
    scores = np.minimum(found.scores[i], found.scores[j])[rows]
    return Detections(around, scores, np.zeros(len(scores), np.int64))


def _pixels(box: Float32, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of a box, one of each at least."""
    x0, y0 = (box[:2] * (width, height) + _ROUNDING_PX).astype(int).tolist()
    # The corners of a box of whole pixels are off by a rounding.
    x1, y1 = np.ceil(box[2:] * (width, height) - _ROUNDING_PX).astype(int).tolist()
    return slice(min(y0, height - 1), max(y1, y0 + 1)), slice(min(x0, width - 1), max(x1, x0 + 1))
