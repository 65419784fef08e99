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

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SEAL_TEST_DATA", ROOT.parent / "shared" / "data"))
CACHE = Path(os.environ.get("SEAL_MINI_CACHE", Path.home() / ".cache" / "seal-mini"))
WEIGHTS = ROOT / "src" / "seal" / "encode" / "weights"

SEED = 0
REGIONS = 2
"""Crops of each picture that show one thing, as the teacher of the detector finds it."""
CROPS = 4 + REGIONS
"""Crops of each picture that the teacher looks at: the whole picture, random ones, and the last
are the regions."""
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
    regions: np.ndarray | None = None
    """[n, REGIONS, 4] px x0 y0 x1 y1, NaN where less was found; step 2 finds them."""

    @staticmethod
    def load(name: str = "pictures") -> Pictures:
        """What step 1 stored: "pictures", or "frames" of films."""
        finds = CACHE / f"{name}_finds.npz"
        index = np.load(CACHE / f"{name}.npz")
        pixels = np.memmap(CACHE / f"{name}.u8", np.uint8, "r")
        meta = json.loads((CACHE / f"{name}.json").read_text())
        regions = np.load(finds)["regions"] if finds.exists() else None
        return Pictures(pixels, index["offsets"], index["shapes"], meta, regions)

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, i: int) -> np.ndarray:
        height, width = self.shapes[i]
        start = self.offsets[i]
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    def crop(self, i: int, k: int) -> np.ndarray:
        """Crop k of picture i; a region that the picture does not have is a random crop."""
        if k < CROPS - REGIONS or np.isnan(self.regions[i, k - CROPS]).any():
            return crop(self[i], k, i)
        x0, y0, x1, y1 = self.regions[i, k - CROPS].astype(int)
        return self[i][y0:y1, x0:x1]

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


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What cameras and codecs do to a picture. Hues stay: people ask for colours."""
    if rng.random() < 0.6:
        gain, bias = rng.uniform(0.7, 1.3), rng.uniform(-25, 25)
        grey = image.mean(2, keepdims=True)
        image = grey + (image - grey) * rng.uniform(0.6, 1.3)
        image = np.clip(image * gain + bias, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        length, angle = int(rng.integers(3, 9)), rng.uniform(0, np.pi)
        kernel = np.zeros((length, length), np.float32)
        way = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
        a, b = (np.rint((length - 1) / 2 + s * way).astype(int).tolist() for s in (-1, 1))
        cv2.line(kernel, a, b, 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.random() < 0.3:
        quality = int(rng.integers(15, 70))
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return image
