"""What the steps share: where things are, the pictures, their crops and their split.

The cache (decoded pictures, targets, checkpoints) lies outside the project: 3 GB, not shipped.
"""

from __future__ import annotations

import argparse
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SEAL_TEST_DATA", ROOT.parent / "shared" / "data"))
CACHE = Path(os.environ.get("SEAL_MINI_CACHE", Path.home() / ".cache" / "seal-mini"))
WEIGHTS = ROOT / "src" / "seal" / "encode" / "weights"

SEED = 0
CROPS = 4
"""Crops of each picture that the teacher looks at; the first is the whole picture."""
HELD_OUT = 200
"""Photos with five captions that no step trains on (the retrieval benchmark's size)."""


def arguments(description: str, **defaults: int | float | str) -> argparse.Namespace:
    """Command-line options with these defaults, typed as the defaults are."""
    parser = argparse.ArgumentParser(description=description)
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser.parse_args()


def members() -> Iterator[tuple[bytes, dict]]:
    """Every picture's encoded bytes and its {"source", "label", "captions"}, in a fixed order."""
    for shard in sorted((DATA / "encoder").glob("images-*.tar")):
        with tarfile.open(shard) as tar:
            names = [n for n in tar.getnames() if n.endswith(".webp")]
            for name in sorted(names):
                picture, text = (
                    tar.extractfile(n).read() for n in (name, name.replace(".webp", ".json"))
                )
                yield picture, json.loads(text)


@dataclass(frozen=True)
class Pictures:
    """The decoded pictures: `pictures[i]` is RGB uint8 [height, width, 3]."""

    pixels: np.ndarray
    offsets: np.ndarray
    shapes: np.ndarray
    meta: list[dict]

    @staticmethod
    def load() -> Pictures:
        index = np.load(CACHE / "pictures.npz")
        pixels = np.memmap(CACHE / "pictures.u8", np.uint8, "r")
        meta = json.loads((CACHE / "pictures.json").read_text())
        return Pictures(pixels, index["offsets"], index["shapes"], meta)

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, i: int) -> np.ndarray:
        height, width = self.shapes[i]
        start = self.offsets[i]
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    def held_out(self) -> np.ndarray:
        return held_out(self.meta)


def held_out(meta: list[dict]) -> np.ndarray:
    """Indices of the held-out photos: five captions each, drawn once with the seed."""
    rows = [i for i, m in enumerate(meta) if len(m["captions"]) == 5]
    return np.sort(np.random.default_rng(SEED).choice(rows, HELD_OUT, replace=False))


def crop(picture: np.ndarray, k: int, i: int) -> np.ndarray:
    """Crop k of picture i: the whole (k = 0), or a box of a quarter of the area or more.

    Boxes have any aspect from 1:2 to 2:1, as objects do. They depend on (i, k) alone, so that the
    student sees what the teacher saw (Beyer et al. 2022, "a good teacher is patient and
    consistent").
    """
    if k == 0:
        return picture
    height, width = picture.shape[:2]
    rng = np.random.default_rng((SEED, i, k))
    area, aspect = np.exp(rng.uniform(np.log((0.2, 0.5)), np.log((1.0, 2.0))))
    w = int(min(width, max(32, np.sqrt(area * aspect * height * width))))
    h = int(min(height, max(32, np.sqrt(area / aspect * height * width))))
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    return picture[y : y + h, x : x + w]
