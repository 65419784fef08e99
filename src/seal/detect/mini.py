"""The detector that ships inside the wheel: a small network of our own, run by ONNX Runtime.

It was trained to say what a larger one says, by the recipe in `training/mini`.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np

from seal.config import MiniDetect
from seal.dependencies import onnxruntime
from seal.detect import Detections, Detector
from seal.detect.coco import COCO
from seal.detect.grid import STRIDES, detections
from seal.errors import BackendError
from seal.types import UInt8

ort = onnxruntime()

WEIGHTS = Path(__file__).parents[1] / "encode" / "weights" / "detector.onnx"
LONG_SIDE_PX = 416
"""The size that the network was trained for."""
_REST = 114
"""The grey of what is added to a picture, so that its sides are whole cells."""


def fitted(image: UInt8) -> tuple[UInt8, tuple[int, int]]:
    """A picture scaled to the longest side that the network knows, with grey on the right and
    below, and the width and height in px that it fills."""
    height, width = image.shape[:2]
    scale = LONG_SIDE_PX / max(height, width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    columns, rows = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in inner)
    filled = np.full((rows, columns, 3), _REST, np.uint8)
    filled[: inner[1], : inner[0]] = cv2.resize(image, inner, interpolation=method)
    return filled, inner


class MiniDetector(Detector):
    """The network from the file beside this package's other weights, on one thread.

    Raises BackendError if the file is missing.
    """

    names = COCO

    def __init__(self, options: MiniDetect) -> None:
        if not WEIGHTS.is_file():
            raise BackendError(
                f"the mini detector lacks {WEIGHTS}: reinstall seal-video, or run the recipe in"
                " training/mini"
            )
        self.min_score = options.min_score
        content = WEIGHTS.read_bytes()
        self.fingerprint = f"mini-{blake2b(content, digest_size=8).hexdigest()}"
        session = ort.SessionOptions()
        # Indexing runs one process for each core.
        session.intra_op_num_threads = 1
        self._net = ort.InferenceSession(content, session, providers=["CPUExecutionProvider"])

    def detect(self, image: UInt8) -> Detections:
        filled, inner = fitted(image)
        ((cells,),) = self._net.run(None, {"picture": filled[None]})
        height, width = filled.shape[:2]
        return detections(cells, height, width, inner)
