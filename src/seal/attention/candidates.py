"""What a choice is made from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seal.types import Float32, Float64, Int64, Tokens


@dataclass(frozen=True, eq=False)
class Candidates:
    """Tokens as a selector sees them: what they are worth alone, how they differ, when they are."""

    relevance: Float32
    """[n] R to the query."""
    embeddings: Float32
    """[n, d] L2-normalised; S of two tokens is their dot product."""
    times_s: Float64
    """[n] the middle of each token, in seconds; ascending order is not asked for."""
    costs: Float64 = field(default_factory=lambda: np.ones(0))
    """[n] what a token takes from the budget, above 0; all 1 where none are given."""
    include: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    """Rows that are part of every choice."""

    def __post_init__(self) -> None:
        if not self.costs.size:
            object.__setattr__(self, "costs", np.ones(len(self)))

    def __len__(self) -> int:
        return len(self.relevance)

    @staticmethod
    def of(tokens: Tokens, relevance: Float32) -> Candidates:
        """All of `tokens`, at a cost of 1 each."""
        return Candidates(relevance, tokens.embeddings, tokens.middle_s)
