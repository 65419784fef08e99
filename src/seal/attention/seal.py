"""What answers the query, and what the video is apart from that: the default.

    F(T) = g * A(T) + (1 - g) * C(T)
    A(T) = 1 / k * sum_{t in T} r_t - redundancy / k^2 * sum_{t != u in T} c_t c_u S(t, u)^4
    r_t = (R'(t, q) - mean R) / (max R - mean R)

A are relevant tokens that do not repeat each other; C is `coverage` with more weight where more
happens; g is answer_weight, which by default follows from the question
(`seal.attention.question`). R' is the relevance with that of the neighbours in time
(`in_context`), as what was said just before and after helps to understand a turn. Relevance minus
the similarity of all pairs is max-sum diversification (Borodin, Lee and Ye, PODS 2012). An even
power of the similarities is positive, so that no gain rises as tokens join. It is also positive
semidefinite (Schur's product theorem), so that A is concave between choices, which bounds it.

c^2 is word_redundancy for tokens that are found by their words, and 1 for all others. The embedding
of a sentence says little of what it adds to another one. Two turns about one subject may lie as
close together as two pictures of one thing, and a reader wants both. `benchmarks/answer_weight.py
redundancy` prints the scores that chose word_redundancy.

The weights of C are those of `coverage` with

    w_i = f * r_i / sum_j r_j + (1 - f) * v_i / sum_j v_j
    v_i = (variance of the embeddings within variance_window_s of time_i)^variance_exponent

The variance says how unlike each other the tokens around a time are. People who sum up hours choose
little from an hour at a table and much from the walk there, whatever the length of either (LOG,
"Selection"). In a video shorter than variance_window_s every token has the same weight.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from seal.attention.candidates import Budget, Candidates
from seal.attention.coverage import Coverage
from seal.attention.question import answer_weight
from seal.config import AttentionOptions
from seal.types import Float32, Float64, Int64

_BLOCK = 256
"""Times that are looked around at once: few enough to stay in the cache."""
_NONE = 1e-9
"""Less variance than this is what rounding leaves."""
_POOL = 192
"""The bound charges the pairs of so many tokens."""
_SWEEPS = 4
"""Rounds in which the diagonal falls; each halves what is left."""
_ROUNDING = 1e-9
_RIDGE = 1e-3
"""Eigenvalues from here on count as above 0: tokens that equal each other have some of 0."""
_SLACK = 1e-6
"""A diagonal that can fall by less than this stays."""
_TANGENTS = 40
"""Frank-Wolfe steps; the bound hardly moves after them."""


class Seal(Coverage):
    """Relevant tokens unlike each other, beside query-weighted facility location."""

    averaged = True

    def __init__(self, candidates: Candidates, size: int, options: AttentionOptions) -> None:
        weight = options.answer_weight
        if weight is None:
            weight = answer_weight(candidates)
        super().__init__(candidates, size, replace(options, chosen_weight=weight))
        self._own = weight / max(size, 1) * _standardised(candidates)
        self._repeated = weight * options.redundancy / max(size, 1) ** 2
        """What each ordered pair of c c S^4 = 1 takes off."""
        self._charged = _charged(candidates, options.word_redundancy)
        self._columns: dict[int, Float32] = {}
        """The choice, with c c S^4 of each of its tokens to all."""
        self._alike = np.zeros(len(candidates))
        """[n] the sum of these columns."""

    @staticmethod
    def seen(candidates: Candidates, options: AttentionOptions) -> Candidates:
        return replace(candidates, in_context=in_context(candidates, options.neighbour_weight))

    def gains(self, rows: Int64 | None = None) -> Float64:
        alike = self._alike if rows is None else self._alike[rows]
        gains: Float64 = super().gains(rows) - 2 * self._repeated * alike
        return gains

    def add(self, row: int) -> None:
        super().add(row)
        self._columns[row] = self._powers(np.array([row]))[0]
        self._alike += self._columns[row]

    def remove(self, row: int) -> None:
        super().remove(row)
        self._alike -= self._columns.pop(row)

    def exchanges(self, out: Int64, rows: Int64) -> Float64:
        columns = np.stack([self._columns[row] for row in out.tolist()])
        itself = columns[np.arange(len(out)), out]
        more = self._alike[rows] - columns[:, rows] - (self._alike[out] - itself)[:, None]
        change: Float64 = super().exchanges(out, rows) - 2 * self._repeated * more
        return change

    def value(self, rows: Int64) -> float:
        return super().value(rows) - self._repeated * float(self._pairs(rows).sum())

    def upper_bound(self, rows: Int64, budget: Budget, seconds: float) -> float:
        """The bound of `Coverage`, with a tangent of A in the place of A.

        With x_t whether t is chosen, the sum over pairs is x' (M + D) x - d . x, whatever diagonal
        D is added, because x_t^2 = x_t. Where M + D is positive semidefinite, A is concave in x,
        and no choice is above its tangent at any fractional x. M has the pairs of the tokens that
        are worth most alone; those of all others can only take off more.
        """
        worth = self._own + self._above(self._kernel, self._cover(rows))
        free = budget.free
        if len(free) > _POOL:
            free = free[np.argpartition(worth[free], -_POOL)[-_POOL:]]
        some = np.unique(np.concatenate([budget.include, rows, free]))
        pairs = self._powers(some)[:, some].astype(np.float64)
        diagonal = _smallest_diagonal(pairs)
        np.fill_diagonal(pairs, diagonal)
        x = np.isin(some, rows).astype(np.float64)
        best, at, room = np.inf, x, budget.take(some)
        for _ in range(_TANGENTS):
            alike = pairs @ x
            slope = worth[some] - self._repeated * (2 * alike - diagonal)
            step = room.vertex(slope) - x
            bound = self._repeated * float(x @ alike) + float(slope @ (x + step))
            if bound < best:
                best, at = bound, x
            rise, curvature = float(slope @ step), 2 * self._repeated * float(step @ pairs @ step)
            if rise <= 0:
                break
            x = x + min(1.0, rise / curvature if curvature > 0 else 1.0) * step
        alike = pairs @ at
        own = self._own.copy()
        own[some] -= self._repeated * (2 * alike - diagonal)
        return self._repeated * float(at @ alike) + self._relaxed(own, rows, budget, seconds)

    def _powers(self, rows: Int64) -> Float32:
        """[len(rows), n] c c S^4."""
        powers: Float32 = np.square(np.square(self._charged[rows] @ self._charged.T))
        return powers

    def _pairs(self, rows: Int64) -> Float64:
        """[len(rows)] the sum of c c S^4 of each of `rows` to the others."""
        chosen = self._charged[rows]
        sums = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK):
            block = np.square(np.square(chosen[start : start + _BLOCK] @ chosen.T))
            np.fill_diagonal(block[:, start:], 0)
            sums[start : start + _BLOCK] = block.sum(1, dtype=np.float64)
        return sums

    def _presence(self, multiplicity: Float64, embeddings: Float32, times_s: Float64) -> Float64:
        order = np.argsort(times_s, kind="stable")
        times_s, multiplicity_then = times_s[order], multiplicity[order]
        variance_window_s = self.options.variance_window_s
        begin = np.searchsorted(times_s, times_s - variance_window_s, side="left")
        end = np.searchsorted(times_s, times_s + variance_window_s, side="right")
        sums = np.zeros((len(order) + 1, embeddings.shape[1] + 2))
        points = sums[1:, :-2]
        points[:] = embeddings[order]
        sums[1:, -2] = np.einsum("nd,nd->n", points, points)
        sums[1:, -1] = 1
        sums[1:] *= multiplicity_then[:, None]
        # np.cumsum goes through each column by itself, which takes four times as long.
        for before, row in pairwise(sums):
            row += before
        variance = np.empty(len(order))
        for start in range(0, len(order), _BLOCK):
            rows = slice(start, start + _BLOCK)
            around = sums[end[rows]] - sums[begin[rows]]
            points, squares, count = around[:, :-2], around[:, -2], around[:, -1]
            variance[rows] = squares / count - np.einsum("nd,nd->n", points, points) / count**2
        variance[variance < _NONE] = 0
        present = np.empty(len(order))
        present[order] = multiplicity_then * variance**self.options.variance_exponent
        total = float(present.sum())
        return present / total if total > 0 else multiplicity


def in_context(candidates: Candidates, weight: float) -> Float32:
    """R' [n]: of the relevance of each token, its neighbours in time, the one before and the one
    after, have the share `weight` each. At the ends a token is its own neighbour."""
    order = np.argsort(candidates.times_s, kind="stable")
    own = np.pad(candidates.relevance[order], 1, mode="edge" if len(order) else "empty")
    seen = np.empty_like(candidates.relevance)
    seen[order] = (1 - 2 * weight) * own[1:-1] + weight * (own[:-2] + own[2:])
    return seen


def _charged(candidates: Candidates, word_redundancy: float) -> Float32:
    """[n, d] embeddings whose products are S times the fourth roots of c_t and c_u."""
    by_words = candidates.by_words
    if by_words is None or not by_words.any():
        return candidates.embeddings
    roots = np.where(by_words, word_redundancy**0.125, 1.0).astype(np.float32)
    charged: Float32 = candidates.embeddings * roots[:, None]
    return charged


def _standardised(candidates: Candidates) -> Float64:
    """r [n]: 1 is the largest relevance, 0 the mean; all 0 where nothing stands out."""
    own = candidates.relevance if candidates.in_context is None else candidates.in_context
    if not len(own):
        return np.zeros(0)
    every, weights = candidates.everything()
    mean = np.average(every, weights=weights)
    most = every.max() - mean
    standardised: Float64 = (own - mean) / (most if most > _NONE else np.inf)
    return standardised


def _smallest_diagonal(pairs: Float64) -> Float64:
    """d [m], small, with which `pairs` [m, m], positive semidefinite, stay so.

    Each d_i can fall by 1 / (inverse)_ii (Schur's complement). All fall by half of that, one after
    the other and some rounds, so that none takes what others need: minimum trace factor analysis by
    coordinates (Bekker and ten Berge 1997).
    """
    diagonal = pairs.diagonal() + _RIDGE
    shifted = pairs.copy()
    np.fill_diagonal(shifted, diagonal)
    inverse = np.linalg.inv(shifted)
    for _ in range(_SWEEPS):
        for i in range(len(pairs)):
            column = inverse[:, i].copy()
            # Each fall doubles the inverse over all tokens like this one, whose numbers overflow
            # where a hundred tokens are alike.
            if column[i] * _SLACK > 1:
                continue
            fall = 0.5 / column[i]
            diagonal[i] -= fall
            # Sherman and Morrison (1950), with 1 - fall * column[i] = 1 / 2.
            inverse += np.outer(2 * fall * column, column)
    np.fill_diagonal(shifted, diagonal)
    lowest = float(np.linalg.eigvalsh(shifted)[0]) if len(pairs) else 0.0
    return diagonal + max(_ROUNDING - lowest, 0)
