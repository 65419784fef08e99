"""Class-agnostic masks: one interface, several back ends (section 3.1, object tokens)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal import backends
from seal.types import Float32, UInt8


@dataclass(frozen=True, eq=False)
class Masks:
    """What a segmenter found in one picture, the most stable first."""

    masks: NDArray[np.bool_]
    """[n, height, width] at the picture's own size."""
    boxes: Float32
    """[n, 4] normalised x0 y0 x1 y1, tight around each mask."""
    areas: Float32
    """[n] share of the picture that the mask covers, in [0, 1]."""
    stability: Float32
    """[n] how little the mask depends on the segmenter's thresholds, in [0, 1]."""

    def __len__(self) -> int:
        return len(self.boxes)

    @staticmethod
    def of(masks: NDArray[np.bool_], stability: ArrayLike) -> Masks:
        """Measure and sort masks [n, height, width] of which none is empty, stability [n]."""
        scores = np.asarray(stability, np.float32)
        order = np.argsort(-scores, kind="stable")
        masks = masks[order]
        areas = np.array([np.count_nonzero(mask) / mask.size for mask in masks], np.float32)
        return Masks(masks, mask_boxes(masks), areas, scores[order])


def mask_boxes(masks: NDArray[np.bool_]) -> Float32:
    """The tight boxes [n, 4], normalised, of masks [n, height, width]; 0 0 0 0 for an empty one."""
    height, width = masks.shape[1:]
    found = [cv2.boundingRect(mask.view(np.uint8)) for mask in masks]
    x, y, w, h = np.array(found, float).reshape(-1, 4).T
    boxes = np.stack([x / width, y / height, (x + w) / width, (y + h) / height], 1)
    return boxes.astype(np.float32)


class Segmenter(ABC):
    """Pictures to masks of whatever stands out, without classes."""

    fingerprint: str
    """Identifies algorithm and weights; part of the key under which tokens are stored."""

    @abstractmethod
    def segment(self, image: UInt8) -> Masks:
        """The masks of one RGB picture [height, width, 3]."""


def load(options: Any) -> Segmenter:
    """The segmenter that these options (`seal.config.ClassicalSegment`, ...) describe.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    segmenter: Segmenter = backends.resolve("segment", options.backend)(options)
    return segmenter
