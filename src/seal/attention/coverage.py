"""Query-weighted facility location: a choice represents what is asked and all of the video.

    F(T) = a / k * sum_{t in T} R(t, q) + (1 - a) * sum_i w_i max_{t in T} K(i, t)
    w_i = f * r_i / sum_j r_j + (1 - f) / n,    r_i = max(R(i, q), 0)^c
    K(i, t) = max(S(i, t), 0)^p * (1 - b + b * exp(-|time_i - time_t| / h))

with a = chosen_weight, f = query_weight, p = similarity_exponent, b = time_weight and h =
time_bandwidth_s. Every token i, chosen or not, is represented by the chosen token most like it (K).
A token has weight w for its relevance to the query and for being there. The relevant tokens have a
fixed share f of all weight, however much or little of the video they are, as in the summaries that
people make (LOG, "Selection"). The exponent c is at least relevance_exponent. It grows until the
share f goes to at most effective_size * k tokens, counted as (sum r)^2 / sum r^2 (effective sample
size: Kish 1965). The reason is that k tokens cannot represent everything in hours of video that has
to do with a query. With time_weight above 0 a token of the same time represents better than a token
of another time.

F is monotone (but for negative R) and submodular, so that greedy is within 1 - 1/e of the best
(Nemhauser, Wolsey and Fisher 1978). Facility location as summary: Lin and Bilmes (2011); weighted
by a query: Iyer and Bilmes (2019).
"""

from __future__ import annotations

import time

import numpy as np

from seal.attention.candidates import Budget, Candidates
from seal.attention.objective import Objective, tolerance
from seal.config import AttentionOptions
from seal.types import Float32, Float64, Int64

_CELLS = 2**23
"""K is computed for at most so many pairs; beyond, a sample of tokens stands for all: 32 MB."""
_EACH = 5 * 2**16
"""And for so many for each token to choose: with fewer to choose, one has more to stand for."""
_SAMPLE = 1024
"""As many tokens at least are in the sample."""
_STEEPER = 1.15 ** np.arange(30)
"""Factors by which the relevance exponent grows: to 58 times as much at most."""
_BLOCK = 256
"""Rows of K that are looked at at once: few enough to stay in the cache."""
_ROUNDS = 25
_STEPS = 20
"""So many subgradient steps make a round of the bound. They look at _POOL tokens."""
_POOL = 1024
_PATIENCE = 10
"""The steps become shorter after so many that did not help: at once, and they end too soon."""


class Coverage(Objective):
    """Facility location over all tokens, or over a sample of them by weight."""

    submodular = True
    pairwise = True

    def __init__(self, candidates: Candidates, size: int, options: AttentionOptions) -> None:
        super().__init__(candidates, size, options)
        self._own: Float64 = (
            options.chosen_weight / max(size, 1) * candidates.relevance.astype(np.float64)
        )
        past = candidates.past
        parts = [candidates] if past is None else [candidates, past]
        relevance = np.concatenate([part.relevance for part in parts]).astype(np.float64)
        embeddings = np.concatenate([part.embeddings for part in parts])
        times_s = np.concatenate([part.times_s for part in parts])
        multiplicity = np.concatenate([part.multiplicities for part in parts])
        about = self._about(relevance, multiplicity)
        multiplicity /= max(float(multiplicity.sum()), 1)
        query_weight = options.query_weight if about.any() else 0.0
        weights = query_weight * about + (1 - query_weight) * self._presence(
            multiplicity, embeddings, times_s
        )
        weights *= 1 - options.chosen_weight
        room = max(_SAMPLE, min(_CELLS, _EACH * size) // max(len(candidates), 1))
        rows, weights = _sample(weights, times_s, room)
        self._weights = weights.astype(np.float32)
        self._kernel = self._similarities(embeddings[rows], times_s[rows])
        self._inside: list[int] = []
        self._is_inside = np.zeros(len(candidates), bool)
        self._covered = np.zeros(len(self._weights), np.float32)

    def _about(self, relevance: Float64, multiplicity: Float64) -> Float64:
        """[m] what tokens matter for what they have to do with the query: in sum 1, or all 0."""
        positive = np.maximum(relevance, 0)
        # Powers of what is at most 1 cannot overflow.
        positive /= max(positive.max(initial=0), 1e-9)
        for power in self.options.relevance_exponent * _STEEPER:
            share: Float64 = positive**power
            total = float(multiplicity @ share)
            if total**2 <= self.options.effective_size * self.size * float(multiplicity @ share**2):
                break
        return multiplicity * share / (total or 1)

    def _presence(self, multiplicity: Float64, embeddings: Float32, times_s: Float64) -> Float64:
        """[m] the weight of each token for being there, whatever is asked; the sum is 1."""
        return multiplicity

    def _similarities(self, embeddings: Float32, times_s: Float64) -> Float32:
        """K of every candidate to every token that is to be represented: [n, m]."""
        o = self.options
        kernel: Float32 = self.candidates.embeddings @ embeddings.T
        begin_s = times_s.min(initial=np.inf)
        mine, theirs = (
            ((t - begin_s) / o.time_bandwidth_s).astype(np.float32)
            for t in (self.candidates.times_s, times_s)
        )
        for start in range(0, len(kernel), _BLOCK):
            rows = slice(start, start + _BLOCK)
            near = o.time_weight * np.exp(-np.abs(mine[rows, None] - theirs))
            kernel[rows] = np.maximum(kernel[rows], 0) ** o.similarity_exponent * (
                1 - o.time_weight + near
            )
        return kernel

    def gains(self, rows: Int64 | None = None) -> Float64:
        kernel, own = self._kernel, self._own
        if rows is not None:
            kernel, own = kernel[rows], own[rows]
        # Of nothing covered yet all of K is above, and one product is enough.
        above = self._above(kernel, self._covered) if self._inside else kernel @ self._weights
        gains = own + above
        gains[self._is_inside if rows is None else self._is_inside[rows]] = -np.inf
        return gains

    def _above(self, kernel: Float32, level: Float32) -> Float64:
        """[n] what each token of `kernel` [n, m] covers above `level` [m]."""
        above = [
            np.maximum(kernel[start : start + _BLOCK] - level, 0) @ self._weights
            for start in range(0, len(kernel), _BLOCK)
        ]
        return np.concatenate(above).astype(np.float64) if above else np.zeros(0)

    def add(self, row: int) -> None:
        self._inside.append(row)
        self._is_inside[row] = True
        np.maximum(self._covered, self._kernel[row], out=self._covered)

    def remove(self, row: int) -> None:
        self._inside.remove(row)
        self._is_inside[row] = False
        self._covered = self._cover(self._inside)

    def exchanges(self, out: Int64, rows: Int64) -> Float64:
        """In O(m) for each of `rows`, after FastPAM (Schubert and Rousseeuw 2019)."""
        chosen = self._kernel[self._inside]
        first = chosen.argmax(0)
        chosen[first, np.arange(len(first))] = 0
        second = chosen.max(0)
        place = {row: i for i, row in enumerate(self._inside)}
        places = np.array([place[row] for row in out.tolist()])
        change = np.empty((len(out), len(rows)))
        for j, row in enumerate(rows.tolist()):
            covered = np.maximum(self._kernel[row], self._covered)
            # A token that the leaving one stood for is now covered by the next best, or by the new
            # one.
            loss = self._weights * (covered - np.maximum(self._kernel[row], second))
            rise = float((covered - self._covered) @ self._weights)
            change[:, j] = rise - np.bincount(first, loss, len(chosen))[places]
        return change + self._own[rows] - self._own[out, None]

    def _cover(self, rows: Int64 | list[int]) -> Float32:
        covered: Float32 = np.max(self._kernel[rows], axis=0, initial=0)
        return covered

    def value(self, rows: Int64) -> float:
        return float(self._own[rows].sum() + self._cover(rows).astype(np.float64) @ self._weights)

    def upper_bound(self, rows: Int64, budget: Budget, seconds: float) -> float:
        """The Lagrangian relaxation of facility location (Cornuejols, Fisher and Nemhauser 1977).

        For any levels u, F(T) <= sum_i w_i u_i + sum_{t in T} (own gain + what t covers above u).
        At u = what `rows` cover this is the online bound of submodular functions (Leskovec et al.
        2007); subgradient steps on u tighten it while `seconds` last. They look at the tokens that
        were worth most at the last u that all tokens were looked at for.
        """
        return self._relaxed(self._own, rows, budget, seconds)

    def _relaxed(self, own: Float64, rows: Int64, budget: Budget, seconds: float) -> float:
        """The bound with any `own` worth [n] of the tokens beside what they cover."""
        deadline = time.monotonic() + seconds
        level = self._cover(rows)
        known = float(own[rows].sum() + level.astype(np.float64) @ self._weights)
        best, length = np.inf, 1.0
        for _ in range(_ROUNDS):
            worth = own + self._above(self._kernel, level)
            best = min(best, float(level.astype(np.float64) @ self._weights) + budget.most(worth))
            if best - known < tolerance(best) or time.monotonic() > deadline:
                break
            free = budget.free
            if len(free) > _POOL:
                free = free[np.argpartition(worth[free], -_POOL)[-_POOL:]]
            pool = np.concatenate([budget.include, free])
            room = budget.take(pool)
            level, length = self._tighten(own[pool], level, length, pool, room, known)
        return best + tolerance(best)

    def _tighten(
        self,
        own: Float64,
        level: Float32,
        length: float,
        pool: Int64,
        budget: Budget,
        known: float,
    ) -> tuple[Float32, float]:
        """The best levels u for tokens `pool` after some steps of Polyak's length (1969), and the
        share of it that the next ones should have."""
        kernel = self._kernel[pool]
        best, lowest, failed = level, np.inf, 0
        for _ in range(_STEPS):
            worth = own + self._above(kernel, level)
            taken = budget.vertex(worth)
            bound = float(level.astype(np.float64) @ self._weights + taken @ worth)
            if bound < lowest:
                best, lowest, failed = level, bound, 0
            else:
                failed += 1
            if failed == _PATIENCE:
                length, failed = 0.7 * length, 0
            # Each token is covered once, by one of the chosen: more of them above u raise it.
            some = np.flatnonzero(taken)
            slope = self._weights * (1 - taken[some] @ (kernel[some] > level))
            size = float(slope @ slope)
            if size == 0 or bound - known < tolerance(bound):
                break
            # In double precision: where weights are next to nothing, steps are enormous.
            step = length * (bound - known) / size * slope.astype(np.float64)
            level = np.clip(level - step, 0, 1).astype(np.float32)
        return best, length


def _sample(weights: Float64, times_s: Float64, room: int) -> tuple[Int64, Float64]:
    """At most `room` rows of any weight, and what weight they stand for, in sum that of all.

    Tokens at even steps of weight along the times, which stand for a step each (systematic
    sampling: Madow 1949). Those that weigh more than a step are all there, and for themselves.
    """
    order = np.argsort(times_s, kind="stable")
    order = order[weights[order] > 0]
    if len(order) <= room:
        return order, weights[order]
    weights = weights[order]
    # What all but the 0, 1, 2, ... heaviest weigh: the steps are theirs.
    lighter = np.cumsum(np.sort(weights))[::-1][:room]
    step = (lighter / np.arange(room, 0, -1)).min()
    along = np.cumsum(np.minimum(weights, step))
    rows = np.searchsorted(along, (np.arange(room) + 0.5) * step)
    return order[rows], np.maximum(weights[rows], step)
