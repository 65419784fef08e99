"""Step 5: train the image tower. Resumable: run it again and it goes on at the last checkpoint.

What a step sees depends on (seed, step) alone, so an interrupted run and a straight one agree.
"""

from __future__ import annotations

import csv
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from head import Texts
from model import WIDTHS, Tower, contrast, distil, recall
from torch import Tensor, nn

from data import CACHE, CROPS, SEED, Pictures, arguments, crop
from seal.encode.mini import SIZE_PX, resize

CURVE = Path(__file__).parent / "curve.csv"
LOSS_WEIGHTS = {"head": 4.0, "classes": 0.5, "cells": 1.0, "text": 0.5}
GRID = 4
"""The side of the teacher's maps, as step 2 stored them."""
EVERY = 100
"""Steps between checkpoints."""
SMALL, SMALL_SHARE = 0.75, 0.6
"""The first part of a run sees pictures of this share of the side, which cost little more than
half."""


def augment(picture: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """What cameras and codecs do to a picture. Hues stay: people ask for colours."""
    image = resize(picture, side)
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


def matrix(weight: Tensor) -> Tensor:
    """A weight of the student, or its gradient, as the view [outputs, inputs] that Muon asks for.

    Raises RuntimeError for a kernel that is not channels-last: a copy would not be trained.
    """
    return weight.permute(0, 2, 3, 1).view(len(weight), -1) if weight.ndim == 4 else weight


@torch.inference_mode()
def evaluate(tower: Tower, batches: Batches) -> list[float]:
    """Held-out R@1, R@5, R@10 among 200, first captions."""
    tower.eval()
    images = np.stack([resize(batches.pictures[i], batches.side) for i in batches.held])
    z = F.normalize(tower(torch.from_numpy(images)).float(), dim=1)
    return recall(z, batches.texts.first(batches.held))


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

    # Biases, gains, the scale and the readout of the classes are no maps between features.
    apart = [p for p in student.parameters() if p.ndim < 2 or p is student.classes.weight]
    maps = [p for p in student.parameters() if all(p is not q for q in apart)]
    # Muon (Jordan et al. 2024) does in 150 steps what AdamW does in about 250 (benchmarks/LOG.md).
    # It changes the student through these views, which share memory with the weights.
    matrices = [nn.Parameter(matrix(p.detach())) for p in maps]
    optimizers = {
        "muon": torch.optim.Muon(matrices, lr=options.lr, weight_decay=options.decay),
        "adam": torch.optim.Adam(apart, lr=options.lr / 10, betas=(0.9, 0.99)),
    }
    schedules = {
        f"{name} schedule": torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            optimizer.defaults["lr"],
            options.steps,
            pct_start=0.1,
            cycle_momentum=False,
        )
        for name, optimizer in optimizers.items()
    }
    average = torch.optim.swa_utils.AveragedModel(
        student.tower,
        # All steps alike at first, then an exponential average over a twentieth of the run.
        avg_fn=lambda mean, new, n: mean + (new - mean) / min(n + 1, max(1, options.steps / 20)),
        use_buffers=True,
    )
    parts = {"student": student, **optimizers, **schedules, "average": average}
    checkpoint, start = CACHE / f"train_{options.run}.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        start = state.pop("step")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        print(f"going on at step {start}")
    elif CURVE.exists() and options.run == "main":
        CURVE.unlink()

    clock, begun, sums = time.time(), start, dict.fromkeys(LOSS_WEIGHTS, 0.0)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batches, start)
        for step in range(start, options.steps):
            batch = ahead.result()
            ahead = pool.submit(batches, step + 1)
            student.train()
            losses = student.losses(batch, spread)
            loss = sum(weights[name] * value for name, value in losses.items())
            student.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 5.0)
            for view, p in zip(matrices, maps, strict=True):
                view.grad = matrix(p.grad)
            for part in (*optimizers.values(), *schedules.values()):
                part.step()
            average.update_parameters(student.tower)
            for name, value in losses.items():
                sums[name] += value.item()
            if (step + 1) % EVERY and step + 1 < options.steps:
                continue
            values = dict(zip(("r1", "r5", "r10"), evaluate(average.module, batches), strict=True))
            means = {name: value / (step + 1 - begun) for name, value in sums.items()}
            line = {"step": step + 1, **means, **values, "seconds": time.time() - clock}
            print(" ".join(f"{k} {v:.4g}" for k, v in line.items()), flush=True)
            if options.run == "main":
                with CURVE.open("a", newline="") as out:
                    writer = csv.writer(out)
                    if out.tell() == 0:
                        writer.writerow(line)
                    writer.writerow([f"{v:.5g}" for v in line.values()])
            clock, begun, sums = time.time(), step + 1, dict.fromkeys(LOSS_WEIGHTS, 0.0)
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"step": step + 1, **state}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)


if __name__ == "__main__":
    main()
