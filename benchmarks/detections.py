"""How near the detector of `mini` comes to the network that taught it, on frames of real videos.

    python benchmarks/detector.py [--half choose]

The figure is the average precision at an IoU of 0.5, over twelve frames of each video. What
the teacher is surer of than 0.3 counts as there, with its name or whatever it is called. Below
it stands the share of these things that was found at all, by the square root of their area.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from data import ROOT, half
from seal.config import MiniDetect, YoloxDetect
from seal.detect.mini import MiniDetector
from seal.detect.yolox import YoloxDetector
from seal.evaluate.nouns import average_precision
from seal.types import box_areas, pairwise_iou

FRAMES, SURE, SAME_IOU = 12, 0.3, 0.5
SIDES = (0, 0.1, 0.2, 0.4, 0.7, 1)


def taken(match: np.ndarray) -> np.ndarray:
    """[n] which of the true things [m] each find [n, m], best first, is; -1 if it is none."""
    free, things = np.ones(match.shape[1], bool), []
    for row in match:
        here = np.flatnonzero(row & free)[:1]
        free[here] = False
        things += here.tolist() or [-1]
    return np.array(things, int)


def videos(name: str) -> list[Path]:
    """The videos of a half, copies left out."""
    split = json.loads((Path(__file__).parent / "split.json").read_text())
    files = [
        file for half_name, files in split.items() if name in ("all", half_name) for file in files
    ]
    return [ROOT / file for file in files if "/hand-" not in file]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    half(parser)
    chosen = parser.parse_args().half
    ours = MiniDetector(MiniDetect())
    teacher = YoloxDetector(YoloxDetect(weights=str(ROOT / "teacher" / "yolox_nano.onnx")))
    finds: dict[str, list[tuple[float, bool]]] = {"with its name": [], "whatever its name": []}
    sides, found = [], []
    for path in videos(chosen):
        with av.open(str(path)) as container:
            pictures = list(container.decode(video=0))
        for i in np.linspace(0, len(pictures) - 1, FRAMES).astype(int):
            image = pictures[i].to_ndarray(format="rgb24")
            mine, there = ours.detect(image), teacher.detect(image)
            there = there[there.scores >= SURE]
            match = pairwise_iou(mine.boxes, there.boxes) > SAME_IOU
            named = match & (mine.names[:, None] == there.names)
            for hits, one in zip((named, match), finds.values(), strict=True):
                one += zip(mine.scores.tolist(), (taken(hits) >= 0).tolist(), strict=True)
            sides += np.sqrt(box_areas(there.boxes)).tolist()
            found += np.isin(np.arange(len(there)), taken(match)).tolist()
    print(f"{len(sides)} things")
    for title, one in finds.items():
        scores, hits = np.array(one).T
        # Things that were not found at all have a precision of 0.
        precision = average_precision(hits.astype(int), scores) * hits.sum() / len(sides)
        print(f"average precision, {title}: {precision:.3f}")
    bins = np.digitize(sides, SIDES)
    for number, (low, high) in enumerate(pairwise(SIDES), 1):
        share = np.array(found)[bins == number]
        print(f"found of {low} to {high} of the side: {share.mean():.2f} of {len(share)}")


if __name__ == "__main__":
    main()
