"""The published objective: relevance to the query plus the pairwise difference of the chosen.

    F(T) = a * sum_i R(t_i, q) + b * sum_{i != j} 1 / S(t_i, t_j)        (section 3.2)

R is the cosine of token and query, S that of two tokens, clipped to [s_min, 1]: 1/S explodes at 0
and turns negative below it. The second sum runs over ordered pairs, k (k - 1) of them.
"""

from __future__ import annotations

import numpy as np

from seal.attention.objective import Objective
from seal.config import AttentionOptions
from seal.types import Float32, Float64, Int64

# How many columns of the similarity matrix are computed at once.
_AHEAD = 16
# How many rows of it.
_BLOCK = 512


class Paper(Objective):
    """The formula as written: a = alpha, b = 1 - alpha. The sum over pairs outgrows the sum over
    tokens as k does, so that at alpha = 0.9 relevance soon counts for little."""

    def __init__(
        self, relevance: Float32, embeddings: Float32, size: int, options: AttentionOptions
    ) -> None:
        self.size = size
        self._embeddings = embeddings
        self._s_min = options.s_min
        self._relevance_weight, self._pair_weight = self._weights(options.alpha)
        self._relevance = self._relevance_weight * relevance.astype(np.float64)
        self._gains = self._relevance.copy()
        self._columns: dict[int, Float32] = {}

    def _weights(self, alpha: float) -> tuple[float, float]:
        return alpha, 1 - alpha

    def _difference(self, similarity: Float32) -> Float32:
        return self._pair_weight / np.clip(similarity, self._s_min, 1)

    def gains(self) -> Float64:
        return self._gains

    def add(self, row: int) -> None:
        # Each pair counts in both orders.
        self._gains += 2 * self._difference(self._similarities(row))
        self._gains[row] = -np.inf

    def _similarities(self, row: int) -> Float32:
        """S of token `row` to every token: [n]."""
        if row not in self._columns:
            # The product is bound by reading the embeddings once. For the same price it gives the
            # columns of those likely to be added next.
            ahead = min(_AHEAD, len(self._gains))
            likely = np.argpartition(self._gains, -ahead)[-ahead:]
            rows = np.unique([row, *likely.tolist()])
            columns = self._embeddings[rows] @ self._embeddings.T
            self._columns = dict(zip(rows.tolist(), columns, strict=True))
        return self._columns[row]

    def value(self, rows: Int64) -> float:
        chosen = self._embeddings[rows]
        pairs = 0.0
        # In blocks, because all tokens of a long video may be chosen.
        for start in range(0, len(rows), _BLOCK):
            block = chosen[start : start + _BLOCK]
            pairs += self._difference(block @ chosen.T).sum(dtype=np.float64)
            # A token makes no pair with itself.
            pairs -= self._difference((block * block).sum(1)).sum(dtype=np.float64)
        return float(self._relevance[rows].sum() + pairs)

    def upper_bound(self) -> float:
        """By the triangle inequality of angles: with theta_i the angle of token i to the mean of
        all, S(t_i, t_j) >= cos(theta_i + theta_j). Each token is granted the size - 1 most distant
        partners that this allows, then the best `size` tokens are added up. O(n (d + size))."""
        if self.size < 2:
            return _largest(self._relevance, self.size)
        mean = self._embeddings.mean(0)
        mean /= max(float(np.linalg.norm(mean)), np.finfo(np.float32).tiny)
        # Rounding in the float32 products may make an angle too small by up to about this much.
        slack = 1e-3
        theta = np.minimum(np.arccos(np.clip(self._embeddings @ mean, -1, 1)) + slack, np.pi)
        cos, sin = np.cos(theta), np.sin(theta)
        partners = np.partition(theta, len(theta) - self.size + 1)[-(self.size - 1) :]
        bound = self._relevance.astype(np.float32)
        for partner in partners:
            similarity = cos * np.cos(partner) - sin * np.sin(partner)
            # Beyond a straight angle tokens are opposite: no similarity is below -1.
            similarity[theta > np.pi - partner] = -1
            bound += self._difference(similarity)
        return _largest(bound, self.size)


class Normalised(Paper):
    """Each sum divided by its number of terms, so that alpha means the same for every budget:
    a = alpha / k, b = (1 - alpha) / (k (k - 1))."""

    def _weights(self, alpha: float) -> tuple[float, float]:
        pairs = self.size * (self.size - 1)
        return alpha / max(self.size, 1), (1 - alpha) / max(pairs, 1)


def _largest(values: Float32 | Float64, count: int) -> float:
    """The sum of the `count` largest of `values`."""
    if not count:
        return 0.0
    return float(np.partition(values, len(values) - count)[-count:].sum(dtype=np.float64))
