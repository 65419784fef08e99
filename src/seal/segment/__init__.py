"""Class-agnostic masks: one interface, several back ends (section 3.1, object tokens)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal import backends
from seal.detect import Detector, needed
from seal.types import TEXT, Float32, Int64, Texts, UInt8

if TYPE_CHECKING:
    from seal.segment.embedder import ImageEmbedder


@dataclass(frozen=True, eq=False)
class Masks:
    """What a segmenter found in one picture, the most stable first."""

    masks: NDArray[np.bool_]
    """[n, height, width] at the picture's own size."""
    boxes: Float32
    """[n, 4] normalised x0 y0 x1 y1 around each mask: tight, or as a detector gave it."""
    areas: Float32
    """[n] share of the picture that the mask covers, in [0, 1]."""
    stability: Float32
    """[n] how little the mask depends on the segmenter's thresholds, in [0, 1]; of a thing with a
    name, how likely it is there."""
    names: Texts
    """[n] what a detector calls it; "" for a region that has no name."""
    groups: Int64
    """[n] the stability of masks of different groups does not compare."""

    def __len__(self) -> int:
        return len(self.boxes)

    @staticmethod
    def of(
        masks: NDArray[np.bool_], stability: ArrayLike, names: Sequence[str] | None = None
    ) -> Masks:
        """Measure and sort masks [n, height, width] of which none is empty, stability [n]."""
        scores = np.asarray(stability, np.float32)
        order = np.argsort(-scores, kind="stable")
        masks = masks[order]
        areas = np.array([np.count_nonzero(mask) / mask.size for mask in masks], np.float32)
        called = np.array(names or [""] * len(masks), TEXT)[order]
        groups = np.zeros(len(masks), np.int64)
        return Masks(masks, mask_boxes(masks), areas, scores[order], called, groups)

    def take(self, rows: Any) -> Masks:
        """The masks of these rows, in their order."""
        return Masks(
            self.masks[rows],
            self.boxes[rows],
            self.areas[rows],
            self.stability[rows],
            self.names[rows],
            self.groups[rows],
        )


def mask_boxes(masks: NDArray[np.bool_]) -> Float32:
    """The tight boxes [n, 4], normalised, of masks [n, height, width]; 0 0 0 0 for an empty one."""
    height, width = masks.shape[1:]
    found = [cv2.boundingRect(mask.view(np.uint8)) for mask in masks]
    x, y, w, h = np.array(found, float).reshape(-1, 4).T
    boxes = np.stack([x / width, y / height, (x + w) / width, (y + h) / height], 1)
    return boxes.astype(np.float32)


class Segmenter(ABC):
    """Pictures to masks of whatever stands out."""

    fingerprint: str
    """Identifies algorithm and weights; part of the key under which tokens are stored."""
    uses_detector: bool = False
    """Whether it is made with a detector: `cls(options, detector)` in place of `cls(options)`."""
    embedder: ImageEmbedder | None = None
    """Embeds pictures, for a tracker of the same weights to share; None where nothing does."""

    @abstractmethod
    def segment(self, image: UInt8) -> Masks:
        """The masks of one RGB picture [height, width, 3]."""


class RememberingSegmenter(Segmenter):
    """A segmenter that is asked about one picture several times and looks once."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.fingerprint, self.embedder = segmenter.fingerprint, segmenter.embedder
        self.uses_detector = segmenter.uses_detector
        self._image: UInt8 | None = None

    def segment(self, image: UInt8) -> Masks:
        """See `Segmenter.segment`."""
        if self._image is not image:
            self._image, self._found = image, self._segmenter.segment(image)
        return self._found


def load(options: Any, detector: Detector | None = None) -> Segmenter:
    """The segmenter that these options (`seal.config.ClassicalSegment`, ...) describe.

    `detector` finds things with names, for the back ends that start from these. Raises BackendError
    if the back end's extra is not installed or its weights are not there, OptionError if it needs a
    detector and there is none.
    """
    chosen: type[Segmenter] = backends.resolve("segment", options.backend)
    uses = getattr(chosen, "uses_detector", False)
    given = needed("segment", options.backend, uses, detector)
    segmenter: Segmenter = backends.make("segment", options, Segmenter, *given)
    return segmenter
