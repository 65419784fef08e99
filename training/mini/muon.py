"""Muon (Jordan et al. 2024): momentum whose matrices are made orthogonal, Adam for the rest.

Of 150 steps it makes as much as AdamW of about 250 (benchmarks/LOG.md), and steps are what a CPU
is short of.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that drives singular values towards 1 in five rounds (Jordan)."""


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are all 1, in bfloat16 arithmetic."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Muon at the rate `lr`, or Adam at a tenth of it for the groups that have `adam` set."""

    def __init__(self, groups: Iterable[dict], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "decay": 0.0, "adam": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            update = self._adam if group["adam"] else self._muon
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(update(p, self.state[p]), alpha=-group["lr"])

    @staticmethod
    def _muon(p: Tensor, state: dict) -> Tensor:
        mean = state.setdefault("mean", torch.zeros_like(p))
        mean.lerp_(p.grad, 0.05)
        matrix = p.grad.lerp(mean, 0.95).flatten(1)
        shape = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        return orthogonal(matrix).reshape(p.shape) * shape

    @staticmethod
    def _adam(p: Tensor, state: dict) -> Tensor:
        if not state:
            state.update(mean=torch.zeros_like(p), square=torch.zeros_like(p), t=torch.zeros(()))
        state["t"] += 1
        state["mean"].lerp_(p.grad, 0.1)
        state["square"].lerp_(p.grad.square(), 0.01)
        t = state["t"].item()
        mean, square = state["mean"] / (1 - 0.9**t), state["square"] / (1 - 0.99**t)
        return 0.1 * mean / (square.sqrt() + 1e-8)
