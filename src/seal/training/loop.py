"""The steps of a training, by accelerate."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType

from seal.config import FitOptions
from seal.errors import BackendError
from seal.training.feed import BatchFeed, Feed
from seal.training.memory import recomputing, sharding
from seal.training.run import TrainingRun, TrainingTask
from seal.training.state import State


@dataclass(frozen=True)
class Step:
    """How far a run has come."""

    number: int
    """Steps done."""
    loss: float
    waited: float
    """The share of the time of this process that went by waiting for examples."""


def fit(
    task: TrainingTask,
    batches: BatchFeed,
    options: FitOptions,
    folder: str | Path,
    settings: dict[str, Any],
    on_step: Callable[[Step], None] = lambda step: None,
) -> dict[str, float]:
    """Train in `folder`, or go on with the run there; the figures of its end.

    `settings` are all that decides what comes out. Raises OptionError if the folder holds a run
    with others, BackendError if its state is damaged or the precision cannot be had, DataError if
    the folder cannot be used.
    """
    accelerator = _accelerator(options)
    run = TrainingRun(Path(folder), settings, accelerator.is_main_process)
    if options.recompute:
        recomputing(task.network)
    if accelerator.distributed_type == DistributedType.FSDP:
        sharding(accelerator.state.fsdp_plugin, task.network)
    optimizer = torch.optim.AdamW(_groups(task.network, options))
    model, optimizer = accelerator.prepare(task.network, optimizer)
    state = State(task.network, optimizer.optimizer, options.ema)
    done = run.resume(state)
    accelerator.wait_for_everyone()
    feed = Feed(batches, options, accelerator, done)
    model.train()
    with closing(run):
        for step in range(done, options.steps):
            rate = _learning_rate(step, options)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = _step(task, model, optimizer, feed, options, accelerator)
            state.follow(step)
            run.log(step, losses | {"learning_rate": rate})
            if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
                run.save(step + 1, state, task)
            if accelerator.is_main_process:
                on_step(Step(step + 1, losses["loss"], feed.waited))
    accelerator.wait_for_everyone()
    figures = {"loss": run.loss, "waited": feed.waited}
    if accelerator.is_main_process:
        run.finish(figures)
    return figures


def _step(
    task: TrainingTask,
    model: Any,
    optimizer: Any,
    feed: Feed,
    options: FitOptions,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Change the weights once; the losses, mean over all that went into it."""
    every = []
    for _ in range(options.accumulate):
        with accelerator.accumulate(model):
            losses = task.losses(model, next(feed))
            accelerator.backward(losses["loss"])
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), options.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        every.append(torch.stack([loss.detach() for loss in losses.values()]))
    means = accelerator.reduce(sum(every), "mean") / options.accumulate
    return dict(zip(losses, means.tolist(), strict=True))


def _accelerator(options: FitOptions) -> Accelerator:
    try:
        accelerator = Accelerator(
            mixed_precision=options.precision, gradient_accumulation_steps=options.accumulate
        )
    except ValueError as error:
        raise BackendError(f"precision={options.precision} cannot be had: {error}") from error
    stated = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if stated not in ("no", options.precision):
        raise BackendError(
            f"accelerate is set up for mixed_precision {stated}: set precision={stated} as well"
        )
    kind = accelerator.distributed_type
    if kind in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise BackendError(f"accelerate is set up for {kind.value}: set it up for FSDP instead")
    if kind == DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        if plugin.fsdp_version != 2:
            raise BackendError("accelerate is set up for FSDP 1: set fsdp_version: 2")
        if plugin.activation_checkpointing:
            # Its second pass drops other activations than the first one did.
            raise BackendError(
                "fsdp_activation_checkpointing gives wrong gradients where there is dropout: leave"
                " it out, and set recompute=true"
            )
    return accelerator


def _groups(network: Any, options: FitOptions) -> list[dict[str, Any]]:
    """Weights of matrices decay; gains and biases do not."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _learning_rate(step: int, options: FitOptions) -> float:
    """Rises over the warm-up, then falls to 0 as a cosine does."""
    warmup = options.warmup_steps
    if step < warmup:
        return options.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, options.steps - warmup)
    return options.learning_rate * (1 + math.cos(math.pi * share)) / 2
