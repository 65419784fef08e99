"""Step 2: what the detector's teacher finds in every picture: names, and regions to look at."""

from __future__ import annotations

import numpy as np
from scenes import MODEL

from data import CACHE, REGIONS, Pictures, arguments
from seal.config import YoloxDetect
from seal.detect.coco import COCO
from seal.detect.yolox import YoloxDetector
from seal.types import box_areas, pairwise_iou

SURE = 0.3
"""Regions show what is found so surely ..."""
LEAST, MOST = 0.04, 0.7
"""... and takes so much of the picture: the rest is too small to be seen, or no region."""
APART = 0.6
"""Two regions overlap less."""
MARGIN = 0.05
"""So much of a box is shown around it."""


def chosen(boxes: np.ndarray) -> np.ndarray:
    """Rows of the first boxes that are apart, `REGIONS` at most."""
    rows: list[int] = []
    for row in range(len(boxes)):
        if len(rows) < REGIONS and (pairwise_iou(boxes[[row]], boxes[rows]) < APART).all():
            rows.append(row)
    return np.array(rows, int)


def main() -> None:
    arguments(__doc__)
    pictures, teacher = Pictures.load(), YoloxDetector(YoloxDetect(weights=str(MODEL)))
    regions = np.full((len(pictures), REGIONS, 4), np.nan, np.float32)
    # What a region is called, and how likely; the last row is of the whole picture.
    names = np.zeros((REGIONS + 1, len(pictures), len(COCO)), np.float16)
    for i in range(len(pictures)):
        picture = pictures[i]
        found = teacher.detect(picture)
        np.maximum.at(names[REGIONS, i], found.names, found.scores.astype(np.float16))
        areas = box_areas(found.boxes)
        found = found[(found.scores >= SURE) & (areas >= LEAST) & (areas <= MOST)]
        found = found[np.argsort(-found.scores, kind="stable")]
        size = np.array([picture.shape[1], picture.shape[0]] * 2)
        for k, row in enumerate(chosen(found.boxes)):
            x0, y0, x1, y1 = found.boxes[row]
            dx, dy = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
            around = np.clip([x0 - dx, y0 - dy, x1 + dx, y1 + dy], 0, 1) * size
            regions[i, k] = [*np.floor(around[:2]), *np.ceil(around[2:])]
            names[k, i, found.names[row]] = found.scores[row]
        if i % 5000 == 4999:
            print(f"{i + 1} of {len(pictures)}", flush=True)
    shares = (~np.isnan(regions[..., 0])).mean(0)
    print("pictures with so many regions:", *shares.round(3))
    np.savez(CACHE / "pictures_finds.npz", regions=regions, names=names)


if __name__ == "__main__":
    main()
