"""Baselines that choose by determinants: diverse tokens span a large volume.

A determinantal point process with the kernel L = diag(q) S diag(q) prefers sets Y with a large

    log det L_Y = 2 * sum over Y of log q_i + log det S_Y

where q is the quality of each token and S the similarity of two.
"""

from __future__ import annotations

import numpy as np

from seal.attention.candidates import Candidates
from seal.types import Float32, Float64, Int64

# Less than this part of a token counts as nothing new; it is what float32 embeddings leave of a
# duplicate. So a choice goes on by quality where the kernel's rank is used up.
_NOTHING = 1e-6


def dpp(candidates: Candidates, size: int, *, trade_off: float = 0.9) -> Int64:
    """Fast greedy MAP inference (Chen et al., NeurIPS 2018, algorithm 1 and section 4.2).

    S = (1 + cosine) / 2 and q = exp(a R) with a = trade_off / (2 (1 - trade_off)), which makes
    log det L proportional to trade_off * sum R + (1 - trade_off) * log det S. The paper stops where
    the kernel has no rank left; here the best of the rest follow. O(n size (d + size)).
    """
    n = len(candidates)
    size = min(size, n)
    # In float32 the rounding of a product depends on the order of the candidates.
    embeddings = candidates.embeddings.astype(np.float64)
    quality = trade_off * candidates.relevance.astype(np.float64)
    diagonal = (1 + (embeddings * embeddings).sum(1)) / 2
    residual = _Residual(diagonal[None], size)
    rows = np.empty(size, np.int64)
    for i in range(size):
        rows[i] = np.argmax(quality + (1 - trade_off) * np.log(residual.left[0]))
        quality[rows[i]] = -np.inf
        column = (1 + embeddings @ embeddings[rows[i]]) / 2
        residual.add(rows[i : i + 1], column[None])
    return rows


def mdp3(
    candidates: Candidates,
    size: int,
    *,
    trade_off: float = 0.2,
    segment: int = 32,
    widths: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0),
) -> Int64:
    """Markov decision DPP with dynamic programming (Sun et al., ICCV 2025, section 4), by time.

    S(i, j) is the mean over `widths` of exp(-|x_i - x_j|^2 / (2 width)), and quality is the same
    kernel between token and query to the power of 1 / trade_off. The video is cut into segments of
    `segment` tokens. Within one, greedy steps add to log det L given the last token chosen before
    it. Dynamic programming over segments and numbers chosen so far finds how many each segment
    gets. Defaults are the paper's. The query is known by R alone: |x - q|^2 = 2 - 2 R of unit
    vectors. O(n size segment).
    """
    n = len(candidates)
    size = min(size, n)
    if not size:
        return np.empty(0, np.int64)
    order = np.argsort(candidates.times_s, kind="stable")
    embeddings = candidates.embeddings[order].astype(np.float64)

    def kernel(squares: Float64) -> Float64:
        bells = [np.exp(-np.maximum(squares, 0) / (2 * width)) for width in widths]
        mean: Float64 = np.mean(bells, axis=0)
        return mean

    relevance = candidates.relevance[order].astype(np.float64)
    quality = 2 / trade_off * np.log(kernel(2 - 2 * relevance))
    # For each number of tokens chosen so far: the best value, and the tokens, in time.
    values = np.full(size + 1, -np.inf)
    values[0] = 0.0
    traces = np.full((size + 1, size), -1)
    for start in range(0, n, segment):
        part = slice(start, min(start + segment, n))
        states = np.flatnonzero(np.isfinite(values))
        similarity = kernel(_squares(embeddings[part], embeddings[part]))
        # Without one chosen before, this is any token: what it says is not used.
        last = traces[states, states - 1]
        given = kernel(_squares(embeddings[last], embeddings[part]))
        given[states == 0] = 0.0
        picks, gains = _greedy(similarity, quality[part], given, size)
        new_values, new_traces = values.copy(), traces.copy()
        for row, state in enumerate(states):
            count = min(picks.shape[1], size - state)
            reached = values[state] + np.cumsum(gains[row, :count])
            for more in np.flatnonzero(reached > new_values[state + 1 : state + count + 1]) + 1:
                new_values[state + more] = reached[more - 1]
                new_traces[state + more] = traces[state]
                new = start + np.sort(picks[row, :more])
                new_traces[state + more, state : state + more] = new
        values, traces = new_values, new_traces
    rows: Int64 = order[traces[size]]
    return rows


def _greedy(
    similarity: Float64, quality: Float64, given: Float64, size: int
) -> tuple[Int64, Float64]:
    """Greedy steps within one segment [m], for each of b tokens chosen before it.

    `given` [b, m] is the similarity to those tokens. Returns the picks [b, min(m, size)] and what
    each adds to log det L.
    """
    batch, m = given.shape
    steps = min(m, size)
    # Given a token x with S(x, x) = 1, Cholesky's first row is S(x, .).
    residual = _Residual(np.tile(np.diag(similarity), (batch, 1)) - given**2, steps + 1, given)
    worth = np.tile(quality, (batch, 1))
    picks = np.empty((batch, steps), np.int64)
    gains = np.empty((batch, steps))
    rows = np.arange(batch)
    for step in range(steps):
        total = worth + np.log(residual.left)
        picks[:, step] = total.argmax(1)
        gains[:, step] = total[rows, picks[:, step]]
        worth[rows, picks[:, step]] = -np.inf
        residual.add(picks[:, step], similarity[picks[:, step]])
    return picks, gains


class _Residual:
    """How much of each of n tokens the chosen ones do not span: squared diagonal of Cholesky's
    factor, updated pick by pick, for b choices at once."""

    def __init__(self, left: Float64, steps: int, first: Float64 | None = None) -> None:
        self.left = np.maximum(left, _NOTHING)
        """[b, n]"""
        self._rows = np.empty((*left.shape[:1], steps, *left.shape[1:]))
        self._count = 0
        if first is not None:
            self._rows[:, 0] = first
            self._count = 1

    def add(self, picks: Int64, columns: Float32 | Float64) -> None:
        """One more token [b] for each choice, given its similarity [b, n] to all."""
        every = np.arange(len(picks))
        known = self._rows[:, : self._count]
        row = columns - np.einsum("bsn,bs->bn", known, known[every, :, picks])
        pivot = self.left[every, picks]
        # One that brings nothing new would only blow up rounding errors.
        row *= np.where(pivot > _NOTHING, 1 / np.sqrt(pivot), 0)[:, None]
        self._rows[:, self._count] = row
        self._count += 1
        self.left = np.maximum(self.left - row**2, _NOTHING)


def _squares(a: Float64, b: Float64) -> Float64:
    """Squared distances of every row of `a` to every row of `b`."""
    squares: Float64 = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return squares
