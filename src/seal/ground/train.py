"""Training of the localisation head: resumable to the last digit, on one device or many.

A run is a folder: `head/` (what `seal find --head` loads), `state.safetensors` (what a killed run
goes on from), `curve.jsonl` (the loss of every step), `manifest.json` (what it was made from and
with) and the events of TensorBoard. Which examples a step sees and which channels it drops depends
on the seed and the step's number alone, so that a run that was killed makes the same steps again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset

from seal.config import HeadOptions, TrainOptions
from seal.errors import BackendError
from seal.ground.batches import Batch, collate
from seal.ground.examples import Example
from seal.ground.losses import Loss, loss
from seal.ground.model import Head
from seal.ground.run import Run, State

# Options that change how fast and how safely a run gets to where it goes, but not where.
_WITHOUT_EFFECT = ("workers", "save_every")


class Examples(Protocol):
    """Examples without end; number i is always the same one."""

    def __getitem__(self, number: int) -> Example: ...


@dataclass(frozen=True)
class Step:
    """How far a run has come."""

    number: int
    """Steps done."""
    loss: float
    waited: float
    """The share of the time of this process that went by waiting for examples."""


def train(
    examples: Examples,
    sizes: HeadOptions,
    options: TrainOptions,
    folder: str | Path,
    data: dict[str, str],
    on_step: Callable[[Step], None] = lambda step: None,
) -> dict[str, float]:
    """Train a head in `folder`, or go on with the run there; the figures of its end.

    `data` says what the examples are made from: names and checksums. Raises OptionError if the
    folder holds a run with other options or data, BackendError if its state is damaged.
    """
    accelerator = _accelerator(options)
    torch.manual_seed(options.seed)
    head = Head.of(sizes)
    optimizer = torch.optim.AdamW(_groups(head, options))
    decides = {k: v for k, v in asdict(options).items() if k not in _WITHOUT_EFFECT}
    settings = {"head": asdict(sizes), "train": decides, "data": data}
    run = Run(Path(folder), settings, accelerator.is_main_process)
    model, optimizer = accelerator.prepare(head, optimizer)
    state = State(head, optimizer.optimizer)
    done = run.resume(state)
    accelerator.wait_for_everyone()
    batches = _Batches(examples, options, accelerator, done)
    model.train()
    with closing(run):
        for step in range(done, options.steps):
            rate = _learning_rate(step, options)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = _step(model, optimizer, batches, options, accelerator)
            state.follow(min(options.ema, (1 + step) / (10 + step)))
            run.log(step, losses | {"learning_rate": rate})
            if accelerator.is_main_process:
                if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
                    run.save(step + 1, state, head)
                on_step(Step(step + 1, losses["loss"], batches.waited))
    accelerator.wait_for_everyone()
    figures = {"loss": run.loss, "waited": batches.waited}
    if accelerator.is_main_process:
        run.finish(figures)
    return figures


def _step(
    model: Any, optimizer: Any, batches: _Batches, options: TrainOptions, accelerator: Accelerator
) -> dict[str, float]:
    """Change the weights once; the losses, mean over all that went into it."""
    sums = torch.zeros(len(Loss._fields), device=accelerator.device)
    for _ in range(options.accumulate):
        batch = next(batches)
        with accelerator.accumulate(model):
            with accelerator.autocast():
                answer = model(batch.video, batch.queries)
            found = loss(answer, batch.truth)
            accelerator.backward(found.total)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), options.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        sums += torch.stack([part.detach() for part in found])
    means = accelerator.reduce(sums, "mean") / options.accumulate
    return dict(zip(("loss", "score", "span"), means.tolist(), strict=True))


class _Batches:
    """The batches of this process, from the one that step `done` begins with."""

    def __init__(
        self, examples: Examples, options: TrainOptions, accelerator: Accelerator, done: int
    ) -> None:
        self._examples, self._options, self._device = examples, options, accelerator.device
        self._place, self._processes = accelerator.process_index, accelerator.num_processes
        self._number = done * options.accumulate
        loader = DataLoader(
            _Numbered(examples, options.batch_size),
            batch_size=None,
            sampler=range(
                self._number * self._processes + self._place,
                options.steps * options.accumulate * self._processes,
                self._processes,
            ),
            num_workers=options.workers,
            # Forking a process with threads, as torch has them, can hang.
            multiprocessing_context="spawn" if options.workers else None,
            prefetch_factor=4 if options.workers else None,
            pin_memory=accelerator.device.type == "cuda",
        )
        self._source, self._waited_s = iter(loader), 0.0
        self._began: float | None = None

    def __next__(self) -> Batch:
        asked = time.perf_counter()
        batch: Batch = next(self._source)
        now = time.perf_counter()
        if self._began is None:
            # The first one waits for the workers to start, once for each run.
            self._began = now
        else:
            self._waited_s += now - asked
        torch.manual_seed(hash((self._options.seed, self._number, self._place)))
        self._number += 1
        return batch.to(self._device)

    @property
    def waited(self) -> float:
        """The share of the time since the first batch that went by waiting for others."""
        passed_s = time.perf_counter() - (self._began or 0.0)
        return self._waited_s / passed_s if self._began else 0.0


class _Numbered(Dataset[Batch]):
    """Batch i holds the examples from i times its size on."""

    def __init__(self, examples: Examples, size: int) -> None:
        self._examples, self._size = examples, size

    def __getitem__(self, number: int) -> Batch:
        first = number * self._size
        return collate([self._examples[i] for i in range(first, first + self._size)])


def _accelerator(options: TrainOptions) -> Accelerator:
    try:
        return Accelerator(
            mixed_precision=options.precision, gradient_accumulation_steps=options.accumulate
        )
    except ValueError as error:
        raise BackendError(f"train.precision={options.precision} cannot be had: {error}") from error


def _groups(head: Head, options: TrainOptions) -> list[dict[str, Any]]:
    """Weights of matrices decay; gains and biases do not."""
    parameters = list(head.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _learning_rate(step: int, options: TrainOptions) -> float:
    """Rises over the warm-up, then falls to 0 as a cosine does."""
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    share = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.learning_rate * (1 + math.cos(math.pi * share)) / 2
