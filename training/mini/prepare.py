"""Step 1: decode the pictures once, into one flat file."""

from __future__ import annotations

import json

import cv2
import numpy as np

from data import CACHE, members


def main() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    metas, shapes = [], []
    with open(CACHE / "pictures.u8", "wb") as out:
        for encoded, meta in members():
            picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
            out.write(picture.tobytes())
            shapes.append(picture.shape[:2])
            metas.append(meta)
    sizes = np.prod(np.array(shapes, np.int64), axis=1) * 3
    np.savez(CACHE / "pictures.npz", shapes=shapes, offsets=np.cumsum(sizes) - sizes)
    (CACHE / "pictures.json").write_text(json.dumps(metas))
    print(f"{len(metas)} pictures, {sizes.sum() / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
