"""Training of a localisation head, by `seal.training`.

The folder of a run has `head/`: what `seal find --head` loads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE as WEIGHTS
from safetensors.torch import save_file
from torch import Tensor

from seal.config import NetworkOptions, TrainOptions
from seal.ground.batches import HeadBatch, collate
from seal.ground.examples import HeadExample
from seal.ground.model import Head
from seal.ground.networks import LOSSES, Network, network
from seal.training.loop import Step, fit
from seal.training.run import TrainingTask


class Examples(Protocol):
    """Examples without end; number i is always the same one."""

    def __getitem__(self, number: int) -> HeadExample: ...


def train(
    examples: Examples,
    sizes: NetworkOptions,
    options: TrainOptions,
    folder: str | Path,
    data: dict[str, str],
    on_step: Callable[[Step], None] = lambda step: None,
) -> dict[str, float]:
    """Train a head in `folder`, or go on with the run there; the figures of its end.

    `data` says what the examples are made from: names and checksums. Raises OptionError if the
    folder holds a run with other options or data, BackendError if its state is damaged.
    """
    torch.manual_seed(options.seed)
    head = network(sizes)
    if isinstance(head, Head) and head.crops is not None and head.sizes.crop_weights:
        head.crops.start_from(head.sizes.crop_weights)
    task, batches = Localisation(head), _Batches(examples, options.batch_size)
    settings = {"head": sizes.deciding(), "train": options.deciding(), "data": data}
    return fit(task, batches, options, folder, settings, on_step)


class Localisation(TrainingTask):
    """A head that learns spans and how well they fit."""

    result = "head"

    def __init__(self, head: Network) -> None:
        self.network = head
        self._loss = LOSSES[type(head)]

    def losses(self, model: Any, batch: HeadBatch) -> dict[str, Tensor]:
        found = self._loss(model(batch.video, batch.queries), batch.truth)
        return {"loss": found.total, "score": found.score, "span": found.span}

    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        save_file(weights, folder / WEIGHTS)
        sizes = self.network.sizes.deciding()
        (folder / "config.json").write_text(json.dumps(sizes, indent=2) + "\n")


class _Batches:
    """Batch i holds the examples from i times its size on."""

    def __init__(self, examples: Examples, size: int) -> None:
        self._examples, self._size = examples, size

    def __getitem__(self, number: int) -> HeadBatch:
        first = number * self._size
        return collate([self._examples[i] for i in range(first, first + self._size)])
