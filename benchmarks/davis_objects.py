"""How often one of a keyframe's object boxes is the annotated one: DAVIS, box IoU >= 0.5.

    python benchmarks/davis_objects.py [--half report] [--every 12] [--set segment.backend=mini]

Keyframes are those of the options (one every `interval_s` from the first frame on), or every n-th
frame for an estimate that rests on more pictures. The masks pass the same filter as in indexing.
`fixed` are eight boxes that were placed without looking at the picture: what any method must beat.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from data import half, sequences
from seal.config import ObjectOptions, Options
from seal.decompose import Models
from seal.decompose.objects import keep
from seal.segment import Masks
from seal.types import UInt8, pairwise_iou

KEPT = (5, 8, 12, 16, 999)
# Widths and heights of a half and of a third of the picture, spread around its middle.
FIXED = np.array(
    [[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for s in (0.5, 0.33) for x in (0.37, 0.63)
     for y in (0.4, 0.6)], np.float32,
)  # fmt: skip


def pictures(
    path: Path, rows: list[np.ndarray | None], short_side_px: int, every: int | None
) -> Iterator[tuple[UInt8, np.ndarray]]:
    """The annotated keyframes of a sequence, scaled as for analysis, each with its box."""
    due = 0.0
    with av.open(str(path)) as container:
        for index, (frame, box) in enumerate(zip(container.decode(video=0), rows, strict=False)):
            if index % every if every else frame.time < due:
                continue
            due = frame.time + ObjectOptions().interval_s
            if box is not None:
                scale = min(1.0, short_side_px / min(frame.width, frame.height))
                size = round(frame.width * scale), round(frame.height * scale)
                image = frame.to_ndarray(format="rgb24")
                yield cv2.resize(image, size, interpolation=cv2.INTER_AREA), box


def hits(boxes: np.ndarray, truth: np.ndarray) -> list[bool]:
    """Whether one of the first n boxes fits, for each n of `KEPT`."""
    fits = pairwise_iou(truth[None], boxes)[0] >= 0.5
    return [bool(fits[:n].any()) for n in KEPT]


def table(find: Callable[[UInt8], Masks], name: str, short_side_px: int, every: int | None) -> None:
    options = dataclasses.replace(ObjectOptions(), max_per_keyframe=max(KEPT))
    found, fixed, seconds = [], [], []
    print(f"{'sequence':<20} pictures" + "".join(f"  best {n:<3}" for n in KEPT[:-1]) + "  all")
    for sequence in sequences("davis", name):
        mine, blind = [], []
        (rows,) = sequence.objects
        for image, box in pictures(sequence.path, rows, short_side_px, every):
            began = time.perf_counter()
            masks = find(image)
            seconds.append(time.perf_counter() - began)
            mine.append(hits(keep(masks, options).boxes, box))
            blind.append(hits(FIXED, box))
        found.append(np.mean(mine, 0))
        fixed.append(np.mean(blind, 0))
        print(
            f"{sequence.path.stem:<20} {len(mine):>8}" + "".join(f"  {r:>8.2f}" for r in found[-1])
        )
    for row, recall in (("mean", np.mean(found, 0)), ("fixed", np.mean(fixed, 0))):
        print(f"{row:<20} {'':>8}" + "".join(f"  {r:>8.3f}" for r in recall))
    print(f"{1e3 * np.median(seconds):.1f} ms per keyframe (median of {len(seconds)})\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    half(parser)
    parser.add_argument("--every", type=int, default=12, help="for the second table, in frames")
    parser.add_argument("--set", action="append", default=[], help="an option of seal index")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    options = Options.load(settings=given.set)
    find = Models.load(options).segmenter.segment
    print(f"one keyframe every {options.objects.interval_s:g} s")
    table(find, given.half, options.video.short_side_px, None)
    print(f"every {given.every}th frame")
    table(find, given.half, options.video.short_side_px, given.every)
