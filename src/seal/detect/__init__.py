"""Things with names: one interface, several back ends (what is known of the object tokens)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from seal import backends
from seal.errors import OptionError
from seal.types import TEXT, Float32, Int64, Texts, UInt8, pairwise_iou

LEAST_SCORE = 0.05
"""Less sure finds are left out: there would be hundreds in every picture."""
_SAME_IOU = 0.5
"""A box is of a find's thing if they overlap so much, by the usual criterion for a detection."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one picture, the surest first."""

    boxes: Float32
    """[n, 4] normalised x0 y0 x1 y1, inside the picture."""
    scores: Float32
    """[n] how likely a thing of that name is there, in [0, 1]."""
    names: Int64
    """[n] the thing's name, as its number in `Detector.names`."""

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Any) -> Detections:
        return Detections(self.boxes[rows], self.scores[rows], self.names[rows])


class Detector(ABC):
    """Pictures to boxes of things that it has learned to name."""

    fingerprint: str
    """Identifies algorithm and weights; part of the key under which tokens are stored."""
    names: tuple[str, ...]
    """What it calls things, as a person would write it."""

    min_score: float
    """A find that is surer than this gives its thing a name; a less sure one only says where
    something may be."""

    @abstractmethod
    def detect(self, image: UInt8) -> Detections:
        """What is in one RGB picture [height, width, 3], unsure finds included."""

    def glance(self, image: UInt8) -> Detections:
        """The same for frames that follow each other: in less time, where a detector has a way."""
        return self.detect(image)

    def name(self, image: UInt8, boxes: Float32) -> tuple[Texts, Float32]:
        """What is in these boxes [n, 4], "" where nothing has a name, and how likely it is: [n].

        Normalised x0 y0 x1 y1. A box has the name of the find that it overlaps most.
        """
        found = self.detect(image)
        found = found[found.scores >= self.min_score]
        overlaps = pairwise_iou(boxes, found.boxes)
        names, scores = np.full(len(boxes), "", TEXT), np.zeros(len(boxes), np.float32)
        for row in np.flatnonzero(overlaps.max(1, initial=0) >= _SAME_IOU):
            best = int(overlaps[row].argmax())
            names[row], scores[row] = self.names[found.names[best]], found.scores[best]
        return names, scores


class Remembering(Detector):
    """A detector that is asked about one picture several times and looks once."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.fingerprint, self.names = detector.fingerprint, detector.names
        self.min_score = detector.min_score
        self._image: UInt8 | None = None

    def detect(self, image: UInt8) -> Detections:
        if self._image is not image:
            self._image, self._found = image, self._detector.detect(image)
        return self._found

    def glance(self, image: UInt8) -> Detections:
        # What a full look at this picture found must not count: whether there was one depends on
        # which kinds of tokens are made.
        return self._detector.glance(image)


def load(options: Any) -> Detector | None:
    """The detector that these options (`seal.config.YoloxDetect`, ...) describe; None for `none`.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    if options.backend == "none":
        return None
    detector: Detector = backends.make("detect", options, Detector)
    return detector


def needed(stage: str, backend: str, uses: bool, detector: Detector | None) -> tuple[Detector, ...]:
    """The detector, in a tuple, for a back end that `uses` one; otherwise nothing.

    Raises OptionError if it uses one and there is none.
    """
    if not uses:
        return ()
    if detector is None:
        others = ", ".join(name for name in backends.names("detect") if name != "none")
        raise OptionError(
            f"{stage}.backend={backend} follows what a detector finds, and detect.backend is none;"
            f" set it to one of {others}"
        )
    return (detector,)
