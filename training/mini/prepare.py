"""Step 1: decode the pictures, and frames of the films, once, into a flat file each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from data import CACHE, DATA, members
from seal.config import VideoOptions
from seal.video import open_video

FILMS = ("big_buck_bunny_360p.mp4", *(f"popeye_{i}.mkv" for i in range(1, 5)))
EVERY_S = 1.0
LONG_SIDE_PX = 640


def pictures() -> Iterator[tuple[np.ndarray, dict]]:
    for encoded, meta in members():
        yield cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB), meta


def frames() -> Iterator[tuple[np.ndarray, dict]]:
    for name in FILMS:
        path = DATA / "videos" / name
        with open_video(path, VideoOptions(rate_hz=1 / EVERY_S, short_side_px=360)) as reader:
            for frame in reader.frames():
                scale = min(1.0, LONG_SIDE_PX / max(frame.image.shape))
                image = cv2.resize(
                    frame.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
                )
                yield image, {"source": name, "time_s": frame.time_s, "captions": []}


def store(name: str, items: Iterable[tuple[np.ndarray, dict]]) -> None:
    metas, shapes = [], []
    with open(CACHE / f"{name}.u8", "wb") as out:
        for picture, meta in items:
            out.write(picture.tobytes())
            shapes.append(picture.shape[:2])
            metas.append(meta)
    sizes = np.prod(np.array(shapes, np.int64), axis=1) * 3
    np.savez(CACHE / f"{name}.npz", shapes=shapes, offsets=np.cumsum(sizes) - sizes)
    (CACHE / f"{name}.json").write_text(json.dumps(metas))
    print(f"{len(metas)} {name}, {sizes.sum() / 1e9:.2f} GB")


def main() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    store("pictures", pictures())
    store("frames", frames())


if __name__ == "__main__":
    main()
