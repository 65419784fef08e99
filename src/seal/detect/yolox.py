"""Official YOLOX networks, as ONNX files of their makers (Ge et al. 2021, Apache-2.0)."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np

from seal.config import YoloxDetect
from seal.dependencies import onnx_session
from seal.detect import Detections, Detector
from seal.detect.coco import COCO
from seal.detect.grid import STRIDES, detections, framed
from seal.errors import BackendError
from seal.types import UInt8


class YoloxDetector(Detector):
    """A network of 80 names from the file `weights`, on one thread.

    Raises BackendError if the file is missing or is no such network.
    """

    names = COCO

    def __init__(self, options: YoloxDetect) -> None:
        self.min_score = options.min_score
        path = Path(options.weights)
        if not path.is_file():
            raise BackendError(
                f"detect.weights={options.weights} is no file: name the ONNX file of an official"
                " YOLOX network, such as yolox_nano.onnx"
            )
        content = path.read_bytes()
        self.fingerprint = f"yolox {blake2b(content, digest_size=8).hexdigest()}"
        try:
            self._net = onnx_session(content)
            ((self._input, shape),) = ((i.name, i.shape) for i in self._net.get_inputs())
            (self._output,) = (o.shape for o in self._net.get_outputs())
        except Exception as error:
            raise BackendError(f"{path} is no YOLOX network: {error}") from error
        sides = shape[2:]
        cells = sum((sides[0] // s) * (sides[1] // s) for s in STRIDES) if len(sides) == 2 else 0
        if list(self._output) != [1, cells, 5 + len(COCO)]:
            raise BackendError(
                f"{path} is no YOLOX network of {len(COCO)} names: it gives {self._output} for"
                f" {shape}"
            )
        self._height, self._width = sides

    def detect(self, image: UInt8) -> Detections:
        height, width = image.shape[:2]
        scale = min(self._height / height, self._width / width)
        filled, inner = framed(image, scale, self._height, self._width)
        bgr = np.ascontiguousarray(filled[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
        ((raw,),) = self._net.run(None, {self._input: bgr})
        return detections(raw, self._height, self._width, inner)
