"""The published objective: relevance to the query plus the pairwise difference of the chosen.

    F(T) = alpha * sum_i R(t_i, q) + (1 - alpha) * sum_{i != j} 1 / S(t_i, t_j)      (section 3.2)

R is the cosine of token and query, S that of two tokens, clipped to [s_min, 1]: 1/S explodes at 0
and turns negative below it. The second sum runs over ordered pairs, k (k - 1) of them: it outgrows
the first as k does, so that relevance soon counts for little.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from seal.attention.candidates import Budget, Candidates
from seal.attention.objective import Objective, tolerance
from seal.config import AttentionOptions
from seal.types import Float32, Float64, Int64

# How many columns of the similarity matrix are computed at once.
_AHEAD = 16
# How many rows of it.
_BLOCK = 512
# The bound looks at the pairs of so many times `size` tokens; at the first three cores always.
_CORES = (1, 2, 4, 8, 16, 32, 64)
_ALWAYS = 3
_LARGEST_CORE = 1024
# Frank-Wolfe steps; the bound hardly moves after 40.
_STEPS = 60


class Paper(Objective):
    """The formula as written."""

    submodular = False  # A token's pairs are counted when its partners are in: gains rise.
    pairwise = False  # One product with the sum of the chosen is enough.

    def __init__(self, candidates: Candidates, size: int, options: AttentionOptions) -> None:
        super().__init__(candidates, size, options)
        relevance_weight, self._pair_weight = self._weights(options.alpha)
        self.modular = self._pair_weight == 0
        self._relevance: Float64 = relevance_weight * candidates.relevance.astype(np.float64)
        self._gains = self._relevance.copy()
        self._no_pairs = np.zeros(len(candidates), np.float32)
        self._inside: dict[int, Float32] = {}
        """The choice, with what each token's pairs add to the gains of all."""
        self._columns: dict[int, Float32] = {}

    def _weights(self, alpha: float) -> tuple[float, float]:
        """What R of a token and 1/S of an ordered pair are multiplied by."""
        return alpha, 1 - alpha

    def _difference(self, similarity: Float32) -> Float32:
        return self._pair_weight / np.clip(similarity, self.options.s_min, 1)

    def gains(self, rows: Int64 | None = None) -> Float64:
        gains = self._gains.copy()
        gains[list(self._inside)] = -np.inf
        return gains if rows is None else gains[rows]

    def add(self, row: int) -> None:
        # Each pair counts in both orders.
        if self.modular:
            self._inside[row] = self._no_pairs
            return
        pairs = 2 * self._difference(self._similarities(row))
        pairs[row] = 0
        self._inside[row] = pairs
        self._gains += pairs

    def remove(self, row: int) -> None:
        self._gains -= self._inside.pop(row)

    def exchanges(self, out: Int64, rows: Int64) -> Float64:
        shared = np.stack([self._inside[row][rows] for row in out.tolist()])
        # What the one to leave adds to the others is a gain, too: that of its coming back.
        return self._gains[rows] - shared - self._gains[out, None]

    def _similarities(self, row: int) -> Float32:
        """S of token `row` to every token: [n]."""
        if row not in self._columns:
            # The product is bound by reading the embeddings once. For the same price it gives the
            # columns of those likely to be added next.
            embeddings = self.candidates.embeddings
            gains = self.gains()
            ahead = min(_AHEAD, len(gains))
            likely = np.argpartition(gains, -ahead)[-ahead:]
            rows = np.unique([row, *likely.tolist()])
            self._columns = dict(zip(rows.tolist(), embeddings[rows] @ embeddings.T, strict=True))
        return self._columns[row]

    def value(self, rows: Int64) -> float:
        return float(self._relevance[rows].sum() + self._pairs(rows).sum())

    def _pairs(self, rows: Int64) -> Float64:
        """[len(rows)] what each of `rows` adds to the second sum as the first token of a pair."""
        chosen = self.candidates.embeddings[rows]
        sums = np.empty(len(rows))
        # In blocks, because all tokens of a long video may be chosen.
        for start in range(0, len(rows), _BLOCK):
            block = chosen[start : start + _BLOCK]
            difference = self._difference(block @ chosen.T)
            # A token makes no pair with itself.
            np.fill_diagonal(difference[:, start:], 0)
            sums[start : start + _BLOCK] = difference.sum(1, dtype=np.float64)
        return sums

    def upper_bound(self, rows: Int64, budget: Budget, seconds: float) -> float:
        """The largest value of a concave relaxation, after Hammer and Rubin (1970).

        Let C_ij = 1 / s_min - 1 / S_ij >= 0 be the similarity that a pair is charged for, and x_i
        whether token i is chosen. The value is a . x - b x' C x plus a constant. Any diagonal can
        be added to C and taken off again in a, because x_i^2 = x_i. Enough of it makes the function
        concave, and then its tangent at any fractional x bounds it. Frank-Wolfe steps choose x.
        Pairs outside a core of the most relevant tokens are charged nothing, which only adds to the
        bound, but a larger core needs a larger diagonal. Several are tried, the small ones always
        and the others while `seconds` last. The constant is that of the largest choice, so that the
        bound holds for smaller ones as well.
        """
        deadline = time.monotonic() + seconds
        size = budget.size
        if size < 2:
            return budget.most(self._relevance)
        free = budget.free[np.argsort(-self._relevance[budget.free], kind="stable")]
        order = np.concatenate([budget.include, free])
        if size == len(order):
            return self._all_fit(order, budget)
        best, began = np.inf, time.monotonic()
        for i, times in enumerate(_CORES):
            core = times * size
            # Beyond the core nothing but relevance counts, so that, of tokens of one cost, none
            # but the first `size` can be chosen.
            some = order[: core + size] if budget.uniform else order
            room = budget.take(some)
            best = min(best, self._relaxed(some, core, np.isin(some, rows), room))
            began, took = time.monotonic(), time.monotonic() - began
            done = core >= len(order) or core > _LARGEST_CORE
            # Twice the core takes up to eight times as long.
            if done or (i + 1 >= _ALWAYS and began + 8 * took > deadline):
                break
        bound = best + self._pair_weight * size * (size - 1) / self.options.s_min
        # The products have single precision.
        return bound + tolerance(bound)

    def _all_fit(self, every: Int64, budget: Budget) -> float:
        """The bound where all that can be chosen fits.

        Without some of the tokens, the value lacks their relevance and, of each of them, at least
        the pairs of which it is the first. A token that is worth less than nothing even so may be
        better left out.
        """
        worth = self._relevance[every] + self._pairs(every)
        left_out = np.minimum(worth[len(budget.include) :], 0).sum()
        bound = float(worth.sum() - (0 if budget.uniform else left_out))
        return bound + tolerance(bound)

    def _relaxed(self, some: Int64, core: int, start: NDArray[np.bool_], budget: Budget) -> float:
        """At least max a . x - b x' C x over choices of `some` tokens, with the pairs of the first
        `core` in C."""
        chosen = self.candidates.embeddings[some[:core]]
        floor = self._pair_weight / self.options.s_min
        charged = floor - self._difference(chosen @ chosen.T).astype(np.float64)
        np.fill_diagonal(charged, 0)
        shift = max(0.0, -1.0001 * float(np.linalg.eigvalsh(charged)[0])) + 1e-9 * floor
        np.fill_diagonal(charged, shift)
        linear = self._relevance[some]
        linear[:core] += shift
        x = start.astype(np.float64)
        charge = np.zeros(len(some))
        best = np.inf
        for _ in range(_STEPS):
            charge[:core] = charged @ x[:core]
            slope = linear - 2 * charge
            step = budget.vertex(slope) - x
            rise = float(slope @ step)
            # Concave: nowhere above the tangent at x, whose largest value is at a vertex.
            best = min(best, float((linear - charge) @ x) + rise)
            curvature = 2 * float(step[:core] @ (charged @ step[:core]))
            if rise <= 0:
                break
            x += min(1.0, rise / curvature if curvature > 0 else 1.0) * step
        return best
