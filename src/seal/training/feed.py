"""Batches without end, each by its number, made by other processes while the last one is used."""

from __future__ import annotations

import time
from multiprocessing import resource_tracker
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from seal.config import FitOptions
from seal.processes import uninterrupted


def shuffled(number: int, count: int, seed: int) -> int:
    """Which of `count` examples is number `number`: all in random order, then all in another."""
    round_, place = divmod(number, count)
    return int(np.random.default_rng([seed, round_]).permutation(count)[place])


class BatchFeed(Protocol):
    """Batches without end; number i is always the same one. They go to other processes."""

    def __getitem__(self, number: int) -> Any:
        """Tensors, which move together by `to(device)`."""
        ...


class Feed:
    """The batches of this process, from the one that step `done` begins with."""

    def __init__(
        self, batches: BatchFeed, options: FitOptions, accelerator: Accelerator, done: int
    ) -> None:
        self._seed, self._device = options.seed, accelerator.device
        self._place, processes = accelerator.process_index, accelerator.num_processes
        self._number = done * options.accumulate
        loader = DataLoader(
            batches,
            batch_size=None,
            sampler=range(
                self._number * processes + self._place,
                options.steps * options.accumulate * processes,
                processes,
            ),
            num_workers=options.workers,
            # Forking a process with threads, as torch has them, can hang.
            multiprocessing_context="spawn" if options.workers else None,
            prefetch_factor=4 if options.workers else None,
            pin_memory=accelerator.device.type == "cuda",
        )
        # The process that keeps track of resources unblocks Ctrl-C as it is started itself.
        resource_tracker.ensure_running()
        with uninterrupted():
            self._source, self._waited_s = iter(loader), 0.0
        self._began: float | None = None

    def __next__(self) -> Any:
        asked = time.perf_counter()
        batch = next(self._source)
        now = time.perf_counter()
        if self._began is None:
            # The first one waits for the workers to start, once for each run.
            self._began = now
        else:
            self._waited_s += now - asked
        # What is dropped in this batch depends on its number alone.
        torch.manual_seed(hash((self._seed, self._number, self._place)))
        self._number += 1
        return batch.to(self._device)

    @property
    def waited(self) -> float:
        """The share of the time since the first batch that went by waiting for others."""
        passed_s = time.perf_counter() - (self._began or 0.0)
        return self._waited_s / passed_s if self._began else 0.0
