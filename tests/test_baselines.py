"""Baselines against slow, obvious forms of what their papers say."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seal import backends
from seal.attention.baselines import (
    adaptive_greedy,
    aks,
    inverse_transform,
    mmr,
    moviechat,
    top_k,
    uniform,
)
from seal.attention.candidates import Candidates
from seal.attention.determinantal import dpp, mdp3

BASELINES = backends.names("baseline")


def made(seed: int, n: int, d: int = 6, *, duplicates: bool = False) -> Candidates:
    """n candidates at distinct times, with negative relevance and cosines."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)).astype(np.float32)
    if duplicates:
        embeddings[n // 2 :] = embeddings[: n - n // 2]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    relevance = rng.uniform(-0.5, 0.5, n).astype(np.float32)
    return Candidates(relevance, embeddings, np.sort(rng.uniform(0, 100, n)))


def at(relevance: list[float]) -> Candidates:
    """Candidates of this relevance, one a second."""
    n = len(relevance)
    return Candidates(
        np.array(relevance, np.float32), np.eye(max(n, 1), dtype=np.float32)[:n], np.arange(n) + 0.5
    )


def shuffled(candidates: Candidates, order: np.ndarray) -> Candidates:
    return Candidates(
        candidates.relevance[order], candidates.embeddings[order], candidates.times_s[order]
    )


@pytest.mark.parametrize("name", BASELINES)
@given(st.integers(0, 10**6), st.integers(0, 70), st.integers(0, 80), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_as_many_different_rows_as_asked_for(
    name: str, seed: int, n: int, size: int, duplicates: bool, flat: bool
) -> None:
    candidates = made(seed, n, duplicates=duplicates)
    if flat:
        candidates = Candidates(
            np.zeros(n, np.float32), np.zeros_like(candidates.embeddings), np.zeros(n)
        )
    rows = backends.resolve("baseline", name)(candidates, size)
    assert rows.dtype == np.int64
    assert len(rows) == min(size, n)
    assert len(set(rows.tolist())) == len(rows)
    assert not len(rows) or (rows.min() >= 0 and rows.max() < n)


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "random"])
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
@example(1797, 19, 10)
def test_the_order_of_the_candidates_does_not_matter(
    name: str, seed: int, n: int, size: int
) -> None:
    choose = backends.resolve("baseline", name)
    candidates = made(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    assert set(order[choose(shuffled(candidates, order), size)]) == set(choose(candidates, size))


def test_random_is_seeded_and_even() -> None:
    choose = backends.resolve("baseline", "random")
    candidates = made(0, 20)
    assert (choose(candidates, 5, seed=1) == choose(candidates, 5, seed=1)).all()
    assert (choose(candidates, 5) != choose(made(1, 20), 5)).any()
    counts = np.zeros(20)
    for seed in range(2000):
        counts[choose(candidates, 5, seed=seed)] += 1
    assert np.abs(counts / 2000 - 0.25).max() < 0.05


def test_uniform_is_uniform_in_time_not_in_rows() -> None:
    crowded = Candidates(
        np.zeros(13, np.float32),
        np.eye(13, dtype=np.float32),
        np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 2.5, 5, 7.5, 10.0]),
    )
    # The middles of four equal parts are 1.25, 3.75, 6.25 and 8.75 s.
    assert uniform(crowded, 4).tolist() == [8, 9, 10, 11]


def test_top_k_takes_the_first_of_equals() -> None:
    assert top_k(at([0.1, 0.5, 0.5, 0.9, 0.5]), 3).tolist() == [3, 1, 2]


@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([0.3, 0.7, 1.0]))
def test_mmr_is_its_formula_step_by_step(seed: int, n: int, trade_off: float) -> None:
    candidates = made(seed, n)
    r, e = candidates.relevance.astype(float), candidates.embeddings.astype(float)
    chosen: list[int] = []
    for _ in range(n):
        left = [i for i in range(n) if i not in chosen]
        worth = {
            i: trade_off * r[i] - (1 - trade_off) * max([e[i] @ e[j] for j in chosen] or [0.0])
            for i in left
        }
        chosen.append(max(left, key=worth.__getitem__))
    assert mmr(candidates, n, trade_off=trade_off).tolist() == chosen


@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from([0.1, 0.5, 0.9]))
def test_dpp_takes_the_largest_determinant_at_every_step(
    seed: int, n: int, trade_off: float
) -> None:
    candidates = made(seed, n, d=12)
    e = candidates.embeddings.astype(float)
    quality = np.exp(trade_off / (2 * (1 - trade_off)) * candidates.relevance.astype(float))
    kernel = quality[:, None] * ((1 + e @ e.T) / 2) * quality
    chosen: list[int] = []
    for _ in range(n):
        left = [i for i in range(n) if i not in chosen]
        volumes = [np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])]) for i in left]
        chosen.append(left[int(np.argmax(volumes))])
    assert dpp(candidates, n, trade_off=trade_off).tolist() == chosen


def test_dpp_takes_duplicates_last() -> None:
    candidates = made(3, 10, d=12, duplicates=True)
    rows = dpp(candidates, 10, trade_off=0.2)
    assert sorted(row % 5 for row in rows[:5].tolist()) == [0, 1, 2, 3, 4]


def log_volume(candidates: Candidates, trade_off: float) -> tuple[np.ndarray, np.ndarray]:
    """MDP3's similarity [n, n] and log quality [n], term by term."""
    widths = [2.0**i for i in range(-3, 2)]

    def bells(square: float) -> float:
        return float(np.mean([np.exp(-square / (2 * w)) for w in widths]))

    e = candidates.embeddings.astype(float)
    similarity = np.array([[bells(((a - b) ** 2).sum()) for b in e] for a in e])
    quality = [2 / trade_off * np.log(bells(2 - 2 * r)) for r in candidates.relevance.astype(float)]
    return similarity, np.array(quality)


def slow_mdp3(candidates: Candidates, size: int, trade_off: float, segment: int) -> list[int]:
    """The dynamic programme over segments, with every determinant computed afresh."""
    similarity, quality = log_volume(candidates, trade_off)

    def volume(rows: list[int]) -> float:
        return float(np.linalg.slogdet(similarity[np.ix_(rows, rows)]).logabsdet) if rows else 0.0

    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    n = len(candidates)
    for start in range(0, n, segment):
        members = list(range(start, min(start + segment, n)))
        new = dict(best)
        for count, (value, trace) in best.items():
            before, added = trace[-1:], []
            while len(added) < len(members) and count + len(added) < size:
                left = [i for i in members if i not in added]
                gain = {i: quality[i] + volume([*before, *added, i]) for i in left}
                added.append(max(left, key=gain.__getitem__))
                total = value + volume([*before, *added]) - volume(before)
                total += quality[added].sum()
                state = count + len(added)
                if state not in new or total > new[state][0]:
                    new[state] = (total, trace + sorted(added))
        best = new
    return best[size][1]


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 6), st.sampled_from([1, 3, 4, 50]))
@settings(max_examples=60, deadline=None)
def test_mdp3_is_the_dynamic_programme_of_its_paper(
    seed: int, n: int, size: int, segment: int
) -> None:
    candidates = made(seed, n, d=12)
    size = min(size, n)
    for trade_off in (0.2, 5.0):
        got = mdp3(candidates, size, trade_off=trade_off, segment=segment)
        assert got.tolist() == slow_mdp3(candidates, size, trade_off, segment)


def test_mdp3_with_segments_of_one_token_allots_as_well_as_trying_all() -> None:
    """Segments of one token leave nothing to greed, and far tokens nothing to condition on."""
    candidates = at([0.1, 0.4, 0.2, 0.5, 0.3, 0.45])
    similarity, quality = log_volume(candidates, 0.2)
    values = {
        rows: quality[list(rows)].sum()
        + np.linalg.slogdet(similarity[np.ix_(rows, rows)]).logabsdet
        for rows in combinations(range(6), 3)
    }
    assert tuple(mdp3(candidates, 3, segment=1)) == max(values, key=values.__getitem__) == (1, 3, 5)


def test_aks_cuts_where_nothing_stands_out() -> None:
    # The best four (0.375) are less than 0.25 above the mean (0.2125): cut. So are the best two of
    # the first half (0.15 and 0.125): cut, and each quarter gives one, the first quarter the first
    # of equals. In the second half the best two (0.6) are 0.3 above the mean: chosen.
    candidates = at([0.1, 0.1, 0.2, 0.1, 0.0, 0.0, 0.2, 1.0])
    assert aks(candidates, 4, threshold=0.25).tolist() == [0, 2, 7, 6]
    # Of these the best two are exactly 0.25 above the mean, which is not more: cut.
    assert aks(at([1.0, 0.0, 0.0, 0.0]), 2, threshold=0.25).tolist() == [0, 2]
    assert aks(at([1.0, 0.0, 0.0, 0.0]), 2, threshold=0.24).tolist() == [0, 1]
    # The threshold is a share of the range of relevance.
    assert aks(at([0.5, 0.0, 0.0, 0.0]), 2, threshold=0.24).tolist() == [0, 1]
    # Whatever the threshold, no cut means the most relevant of all.
    assert aks(candidates, 4, max_depth=0).tolist() == [7, 2, 6, 0]
    assert aks(candidates, 4, threshold=-1).tolist() == [7, 2, 6, 0]


def test_aks_with_deep_cuts_spreads_the_choice_evenly() -> None:
    rng = np.random.default_rng(0)
    candidates = at(rng.uniform(0, 1, 64).tolist())
    rows = aks(candidates, 8, threshold=2.0)
    assert (rows // 8).tolist() == list(range(8))
    assert rows.tolist() == [
        8 * i + int(np.argmax(candidates.relevance[8 * i : 8 * i + 8])) for i in range(8)
    ]


def test_inverse_transform_takes_the_quantiles_of_relevance() -> None:
    # Density 0, 1, 0, 2, 1 of a total of 4: quantiles 1/4, 3/4 at masses 1 and 3.
    candidates = at([0, 0.5, 0, 1, 0.5])
    assert inverse_transform(candidates, 2, power=1).tolist() == [1, 3]
    # The third power all but leaves the peak alone: 0.125, 1, 0.125, cut at 1/6, 3/6, 5/6 of 1.25.
    # All three hit it; of the two left, one takes each quantile.
    assert inverse_transform(candidates, 3, power=3).tolist() == [3, 1, 4]
    # Then come those of no relevance, as if they were equals.
    assert inverse_transform(candidates, 4).tolist() == [3, 1, 4, 0]


@given(
    st.integers(0, 10**6),
    st.integers(1, 14),
    st.sampled_from([(1.0, 0.5), (0.5, 1.0), (0.0, 1.0), (1.0, 0.0)]),
    st.sampled_from([4, 1000]),
)
@settings(deadline=None)
def test_adaptive_greedy_takes_the_largest_rise_of_its_objective(
    seed: int, n: int, weights: tuple[float, float], covered: int
) -> None:
    candidates = made(seed, n)
    r, e = candidates.relevance.astype(float), candidates.embeddings.astype(float)
    r = (r - r.min()) / (np.ptp(r) or 1)
    every = n <= covered
    seen = list(range(n)) if every else [int((i + 0.5) * n / covered) for i in range(covered)]

    def value(rows: list[int]) -> float:
        near = [max(0.0, *(e[i] @ e[j] for j in rows)) for i in seen]
        return weights[0] * r[rows].sum() + weights[1] * float(np.mean(near))

    got = adaptive_greedy(
        candidates, n, relevance_weight=weights[0], coverage_weight=weights[1], covered=covered
    ).tolist()
    chosen: list[int] = []
    for row in got:
        left = [i for i in range(n) if i not in chosen]
        # Of equals any: single precision tells them apart by chance.
        best = max(value([*chosen, i]) for i in left)
        assert value([*chosen, row]) == pytest.approx(best, abs=1e-5)
        chosen.append(row)


def test_moviechat_keeps_one_token_of_each_scene() -> None:
    scenes = np.repeat(np.eye(3, dtype=np.float32), [4, 1, 7], axis=0)
    noisy = scenes + np.random.default_rng(0).normal(0, 0.05, scenes.shape).astype(np.float32)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    rows = moviechat(Candidates(np.zeros(12, np.float32), noisy, np.arange(12.0)), 3)
    assert [np.searchsorted([4, 5, 12], row, side="right") for row in rows] == [0, 1, 2]
    for start, end, row in zip((0, 4, 5), (4, 5, 12), rows, strict=True):
        mean = noisy[start:end].mean(0)
        assert row == start + np.argmax(noisy[start:end] @ mean)


def slow_moviechat(
    candidates: Candidates, size: int, window: int, merged: int
) -> tuple[list[list[int]], list[int]]:
    """The memories that are left, as the frames in each, and the frames that represent them.

    Step by step as the paper describes it: every mean is computed afresh from all of its frames.
    """
    e = candidates.embeddings.astype(float)
    n = len(e)

    def cosine(a: list[int], b: list[int]) -> float:
        x, y = e[a].mean(0), e[b].mean(0)
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    def consolidate(memories: list[list[int]], most: int) -> list[list[int]]:
        memories = list(memories)
        while len(memories) > most:
            pairs = [cosine(a, b) for a, b in pairwise(memories)]
            # What is in the short-term memory comes into the long-term memory again and again.
            i = next(i for i, value in enumerate(pairs) if value >= max(pairs) - 1e-6)
            memories[i : i + 2] = [memories[i] + memories[i + 1]]
        return memories

    if size >= n:
        return [[i] for i in range(n)], list(range(n))
    parts = [list(range(i, min(i + window, n))) for i in range(0, n, window)]
    while sum(min(merged, window, n) for _ in parts) < size:
        merged += 1
    short: list[list[int]] = []
    long: list[list[int]] = []
    for part in parts:
        short = short + [[frame] for frame in part]
        assert len(short) <= window + merged, "as much as the short-term memory holds"
        short = consolidate(short, merged)
        long = consolidate(long + short, size)
    rows: list[int] = []
    for frames in long:
        own = [i for i in sorted(set(frames)) if i not in rows]
        among = own or [i for i in range(n) if i not in rows]
        # Of two frames both are equally near to their mean, but for rounding.
        mean = e[frames].mean(0)
        near = [float(e[i] @ mean) for i in among]
        least = max(near) - 1e-6 * np.linalg.norm(mean)
        rows.append(next(i for i, value in zip(among, near, strict=True) if value >= least))
    return long, rows


@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 24),
    st.sampled_from([(16, 2), (4, 2), (5, 1), (3, 3)]),
)
@settings(deadline=None)
@example(920801, 25, 15, (4, 2))
def test_moviechat_is_the_memory_of_its_paper_step_by_step(
    seed: int, n: int, size: int, sizes: tuple[int, int]
) -> None:
    candidates = made(seed, n)
    window, merged = sizes
    memories, want = slow_moviechat(candidates, size, window, merged)
    assert len(memories) == min(size, n)
    got = moviechat(candidates, size, window=window, merged=merged)
    assert got.tolist() == want


def test_moviechat_starts_a_window_with_what_it_remembers_of_the_last() -> None:
    # The first window shows two scenes, the second the latter of them alone.
    scenes = np.repeat(np.eye(2, dtype=np.float32), [8, 24], axis=0)
    video = Candidates(np.zeros(32, np.float32), scenes, np.arange(32.0))
    # After each window the two scenes are remembered, the former from the first window.
    assert moviechat(video, 4).tolist() == [0, 8, 1, 9]
    # The capacity of the long-term memory is what it is asked for, however long the video is.
    assert len(moviechat(video, 3)) == 3
    # Of two windows the paper keeps four frames; twelve need six of each.
    rng = np.random.default_rng(0)
    noisy = scenes + rng.normal(0, 0.1, scenes.shape).astype(np.float32)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    assert len(moviechat(replace(video, embeddings=noisy), 12)) == 12
