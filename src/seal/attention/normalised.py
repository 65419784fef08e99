"""The published objective with its two sums made comparable.

    F(T) = alpha / k * sum_i R(t_i, q) + (1 - alpha) / (k (k - 1)) * sum_{i != j} 1 / S(t_i, t_j)

Each sum is divided by its number of terms, so that alpha means the same for every budget.
"""

from __future__ import annotations

from seal.attention.paper import Paper


class Normalised(Paper):
    """Mean relevance against mean difference."""

    def _weights(self, alpha: float) -> tuple[float, float]:
        pairs = self.size * (self.size - 1)
        return alpha / max(self.size, 1), (1 - alpha) / max(pairs, 1)
