"""Step 5: train the image tower. Resumable: run it again and it goes on at the last checkpoint.

What a step sees depends on (seed, step) alone, so an interrupted run and a straight one agree.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from head import Texts
from loop import fit
from model import WIDTHS, Tower, contrast, distil, recall
from torch import Tensor, nn

from data import CACHE, CROPS, SEED, Pictures, arguments, augment, crop
from seal.encode.mini import SIZE_PX, resize

CURVE = Path(__file__).parent / "curve.csv"
LOSS_WEIGHTS = {"head": 4.0, "classes": 0.5, "cells": 1.0, "text": 0.5}
GRID = 4
"""The side of the teacher's maps, as step 2 stored them."""
SMALL, SMALL_SHARE = 0.75, 0.6
"""The first part of a run sees pictures of this share of the side, which cost little more than
half."""


class Batches:
    """The batch of a step: crops, their teacher's answers, the texts of some."""

    def __init__(self, size: int, crops: int, steps: int, side: int) -> None:
        self.size, self.crops, self.steps, self.side = size, crops, steps, side
        self.pictures = Pictures.load()
        self.texts = Texts(self.pictures)
        self.held = self.pictures.held_out()
        rows = np.setdiff1d(np.arange(len(self.pictures)), self.held)
        captioned = [i for i in rows if self.pictures.meta[i]["captions"]]
        # Twice the captioned ones: they alone speak of colours, actions and relations.
        self.rows = np.concatenate([rows, captioned])
        self.files = {
            name: np.load(CACHE / f"{name}.npy", mmap_mode="r")
            for name in ("head_targets", "teacher_logits", "teacher_cells")
        }

    def __call__(self, step: int) -> dict[str, Tensor]:
        epoch, at = divmod(step, len(self.rows) // self.size)
        order = np.random.default_rng((SEED, epoch)).permutation(self.rows)
        rows = order[at * self.size : (at + 1) * self.size]
        rng = np.random.default_rng((SEED, 1, step))
        ks = rng.integers(0, self.crops, len(rows)) * (rng.random(len(rows)) < 0.6)
        flips = rng.random(len(rows)) < 0.5
        side = round(self.side * (SMALL if step < SMALL_SHARE * self.steps else 1))
        images = np.empty((len(rows), side, side, 3), np.uint8)
        for j, (i, k, flip) in enumerate(zip(rows, ks, flips, strict=True)):
            image = augment(crop(self.pictures[i], int(k), int(i)), self.side, rng)
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            images[j] = image[:, ::-1] if flip else image
        head, logits, cells = (
            torch.from_numpy(self.files[name][ks, rows].astype(np.float32))
            for name in ("head_targets", "teacher_logits", "teacher_cells")
        )
        cells = cells.unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2)
        flipped = torch.from_numpy(flips)[:, None, None, None]
        said = torch.from_numpy(self.texts.counts[rows] > 0)
        return {
            "images": torch.from_numpy(images),
            "head": head,
            "logits": logits,
            "cells": torch.where(flipped, cells.flip(3), cells),
            "said": said,
            "texts": self.texts.draw(rows[said.numpy()], rng),
        }


class Student(nn.Module):
    """The tower with what only training needs: two readouts and the scale of cosines."""

    def __init__(self, dimension: int, classes: int, cells: int, scale: float) -> None:
        super().__init__()
        self.tower = Tower(dimension)
        self.classes = nn.Linear(WIDTHS[-1], classes)
        self.cells = nn.Conv2d(WIDTHS[-1], cells, 1)
        self.scale = nn.Parameter(torch.tensor(np.log(scale)))

    def losses(self, batch: dict[str, Tensor], spread: Tensor) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            maps = self.tower.maps(batch["images"])
            cells = self.cells(maps).float()
        pooled = maps.float().mean((2, 3))
        z = F.normalize(self.tower.out(pooled), dim=1)
        wanted = F.adaptive_avg_pool2d(batch["cells"], cells.shape[2:])
        return {
            "head": 1 - (z * batch["head"]).sum(1).mean(),
            "classes": distil(self.classes(pooled), batch["logits"]),
            "cells": ((cells - wanted) / spread).square().mean(),
            "text": contrast(z[batch["said"]], batch["texts"], self.scale.exp()),
        }


@torch.inference_mode()
def evaluate(tower: nn.Module, batches: Batches) -> dict[str, float]:
    """Held-out R@1, R@5, R@10 among 200, first captions."""
    images = np.stack([resize(batches.pictures[i], batches.side) for i in batches.held])
    z = F.normalize(tower(torch.from_numpy(images)).float(), dim=1)
    values = recall(z, batches.texts.first(batches.held))
    return dict(zip(("r1", "r5", "r10"), values, strict=True))


def main() -> None:
    options = arguments(
        __doc__,
        steps=1600,
        batch=128,
        lr=0.02,
        decay=0.05,
        crops=CROPS,
        side=SIZE_PX,
        threads=1,
        run="main",
        **{f"w_{name}": weight for name, weight in LOSS_WEIGHTS.items()},
    )
    weights = {name: getattr(options, f"w_{name}") for name in LOSS_WEIGHTS}
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    batches = Batches(options.batch, options.crops, options.steps, options.side)
    head = torch.load(CACHE / "head.pt", weights_only=True)
    first = {k: v.shape[-1] for k, v in batches.files.items()}
    student = Student(
        first["head_targets"], first["teacher_logits"], first["teacher_cells"], head["scale"]
    )
    student = student.to(memory_format=torch.channels_last)
    cells = batches.files["teacher_cells"][0, :500].astype(np.float32)
    spread = torch.from_numpy(cells.std((0, 1)))[:, None, None]
    fit(
        student,
        student.tower,
        [student.classes.weight],
        batches,
        lambda batch: student.losses(batch, spread),
        weights,
        lambda tower: evaluate(tower, batches),
        steps=options.steps,
        lr=options.lr,
        decay=options.decay,
        checkpoint=CACHE / f"train_{options.run}.pt",
        curve=CURVE if options.run == "main" else None,
    )


if __name__ == "__main__":
    main()
