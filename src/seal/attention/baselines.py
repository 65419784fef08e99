"""Published ways to choose tokens, to compare with: each a function of candidates and a size.

All of them answer with `min(size, n)` different rows, and each token costs 1. Some published
methods may choose fewer rows, or one row twice; the docstring of such a method says how the rest is
filled. Methods that rest on determinants are in `seal.attention.determinantal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from seal.attention.candidates import Candidates
from seal.types import Float32, Float64, Int64, Mask


def uniform(candidates: Candidates, size: int) -> Int64:
    """The tokens nearest to the middles of `size` equal parts of the time they span."""
    size = min(size, len(candidates))
    rows = np.empty(size, np.int64)
    if not size:
        return rows
    order = np.argsort(candidates.times_s, kind="stable")
    times_s = candidates.times_s[order]
    start_s, end_s = times_s[0], times_s[-1]
    taken = np.zeros(len(candidates))
    for i in range(size):
        middle_s = start_s + (end_s - start_s) * (i + 0.5) / size
        rows[i] = np.argmin(np.abs(times_s - middle_s) + taken)
        taken[rows[i]] = np.inf
    return order[rows]


def random(candidates: Candidates, size: int, *, seed: int = 0) -> Int64:
    """Any tokens, all of them equally likely.

    The draw depends on what was asked too: one draw for all questions would be lucky or not as a
    whole, which no interval over questions would show.
    """
    asked = crc32(candidates.relevance.tobytes())
    return np.random.default_rng([seed, asked, size]).permutation(len(candidates))[:size]


def top_k(candidates: Candidates, size: int) -> Int64:
    """The most relevant tokens, the first of equals first."""
    return np.argsort(-candidates.relevance, kind="stable")[:size]


def mmr(candidates: Candidates, size: int, *, trade_off: float = 0.7) -> Int64:
    """Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): next is the token with

        argmax  trade_off * R(i) - (1 - trade_off) * max over the chosen j of S(i, j)

    The paper advises 0.3 to sample what is around the query and 0.7 to focus on it.
    """
    size = min(size, len(candidates))
    rows = np.empty(size, np.int64)
    worth = trade_off * candidates.relevance.astype(np.float64)
    # Nothing is chosen at first, and of an empty set there is no maximum to subtract.
    nearest = np.zeros(len(candidates))
    for i in range(size):
        rows[i] = np.argmax(worth - (1 - trade_off) * nearest)
        worth[rows[i]] = -np.inf
        similarity = candidates.embeddings @ candidates.embeddings[rows[i]]
        nearest = similarity if i == 0 else np.maximum(nearest, similarity)
    return rows


def aks(candidates: Candidates, size: int, *, threshold: float = 0.8, max_depth: int = 5) -> Int64:
    """Adaptive keyframe sampling (Tang et al., CVPR 2025, section 3.3).

    Relevance is scaled to [0, 1]. If the best `size` tokens of a stretch of video are on average
    more than `threshold` above the mean of all its tokens, they are chosen. Otherwise the stretch
    is cut in two halves with half of the tokens to choose each, down to `max_depth` cuts. Defaults
    are those of the authors' script. Their halves round down, so that it chooses fewer where
    `size` is no power of two. Here the later half gets the odd one, and a stretch with only one to
    choose is not cut.
    """
    order = np.argsort(candidates.times_s, kind="stable")
    score = _unit_range(candidates.relevance)[order]

    def judge(start: int, end: int, budget: int, depth: int) -> Int64:
        part = score[start:end]
        best = np.argsort(-part, kind="stable")[:budget]
        stands_out = budget > 0 and part[best].mean() - part.mean() > threshold
        if budget <= 1 or stands_out or depth == max_depth:
            return start + best
        middle = start + (end - start) // 2
        first = judge(start, middle, budget // 2, depth + 1)
        return np.concatenate([first, judge(middle, end, budget - budget // 2, depth + 1)])

    return order[judge(0, len(score), min(size, len(score)), 0)]


def inverse_transform(candidates: Candidates, size: int, *, power: float = 3.0) -> Int64:
    """Inverse transform sampling (BOLT: Liu et al., CVPR 2025, section 3.3).

    Relevance, scaled to [0, 1] and raised to `power` (the authors' value), is taken as a density
    over time; the tokens at `size` evenly spaced quantiles of it are chosen. The paper lets a token
    be hit by several quantiles; here it counts once, and the rest are drawn in the same way from
    the tokens that are left.
    """
    order = np.argsort(candidates.times_s, kind="stable")
    density = _unit_range(candidates.relevance)[order] ** power
    free = np.ones(len(order), bool)
    chosen: list[Int64] = []
    missing = min(size, len(order))
    while missing:
        left = np.flatnonzero(free)
        mass = np.cumsum(density[left])
        if mass[-1] <= 0:
            # Nothing of any relevance is left: all that is left is equally likely.
            mass = np.arange(1.0, len(left) + 1)
        quantiles = (np.arange(missing) + 0.5) / missing
        hit = left[np.unique(np.searchsorted(mass, quantiles * mass[-1]))]
        free[hit] = False
        chosen.append(hit)
        missing -= len(hit)
    rows: Int64 = order[np.concatenate(chosen)] if chosen else order[:0]
    return rows


def adaptive_greedy(
    candidates: Candidates,
    size: int,
    *,
    relevance_weight: float = 0.5,
    coverage_weight: float = 1.0,
    covered: int = 1000,
) -> Int64:
    """Adaptive greedy frame selection (Huang and Zhu 2026, arXiv 2603.20180): greedy search on

        relevance_weight * sum over the chosen j of r_j
        + coverage_weight * mean over all i of max over the chosen j of S(i, j)

    with r the relevance scaled to [0, 1] and S clipped at 0, which makes it monotone and
    submodular. The paper has four presets of the weights, 1 or 0.5 or 0 each, and a classifier of
    question types that picks one. The classifier was trained on MLVU's types, so that here one
    preset serves all questions: the coverage-oriented one, which serves best (LOG, "Selection").
    Written from the abstract and a summary, which leave the scales of the two terms open. The paper
    has at most `covered` frames to choose from; here those, at even steps in time, are what is to
    be covered, and every token can be chosen.

    Gains that have not been looked at since can only have shrunk (Minoux 1978).
    """
    n = len(candidates)
    size = min(size, n)
    order = np.argsort(candidates.times_s, kind="stable")
    steps = ((np.arange(min(covered, n)) + 0.5) * (n / max(min(covered, n), 1))).astype(np.int64)
    kernel = np.maximum(candidates.embeddings @ candidates.embeddings[order[steps]].T, 0)
    worth = relevance_weight * _unit_range(candidates.relevance)
    gains = worth + coverage_weight * (kernel.mean(1) if n else 0)
    level = np.zeros(len(steps), np.float32)
    rows = np.empty(size, np.int64)
    for i in range(size):
        row = -1
        while row != (best := int(np.argmax(gains))):
            row = best
            gains[row] = worth[row] + coverage_weight * np.maximum(kernel[row] - level, 0).mean()
        rows[i] = row
        gains[row] = -np.inf
        np.maximum(level, kernel[row], out=level)
    return rows


_ROUNDING = 1e-6
"""Cosines of float32 embeddings that differ by less are equal."""


@dataclass(frozen=True, eq=False)
class _Memory:
    """Frames that were merged into one: their mean is `total` over their number."""

    total: Float64
    """[d] the sum of the frames' embeddings, each as often as it was merged."""
    frames: Mask
    """[n] which frames were merged."""


def moviechat(candidates: Candidates, size: int, *, window: int = 16, merged: int = 2) -> Int64:
    """The memory of MovieChat (Song et al., CVPR 2024, section 3.3), query-free.

    A window slides over the frames and fills a short-term memory of `window` + `merged` frames (18
    in the paper). The full memory is consolidated: the two neighbours that are most alike (cosine)
    merge into their weighted mean, until `merged` are left. These are appended to the long-term
    memory, and the short-term memory starts again with them. `size` is the capacity of the
    long-term memory, which is consolidated in the same way where it is exceeded.

    Defaults are the paper's. Where they leave fewer than `size` memories, because the video is
    short, each consolidation keeps as many more as `size` needs. Frames are chosen, and not means.
    Each memory is represented by its frame nearest to its mean that represents no other one, or by
    such a frame of another memory if it has none left.
    """
    n = len(candidates)
    order = np.argsort(candidates.times_s, kind="stable")
    if size >= n:
        return order
    if not size:
        return order[:0]
    embeddings = candidates.embeddings[order].astype(np.float64)
    windows = -(-n // window)
    merged = max(merged, -(-size // windows))
    short: list[_Memory] = []
    long: list[_Memory] = []
    for start in range(0, n, window):
        frames = range(start, min(start + window, n))
        short += [_Memory(embeddings[frame], np.arange(n) == frame) for frame in frames]
        short = _consolidated(short, merged)
        long = _consolidated([*long, *short], size)
    return order[_represented(long, embeddings)]


def _consolidated(memories: Sequence[_Memory], size: int) -> list[_Memory]:
    """At most `size` memories: the most similar neighbours merge first, the first of equals."""
    left = list(memories)
    if len(left) <= size:
        return left
    totals = np.array([memory.total for memory in left])
    # A merge adds two rows and two columns of it, so that no cosine is computed twice.
    gram = totals @ totals.T
    while len(left) > size:
        norms = np.sqrt(gram.diagonal())
        products = norms[:-1] * norms[1:]
        cosines = np.divide(gram.diagonal(1), products, np.zeros(len(products)), where=products > 0)
        first = int(np.argmax(cosines >= cosines.max() - _ROUNDING))
        one, other = left[first : first + 2]
        left[first : first + 2] = [_Memory(one.total + other.total, one.frames | other.frames)]
        gram[first] += gram[first + 1]
        gram[:, first] += gram[:, first + 1]
        gram = np.delete(np.delete(gram, first + 1, 0), first + 1, 1)
    return left


def _represented(memories: Sequence[_Memory], embeddings: Float64) -> Int64:
    """A frame for each memory, all of them different."""
    free = np.ones(len(embeddings), bool)
    rows = []
    for memory in memories:
        own = np.flatnonzero(memory.frames & free)
        among = own if len(own) else np.flatnonzero(free)
        near = embeddings[among] @ memory.total
        # Of two frames both are equally near to their mean: the first one counts.
        rows.append(
            int(
                among[
                    np.argmax(near >= near.max() - _ROUNDING * float(np.linalg.norm(memory.total)))
                ]
            )
        )
        free[rows[-1]] = False
    return np.array(rows, np.int64)


def _unit_range(relevance: Float32) -> Float64:
    """Scaled to [0, 1]; all 0 where there is no difference."""
    if not len(relevance):
        return relevance.astype(np.float64)
    lowest = relevance.min()
    spread = float(relevance.max() - lowest)
    scaled: Float64 = (relevance - lowest).astype(np.float64) / (spread if spread > 0 else 1.0)
    return scaled
