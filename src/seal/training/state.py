"""All that a step of training changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from seal.training.memory import shard_like, whole

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class State:
    """The weights that are trained, their running mean, and AdamW's moments.

    The mean forgets by `ema` a step, sooner in the beginning; 0 has none.
    """

    def __init__(self, network: Any, optimizer: torch.optim.Optimizer, ema: float) -> None:
        self._network, self._optimizer, self._ema = network, optimizer, ema
        self._weights = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self._average = {n: p.detach().clone() for n, p in self._weights.items() if ema}

    def follow(self, step: int) -> None:
        """Move the running mean towards the weights after a step, from 0."""
        if self._average:
            move = get_ema_multi_avg_fn(min(self._ema, (1 + step) / (10 + step)))
            move(list(self._average.values()), list(self._weights.values()), step)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Where there is a running mean, the network has it for its weights meanwhile."""
        weights = {name: self._weights[name].detach().clone() for name in self._average}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(weights)

    def weights(self, frozen: bool, keep: bool) -> dict[str, Tensor]:
        """The weights that are trained, or with `frozen` all that the network consists of.

        Whole, and by all processes together: see `seal.training.memory.whole`.
        """
        return whole(self._network.state_dict() if frozen else self._weights, keep)

    def tensors(self, keep: bool) -> dict[str, Tensor]:
        """Everything by name, as `weights` has it."""
        found = {f"weights.{name}": weight for name, weight in self._weights.items()}
        found |= {f"average.{name}": weight for name, weight in self._average.items()}
        for name, weight in self._weights.items():
            moments = self._optimizer.state[weight]
            found |= {f"optimizer.{key}.{name}": value for key, value in moments.items()}
        return whole(found, keep)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Raises KeyError or RuntimeError for those of another network."""
        stored = {name: tensors[f"weights.{name}"] for name in self._weights}
        self._put({name: shard_like(stored[name], w) for name, w in self._weights.items()})
        for name, mean in self._average.items():
            mean.copy_(shard_like(tensors[f"average.{name}"], mean))
        for name, weight in self._weights.items():
            # Weights that no loss depends on have none.
            stored = {key: tensors.get(f"optimizer.{key}.{name}") for key in _MOMENTS}
            moments = {
                # One that has the weight's shape lies where the weight does.
                key: shard_like(value, weight)
                if value.dim()
                else value.to(weight.device, copy=True)
                for key, value in stored.items()
                if value is not None
            }
            if moments:
                self._optimizer.state[weight] = moments

    def _put(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in tensors.items():
                self._weights[name].copy_(tensor)
