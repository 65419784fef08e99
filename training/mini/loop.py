"""The steps of a training: Muon and Adam, one cycle, an average of the weights, checkpoints.

What a step sees depends on its number alone, so that an interrupted run and a straight one agree.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

EVERY = 100
"""Steps between checkpoints."""


def averaged(checkpoint: Path) -> tuple[dict[str, Tensor], int]:
    """The averaged weights that a run has kept, and the step that they are from."""
    state, prefix = torch.load(checkpoint, weights_only=True), "module."
    average = state["average"].items()
    return {k[len(prefix) :]: v for k, v in average if k.startswith(prefix)}, state["step"]


def matrix(weight: Tensor) -> Tensor:
    """A weight, or its gradient, as the view [outputs, inputs] that Muon asks for.

    Raises RuntimeError for a kernel that is not channels-last: a copy would not be trained.
    """
    return weight.permute(0, 2, 3, 1).view(len(weight), -1) if weight.ndim == 4 else weight


def fit(
    model: nn.Module,
    kept: nn.Module,
    readouts: Sequence[nn.Parameter],
    batches: Callable[[int], Any],
    losses: Callable[[Any], dict[str, Tensor]],
    weights: dict[str, float],
    evaluate: Callable[[nn.Module], dict[str, float]],
    *,
    steps: int,
    lr: float,
    decay: float,
    checkpoint: Path,
    curve: Path | None,
) -> None:
    """Train `model` by the sum of `weights` times `losses` of the batches 0 to `steps`.

    The part of it that is `kept`, averaged over the last steps, is what `evaluate` gets and what
    the checkpoint holds as "average". `readouts` are weights that are no maps between features:
    Adam changes them, and all vectors. Goes on at the checkpoint where there is one.
    """
    apart = [p for p in model.parameters() if p.ndim < 2 or any(p is one for one in readouts)]
    maps = [p for p in model.parameters() if all(p is not q for q in apart)]
    # Muon (Jordan et al. 2024) does in 150 steps what AdamW does in about 250 (benchmarks/LOG.md).
    # It changes the model through these views, which share memory with the weights.
    matrices = [nn.Parameter(matrix(p.detach())) for p in maps]
    optimizers = {
        "muon": torch.optim.Muon(matrices, lr=lr, weight_decay=decay),
        "adam": torch.optim.Adam(apart, lr=lr / 10, betas=(0.9, 0.99)),
    }
    schedules = {
        f"{name} schedule": torch.optim.lr_scheduler.OneCycleLR(
            optimizer, optimizer.defaults["lr"], steps, pct_start=0.1, cycle_momentum=False
        )
        for name, optimizer in optimizers.items()
    }
    average = torch.optim.swa_utils.AveragedModel(
        kept,
        # All steps alike at first, then an exponential average over a twentieth of the run.
        avg_fn=lambda mean, new, n: mean + (new - mean) / min(n + 1, max(1, steps / 20)),
        use_buffers=True,
    )
    parts = {"student": model, **optimizers, **schedules, "average": average}
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        start = state.pop("step")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        print(f"going on at step {start}")
    elif curve is not None:
        curve.unlink(missing_ok=True)

    clock, begun, sums = time.time(), start, dict.fromkeys(weights, 0.0)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batches, start)
        for step in range(start, steps):
            batch = ahead.result()
            ahead = pool.submit(batches, step + 1)
            model.train()
            found = losses(batch)
            loss = sum(weights[name] * value for name, value in found.items())
            model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            for view, p in zip(matrices, maps, strict=True):
                view.grad = matrix(p.grad)
            for part in (*optimizers.values(), *schedules.values()):
                part.step()
            average.update_parameters(kept)
            for name, value in found.items():
                sums[name] += value.item()
            if (step + 1) % EVERY and step + 1 < steps:
                continue
            average.module.eval()
            values = evaluate(average.module)
            means = {name: value / (step + 1 - begun) for name, value in sums.items()}
            line = {"step": step + 1, **means, **values, "seconds": time.time() - clock}
            print(" ".join(f"{k} {v:.4g}" for k, v in line.items()), flush=True)
            if curve is not None:
                with curve.open("a", newline="") as out:
                    writer = csv.writer(out)
                    if out.tell() == 0:
                        writer.writerow(line)
                    writer.writerow([f"{v:.5g}" for v in line.values()])
            clock, begun, sums = time.time(), step + 1, dict.fromkeys(weights, 0.0)
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"step": step + 1, **state}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
