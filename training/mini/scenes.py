"""Scenes that the detector learns from, and what its teacher says about them.

A scene is one picture, or several side by side, as a camera would show several things at once. The
teacher looks at the scene itself, so that no label is needed and every scene can be new.
"""

from __future__ import annotations

import cv2
import numpy as np
import onnx

from data import DATA, SEED, Pictures, augment
from seal.dependencies import onnx_session

MODEL = DATA / "teacher" / "yolox_nano.onnx"
SIDE_PX = 416
GRIDS = ((2, 2), (1, 2), (2, 1), (1, 1), (3, 3))
"""Rows and columns of a scene."""
SHARES = (0.55, 0.12, 0.08, 0.08, 0.17)
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
        """The maps [c, h, w] by name, and "raw" [cells, 5 + names], of a scene of `SIDE_PX`."""
        bgr = scene[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        raw, *maps = self._net.run(None, {"images": np.ascontiguousarray(bgr)})
        return {"raw": raw[0]} | {name: map_[0] for name, map_ in zip(HINTS, maps, strict=True)}


def fill(picture: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of the picture that fills these px, up to a quarter enlarged."""
    h, w = picture.shape[:2]
    scale = max(height / h, width / w) * rng.uniform(1.0, 1.25)
    part_h, part_w = max(1, round(height / scale)), max(1, round(width / scale))
    y, x = rng.integers(h - part_h + 1), rng.integers(w - part_w + 1)
    part = picture[y : y + part_h, x : x + part_w]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    filled = cv2.resize(part, (width, height), interpolation=method)
    return filled[:, ::-1] if rng.random() < 0.5 else filled


def edges(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count + 1] px where the rows or columns of a scene begin and end, of uneven size."""
    inner = np.arange(1, count) / count + rng.uniform(-0.15, 0.15, count - 1) * 2 / count
    return np.rint(np.concatenate([[0], inner, [1]]) * SIDE_PX).astype(int)


def compose(pictures: list[np.ndarray], grid: tuple[int, int], rng: np.random.Generator):
    """A scene [SIDE_PX, SIDE_PX, 3] of as many pictures as the grid has places."""
    scene = np.empty((SIDE_PX, SIDE_PX, 3), np.uint8)
    rows, columns = edges(grid[0], rng), edges(grid[1], rng)
    places = [(i, j) for i in range(grid[0]) for j in range(grid[1])]
    for (i, j), picture in zip(places, pictures, strict=True):
        (top, bottom), (left, right) = rows[i : i + 2], columns[j : j + 2]
        scene[top:bottom, left:right] = fill(picture, bottom - top, right - left, rng)
    return scene


class Scenes:
    """Scenes of these pictures and frames; scene number i is always the same one."""

    def __init__(self, pictures: Pictures, rows: np.ndarray, frames: Pictures | None) -> None:
        self._pictures, self._rows, self._frames = pictures, rows, frames

    def __call__(self, number: int) -> np.ndarray:
        rng = np.random.default_rng((SEED, 2, number))
        if self._frames is not None and rng.random() < FRAMES:
            picture = self._frames[int(rng.integers(len(self._frames)))]
            return augment(fill(picture, SIDE_PX, SIDE_PX, rng), SIDE_PX, rng)
        grid = GRIDS[rng.choice(len(GRIDS), p=SHARES)]
        rows = rng.choice(self._rows, grid[0] * grid[1])
        scene = compose([self._pictures[int(i)] for i in rows], grid, rng)
        return augment(scene, SIDE_PX, rng)
