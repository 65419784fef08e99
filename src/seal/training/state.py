"""All that a step of training changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class State:
    """The weights that are trained, their running mean, and AdamW's moments.

    The mean forgets by `ema` a step, sooner in the beginning; 0 has none.
    """

    def __init__(self, network: Any, optimizer: torch.optim.Optimizer, ema: float) -> None:
        self._optimizer, self._ema = optimizer, ema
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

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name."""
        found = {f"weights.{name}": weight.detach() for name, weight in self._weights.items()}
        found |= {f"average.{name}": weight for name, weight in self._average.items()}
        for name, weight in self._weights.items():
            moments = self._optimizer.state[weight]
            found |= {f"optimizer.{key}.{name}": value for key, value in moments.items()}
        return {name: value.cpu().contiguous() for name, value in found.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Raises KeyError or RuntimeError for those of another network."""
        self._put({name: tensors[f"weights.{name}"] for name in self._weights})
        for name, mean in self._average.items():
            mean.copy_(tensors[f"average.{name}"])
        for name, weight in self._weights.items():
            # Weights that no loss depends on have none.
            moments = {
                key: tensors[f"optimizer.{key}.{name}"].to(weight.device, copy=True)
                for key in _MOMENTS
                if f"optimizer.{key}.{name}" in tensors
            }
            if moments:
                self._optimizer.state[weight] = moments

    def _put(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in tensors.items():
                self._weights[name].copy_(tensor)
