"""Scenes that the detector learns from, and what its teacher says about them.

A scene is one picture, or several side by side, as a camera would show several things at once. The
teacher looks at the scene itself, so that no label is needed and every scene can be new.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import onnx

from data import DATA, SEED, Pictures, augment
from seal.dependencies import onnx_session
from seal.detect.grid import REST, cells

MODEL = DATA / "teacher" / "yolox_nano.onnx"
SIDE_PX = 416
"""The longer side of a scene."""
SIZES = ((256, 416), (320, 416), (416, 416), (416, 256))
"""px rows and columns of scenes, as the detector is shown videos ..."""
SIZE_SHARES = (0.45, 0.2, 0.2, 0.15)
"""... and how many of the batches have each."""
ALONE = 0.25
"""Share of the scenes that are one picture."""
PLACE_PX = (80, 300)
"""The sides of the places of other scenes are about so long, as many of a double as of a half."""
FRAMES = 0.05
"""Share of the scenes that are a frame of a film."""

HINTS = {
    "dark3": "input.175", "dark4": "input.283", "dark5": "input.359",
    "out3": "input.471", "out4": "input.531", "out5": "input.591",
    "named3": "input.631", "named4": "input.703", "named5": "input.775",
    "placed3": "input.663", "placed4": "input.735", "placed5": "input.807",
}  # fmt: skip
"""Maps of the teacher: its trunk at strides 8, 16 and 32, its pyramid, and the features that names
and places are read from."""


class Teacher:
    """YOLOX-nano, with the maps inside it."""

    def __init__(self) -> None:
        model = onnx.load(MODEL)
        for tensor in HINTS.values():
            value = onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(value)
        self._net = onnx_session(model.SerializeToString())

    def __call__(self, scene: np.ndarray) -> dict[str, np.ndarray]:
        """The maps [c, h, w] by name, and "raw" [cells, 5 + names], of a scene.

        The teacher knows squares alone: grey is put beside the scene, and what is said there goes.
        """
        height, width = scene.shape[:2]
        square = np.full((SIDE_PX, SIDE_PX, 3), REST, np.uint8)
        square[:height, :width] = scene
        bgr = square[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        raw, *maps = self._net.run(None, {"images": np.ascontiguousarray(bgr)})
        places, strides = cells(SIDE_PX, SIDE_PX)
        inside = (places * strides < (width, height)).all(1)
        parts = zip(HINTS, maps, strict=True)
        return {"raw": raw[0][inside]} | {
            name: map_[
                0, :, : height * map_.shape[2] // SIDE_PX, : width * map_.shape[3] // SIDE_PX
            ]
            for name, map_ in parts
        }


def fill(picture: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of the picture that fills these px, up to a quarter enlarged."""
    h, w = picture.shape[:2]
    scale = max(height / h, width / w) * rng.uniform(1.0, 1.25)
    part_h, part_w = max(1, round(height / scale)), max(1, round(width / scale))
    y, x = rng.integers(h - part_h + 1), rng.integers(w - part_w + 1)
    part = picture[y : y + part_h, x : x + part_w]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    filled = cv2.resize(part, (width, height), interpolation=method)
    if scale > 1:
        blurred, sharper = cv2.GaussianBlur(filled, None, scale), rng.uniform(0, 1)
        filled = cv2.addWeighted(filled, 1 + sharper, blurred, -sharper, 0)
    return filled[:, ::-1] if rng.random() < 0.5 else filled


def edges(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """[count + 1] px where the rows or columns of a scene begin and end, of uneven size."""
    inner = np.arange(1, count) / count + rng.uniform(-0.15, 0.15, count - 1) * 2 / count
    return np.rint(np.concatenate([[0], inner, [1]]) * length).astype(int)


class Scenes:
    """Scenes of these pictures and frames; scene number i of a size is always the same one."""

    def __init__(self, pictures: Pictures, rows: np.ndarray, frames: Pictures | None) -> None:
        self._pictures, self._rows, self._frames = pictures, rows, frames

    def __call__(self, number: int, size: tuple[int, int]) -> np.ndarray:
        """A scene [*size, 3]. The shorter side is not always full: videos end in grey there."""
        rng = np.random.default_rng((SEED, 2, number))
        scene = np.full((*size, 3), REST, np.uint8)
        left = int(rng.integers(32)) if size[0] != size[1] and rng.random() < 0.5 else 0
        height, width = (side - left * (side < SIDE_PX) for side in size)
        scene[:height, :width] = augment(self._filled(height, width, rng), rng)
        return scene

    def _filled(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        if self._frames is not None and rng.random() < FRAMES:
            return fill(self._frames[int(rng.integers(len(self._frames)))], height, width, rng)
        place_px = np.exp(rng.uniform(*np.log(PLACE_PX)))
        shape = (1, 1) if rng.random() < ALONE else (height / place_px, width / place_px)
        rows, columns = (
            edges(max(1, round(count)), length, rng)
            for count, length in zip(shape, (height, width), strict=True)
        )
        filled = np.empty((height, width, 3), np.uint8)
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                picture = self._pictures[int(rng.choice(self._rows))]
                filled[top:bottom, left:right] = fill(picture, bottom - top, right - left, rng)
        return filled
