"""What a choice of tokens is worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from seal.attention.candidates import Budget, Candidates
from seal.config import AttentionOptions
from seal.types import Float64, Int64

_TOLERANCE = 1e-6
"""Single precision and the order of a sum change a value by about a tenth of this share."""


def tolerance(value: float) -> float:
    """Two values about `value` that differ by no more than this are equal.

    All comparisons of objective values go by it, so that a choice does not depend on rounding, and
    thereby on the processor.
    """
    return _TOLERANCE * (1 + abs(value))


class Objective(ABC):
    """The worth of a choice out of n candidates, and of each candidate as the next to join it.

    An objective holds a choice that solvers change by `add` and `remove`. Where its formula names
    k, the size of the choice, it means `size`, the size aimed at, from the first token on.
    """

    submodular: ClassVar[bool]
    """Whether no gain ever rises as tokens join: what lazy solvers live on."""
    pairwise: ClassVar[bool]
    """Whether all pairs are compared: then `attention.candidates` limits the number of tokens."""
    averaged: ClassVar[bool] = False
    """Whether `size` is `Budget.usual_size` where tokens differ in cost: words that cost little
    then change little for pictures. Otherwise it is the largest size that a choice can have."""
    modular: bool = False
    """Whether the value is a weighted sum of relevance, so that the most relevant are the best."""

    def __init__(self, candidates: Candidates, size: int, options: AttentionOptions) -> None:
        self.candidates = candidates
        self.size = size
        self.options = options

    @staticmethod
    def seen(candidates: Candidates, options: AttentionOptions) -> Candidates:
        """All candidates as the objective sees them, before a sample of them is taken."""
        return candidates

    @abstractmethod
    def gains(self, rows: Int64 | None = None) -> Float64:
        """By how much the value rises if a token joins: [n], or of `rows` alone. -inf for those
        that are in."""

    @abstractmethod
    def add(self, row: int) -> None:
        """Token `row`, not yet in, joins the choice."""

    @abstractmethod
    def remove(self, row: int) -> None:
        """Token `row` leaves the choice."""

    @abstractmethod
    def exchanges(self, out: Int64, rows: Int64) -> Float64:
        """[len(out), len(rows)] by how much the value rises if one of `rows`, none of them in,
        takes the place of one of `out`, all of them in."""

    @abstractmethod
    def value(self, rows: Int64) -> float:
        """The value of a whole choice, computed afresh, whatever was added so far."""

    @abstractmethod
    def upper_bound(self, rows: Int64, budget: Budget, seconds: float) -> float:
        """No choice that the budget allows has a larger value, however it is found.

        Where `budget.uniform` these are choices of `budget.size` tokens, otherwise of any number
        that fit, down to `budget.include` alone. `rows` is the best choice known. The bound
        tightens while `seconds` last.
        """
