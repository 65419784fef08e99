"""Step 6: train the image tower. Resumable: run it again and it goes on at the last checkpoint.

What a step sees depends on (seed, step) alone, so an interrupted run and a straight one agree.
`--start FILE` begins with the weights of an exported tower, and `--first N` with step N of the
endless row of batches, so that a further training sees other crops.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from export import restore, written
from head import Texts
from loop import fit
from model import WIDTHS, Things, Tower, contrast, distil, precision, recall
from torch import Tensor, nn

from data import CACHE, CROPS, SEED, Pictures, arguments, augment
from seal.encode.mini import SIZE_PX, resize

LOSS_WEIGHTS = {"head": 4.0, "classes": 0.5, "cells": 1.0, "text": 0.5, "things": 0.3}
GRID = 4
"""The side of the teacher's maps, as step 3 stored them."""
SMALL, SMALL_SHARE = 0.75, 0.6
"""The first part of a run sees pictures of this share of the side, which cost little more than
half."""


class Batches:
    """The batch of a step: crops, their teacher's answers, the texts of some."""

    def __init__(self, size: int, crops: int, steps: int, side: int, first: int) -> None:
        self.size, self.crops, self.steps, self.side = size, crops, steps, side
        self.first = first
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
        side = round(self.side * (SMALL if step < SMALL_SHARE * self.steps else 1))
        step += self.first
        epoch, at = divmod(step, len(self.rows) // self.size)
        order = np.random.default_rng((SEED, epoch)).permutation(self.rows)
        rows = order[at * self.size : (at + 1) * self.size]
        rng = np.random.default_rng((SEED, 1, step))
        ks = rng.integers(0, self.crops, len(rows)) * (rng.random(len(rows)) < 0.6)
        flips = rng.random(len(rows)) < 0.5
        images = np.empty((len(rows), side, side, 3), np.uint8)
        for j, (i, k, flip) in enumerate(zip(rows, ks, flips, strict=True)):
            image = augment(resize(self.pictures.crop(int(i), int(k)), self.side), rng)
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            images[j] = image[:, ::-1] if flip else image
        head, logits, cells = (
            torch.from_numpy(self.files[name][ks, rows].astype(np.float32))
            for name in ("head_targets", "teacher_logits", "teacher_cells")
        )
        cells = cells.unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2)
        flipped = torch.from_numpy(flips)[:, None, None, None]
        said = torch.from_numpy(self.texts.counts[rows] > 0)
        there, counts = self.texts.there(rows, ks)
        return {
            "images": torch.from_numpy(images),
            "head": head,
            "logits": logits,
            "cells": torch.where(flipped, cells.flip(3), cells),
            "said": said,
            "texts": self.texts.draw(rows[said.numpy()], rng),
            "there": there,
            "counts": counts,
        }


class Student(nn.Module):
    """The tower with what only training needs: readouts, and the scales of cosines."""

    def __init__(self, classes: int, cells: int, scale: float, things: Tensor) -> None:
        super().__init__()
        dimension = things.shape[1]
        self.tower = Tower(dimension)
        self.classes = nn.Linear(WIDTHS[-1], classes)
        self.cells = nn.Conv2d(WIDTHS[-1], cells, 1)
        self.scale = nn.Parameter(torch.tensor(np.log(scale)))
        self.names, self.things = things, Things(len(things))

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
            "things": self.things(z, self.names, batch["there"], batch["counts"]),
        }


@torch.inference_mode()
def evaluate(tower: nn.Module, batches: Batches) -> dict[str, float]:
    """Held-out R@1, R@5, R@10 among 200, first captions, and mean average precision of things."""
    images = np.stack([resize(batches.pictures[i], batches.side) for i in batches.held])
    z = F.normalize(tower(torch.from_numpy(images)).float(), dim=1)
    values = recall(z, batches.texts.first(batches.held))
    there, _ = batches.texts.there(batches.held, np.zeros(len(batches.held), int))
    found = precision(z @ batches.texts.things.T, there > 0.5)
    return dict(zip(("r1", "r5", "r10", "ap"), (*values, found), strict=True))


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
        run="encoder",
        first=0,
        start="",
        **{f"w_{name}": weight for name, weight in LOSS_WEIGHTS.items()},
    )
    weights = {name: getattr(options, f"w_{name}") for name in LOSS_WEIGHTS}
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    batches = Batches(options.batch, options.crops, options.steps, options.side, options.first)
    head = torch.load(CACHE / "head.pt", weights_only=True)
    classes, cells = (batches.files[f"teacher_{name}"].shape[-1] for name in ("logits", "cells"))
    student = Student(classes, cells, head["scale"], batches.texts.things)
    if options.start:
        tower = student.tower
        graph = written(tower, torch.zeros_like(tower.out.bias))
        restore(tower, graph, Path(options.start), batches(0)["images"])
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
        curve=Path(__file__).parent / f"{options.run}_curve.csv",
    )


if __name__ == "__main__":
    main()
