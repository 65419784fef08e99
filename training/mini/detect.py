"""Step 9: train the detector. Resumable: run it again and it goes on at the last checkpoint.

`--start FILE` begins with the weights of an exported detector, and `--first N` with scene N of the
endless row of scenes, so that a further training sees new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from detector import Student
from detector_onnx import written
from export import restore
from loop import fit
from scenes import HINTS, SIZE_SHARES, SIZES, Scenes, Teacher
from torch import Tensor, nn

from data import CACHE, SEED, Pictures, arguments
from seal.detect.grid import detections
from seal.types import pairwise_iou

LOSS_WEIGHTS = {"thing": 1.0, "names": 1.0, "boxes": 2.0, "hints": 1.0}
SURE = 0.3
"""What the teacher is surer of counts as there in the figures of the curve."""
UNSEEN = 96
"""Scenes of the held-out photos that these figures are from."""


class Batches:
    """The batch of a step: scenes, and what the teacher says about them."""

    def __init__(self, size: int, first: int = 0) -> None:
        pictures, frames = Pictures.load(), Pictures.load("frames")
        held = pictures.held_out()
        rows = np.setdiff1d(np.arange(len(pictures)), held)
        self.size, self.first, self.teacher = size, first, Teacher()
        self.scenes = Scenes(pictures, rows, frames)
        self.unseen = Scenes(pictures, held, None)

    def __call__(self, step: int) -> dict[str, Tensor]:
        first = self.first + step * self.size
        size = SIZES[np.random.default_rng((SEED, 3, first)).choice(len(SIZES), p=SIZE_SHARES)]
        return self.asked([self.scenes(first + i, size) for i in range(self.size)])

    def asked(self, scenes: list[np.ndarray]) -> dict[str, Tensor]:
        said = [self.teacher(scene) for scene in scenes]
        batch = {name: torch.from_numpy(np.stack([one[name] for one in said])) for name in said[0]}
        return batch | {"scenes": torch.from_numpy(np.stack(scenes))}


def average_precision(found: list[tuple[float, bool]], there: int) -> float:
    """Area under precision and recall of finds (score, whether it is right)."""
    hits = np.array([right for _, right in sorted(found, key=lambda one: -one[0])], float)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / max(1, there))


def score(
    said: Sequence[np.ndarray], wanted: Sequence[np.ndarray], height: int, width: int
) -> dict[str, float]:
    """AP at IoU 0.5 against the teacher's sure finds, both as cells [n, 5 + names]: names pooled,
    and whatever the name."""
    found: dict[str, list[tuple[float, bool]]] = {"ap": [], "ap_any": []}
    there = 0
    for mine, raw in zip(said, wanted, strict=True):
        ours, theirs = (detections(one, height, width, (width, height)) for one in (mine, raw))
        theirs = theirs[theirs.scores >= SURE]
        there += len(theirs)
        overlaps = pairwise_iou(ours.boxes, theirs.boxes) > 0.5
        named = ours.names[:, None] == theirs.names[None]
        for key, match in (("ap", overlaps & named), ("ap_any", overlaps)):
            taken = np.zeros(len(theirs), bool)
            for i in range(len(ours)):
                free = match[i] & ~taken
                if free.any():
                    taken[free.argmax()] = True
                found[key].append((float(ours.scores[i]), bool(free.any())))
    return {key: average_precision(pairs, there) for key, pairs in found.items()}


@torch.inference_mode()
def evaluate(detector: nn.Module, unseen: dict[str, Tensor]) -> dict[str, float]:
    """The figures of unseen scenes."""
    said = torch.cat([detector(part)[0].float() for part in unseen["scenes"].split(16)])
    said[..., 4:] = said[..., 4:].sigmoid()
    return score(list(said.numpy()), list(unseen["raw"].numpy()), *SIZES[0])


def spreads(batches: Batches) -> dict[str, Tensor]:
    """The deviation of each channel of the teacher's maps over some scenes."""
    batch = batches(0)
    return {name: batch[name].std((0, 2, 3)).clamp(min=1e-3) for name in HINTS}


def main() -> None:
    options = arguments(
        __doc__, steps=4000, batch=16, lr=0.02, decay=0.05, threads=1, run="detector",
        first=0, start="",
        **{f"w_{name}": weight for name, weight in LOSS_WEIGHTS.items()},
    )  # fmt: skip
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    batches = Batches(options.batch, options.first)
    student = Student(spreads(batches))
    if options.start:
        net = student.detector
        restore(net, written(net), Path(options.start), batches(0)["scenes"])
    student.to(memory_format=torch.channels_last)
    unseen = batches.asked([batches.unseen(i, SIZES[0]) for i in range(UNSEEN)])
    fit(
        student,
        student.detector,
        [p for head in student.detector.heads for p in (head.names.weight, head.places.weight)],
        batches,
        student.losses,
        {name: getattr(options, f"w_{name}") for name in LOSS_WEIGHTS},
        lambda detector: evaluate(detector, unseen),
        steps=options.steps,
        lr=options.lr,
        decay=options.decay,
        checkpoint=CACHE / f"train_{options.run}.pt",
        curve=Path(__file__).parent / f"{options.run}_curve.csv",
    )


if __name__ == "__main__":
    main()
