"""RF-DETR (Robinson et al. 2025) by transformers: a detector for those who can download one."""

from __future__ import annotations

import numpy as np

from seal.config import RfDetrDetect
from seal.detect import LEAST_SCORE, Detections, Detector
from seal.devices import Runtime
from seal.errors import BackendError
from seal.pixels import IMAGENET, normalisation, to_pixels
from seal.types import UInt8
from seal.weights import locate

_NOTHING = "N/A"
"""How checkpoints call the numbers of COCO that no thing has."""


class RfDetrDetector(Detector):
    """A network whose names are those of its configuration.

    Raises BackendError if the extra is not installed or the weights are not there.
    """

    def __init__(self, options: RfDetrDetect) -> None:
        weights = locate(options.weights, options.revision)
        self._runtime = Runtime.of(options)
        self._model = self._runtime.load("RfDetrForObjectDetection", weights)
        self._runtime.compiled(self._model)
        self.fingerprint = f"rf-detr {weights.fingerprint}"
        self.min_score = options.min_score
        called = self._model.config.id2label
        self.names = tuple(called[i] for i in range(len(called)))
        self._named = np.array([name != _NOTHING for name in self.names])
        self._mean_std = normalisation(weights, IMAGENET)
        size = weights.json("preprocessor_config.json").get("size", {})
        if not size.get("height") or size.get("height") != size.get("width"):
            raise BackendError(
                f"preprocessor_config.json in {weights.folder} must say which square pictures are"
                f" resized to, and says {size}"
            )
        self._side = int(size["height"])

    def detect(self, image: UInt8) -> Detections:
        pixels = to_pixels(image, (self._side, self._side), self._side, *self._mean_std)
        with self._runtime.running():
            output = self._model(pixel_values=pixels.to(self._runtime.device))
            scores = output.logits[0].float().sigmoid().cpu().numpy() * self._named
            middle, size = (
                output.pred_boxes[0].float().cpu().numpy().reshape(-1, 2, 2).swapaxes(0, 1)
            )
        boxes = np.concatenate([middle - size / 2, middle + size / 2], 1).clip(0, 1)
        best = scores.max(1)
        rows = np.argsort(-best, kind="stable")
        inside = np.all(boxes[:, :2] < boxes[:, 2:], axis=1)
        rows = rows[((best >= LEAST_SCORE) & inside)[rows]]
        return Detections(boxes[rows], best[rows], scores[rows].argmax(1))
