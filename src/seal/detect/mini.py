"""The detector that ships inside the wheel: a small network of our own, run by ONNX Runtime.

The network was trained to say what a larger one says, by the recipe in `training/mini`.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from seal.config import MiniDetect
from seal.dependencies import onnx_session
from seal.detect import Detections, Detector
from seal.detect.coco import COCO
from seal.detect.grid import STRIDES, detections, framed
from seal.errors import BackendError
from seal.types import UInt8

WEIGHTS = Path(__file__).parents[1] / "encode" / "weights" / "detector.onnx"
LONG_SIDE_PX = 416
"""The size that the network was trained for."""
GLANCE_PX = 384
"""Things are followed as well at this size, in four fifths of the time, and found a little less."""


def fitted(image: UInt8, long_side_px: int = LONG_SIDE_PX) -> tuple[UInt8, tuple[int, int]]:
    """A picture scaled to this longest side, with grey on the right and below, so that the network
    takes it, and the width and height in px that it fills."""
    height, width = image.shape[:2]
    scale = long_side_px / max(height, width)
    rows, columns = (-(-round(side * scale) // STRIDES[-1]) for side in (height, width))
    return framed(image, scale, max(1, rows) * STRIDES[-1], max(1, columns) * STRIDES[-1])


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
        self._net = onnx_session(content)

    def detect(self, image: UInt8) -> Detections:
        return self._look(image, LONG_SIDE_PX)

    def glance(self, image: UInt8) -> Detections:
        return self._look(image, GLANCE_PX)

    def _look(self, image: UInt8, long_side_px: int) -> Detections:
        filled, inner = fitted(image, long_side_px)
        ((cells,),) = self._net.run(None, {"picture": filled[None]})
        height, width = filled.shape[:2]
        return detections(cells, height, width, inner)
