"""What a choice of tokens is worth."""

from __future__ import annotations

from abc import ABC, abstractmethod

from seal.types import Float64, Int64


class Objective(ABC):
    """The worth of a choice of `size` out of n tokens, and of each token as the next to join it."""

    size: int
    """How many tokens are to be chosen."""

    @abstractmethod
    def gains(self) -> Float64:
        """[n] by how much the value rises if a token joins those added so far; -inf for those."""

    @abstractmethod
    def add(self, row: int) -> None:
        """Token `row` joins the choice."""

    @abstractmethod
    def value(self, rows: Int64) -> float:
        """The value of a whole choice, computed afresh, whatever was added so far."""

    @abstractmethod
    def upper_bound(self) -> float:
        """No choice of `size` tokens has a larger value."""
