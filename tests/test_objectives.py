"""What a choice is worth and what it may cost: rules that hold for all of them, and references."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from seal import backends
from seal.attention import Budget, Candidates, baselines, choose, determinantal, relevance
from seal.attention.coverage import Coverage
from seal.attention.objective import Objective
from seal.attention.solvers import greedy, stochastic
from seal.config import AttentionOptions
from seal.encode.calibration import Calibration
from seal.types import Float64, Int64
from test_attention import choices, instance, instances, make, reference_value
from test_types import make_tokens

OBJECTIVES = backends.names("objective")
SUBMODULAR = [name for name in OBJECTIVES if backends.resolve("objective", name).submodular]
seeds = st.integers(0, 10**6)


def test_relevance_is_the_calibrated_line_within_its_range() -> None:
    tokens = make_tokens(40, d=4)
    rng = np.random.default_rng(0)
    texts, pictures, query = rng.normal(0, 0.3, (3, 4)).astype(np.float32)
    general = np.zeros((1, 4), np.float32)
    calibration = Calibration(
        texts=texts,
        pictures=pictures,
        covariance=np.eye(4, dtype=np.float32),
        general=general,
        slope=0.0,
        bias=1.0,
        peak=2.0,
        named=3.0,
        absent=4.0,
    )
    direction, offset = calibration.line(query)
    for scale, clipped in ((1.0, False), (1000.0, True)):
        calibration = replace(calibration, covariance=np.eye(4, dtype=np.float32) / scale**2)
        got = relevance(tokens, query, calibration)
        want = scale * (tokens.embeddings @ direction + offset)
        np.testing.assert_allclose(got, np.clip(want, -1, 1), rtol=1e-4, atol=1e-5)
        assert (np.abs(got).max() == 1) >= clipped


# Tokens that stand for several, and tokens that are past


@pytest.mark.parametrize("name", SUBMODULAR)
@given(instances, choices, seeds)
def test_a_token_that_stands_for_three_weighs_as_three_equal_tokens(
    name: str, c: Candidates, o: AttentionOptions, seed: int
) -> None:
    # Copies of a token are neighbours of each other.
    o = replace(o, neighbour_weight=0.0)
    number = np.random.default_rng(seed).integers(1, 4, len(c))
    every = c.take(np.repeat(np.arange(len(c)), number))
    first = np.cumsum(number) - number
    few = replace(c, multiplicity=number.astype(float))
    rows = np.arange(0, len(c), 2)
    value = make(name, few, len(rows), o).value(rows)
    assert value == pytest.approx(make(name, every, len(rows), o).value(first[rows]), abs=1e-4)


@pytest.mark.parametrize("name", SUBMODULAR)
@given(instances, choices, seeds)
def test_what_is_past_is_represented_as_what_is_there(
    name: str, c: Candidates, o: AttentionOptions, seed: int
) -> None:
    # What is past is no neighbour.
    o = replace(o, neighbour_weight=0.0)
    here = np.arange(np.random.default_rng(seed).integers(1, len(c) + 1))
    rows = here[::2]
    parted = replace(c.take(here), past=c.take(np.arange(len(here), len(c))))
    want = reference_value(name, c, rows.tolist(), len(rows), o)
    assert make(name, parted, len(rows), o).value(rows) == pytest.approx(want, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", SUBMODULAR)
def test_relevance_counts_as_a_share_of_the_largest(name: str) -> None:
    """Powers of small relevance are too small for a number, if taken as they are."""
    c = instance(2, 60, 4, duplicates=False)
    o = AttentionOptions(objective=name, chosen_weight=0.0, effective_size=0.2)
    rows = np.array([3, 40])
    want = reference_value(name, c, rows.tolist(), 2, o)
    for scale in (1.0, 0.1, 0.001):
        faint = replace(c, relevance=c.relevance * np.float32(scale))
        assert make(name, faint, 2, o).value(rows) == pytest.approx(want, rel=1e-4)


def test_the_time_around_a_token_includes_its_ends() -> None:
    c = instance(1, 12, 4, duplicates=False)
    o = AttentionOptions(objective="seal", variance_window_s=10.0)
    # Every token has another just as far away as is looked.
    c = replace(c, times_s=10.0 * np.arange(12))
    for rows in ([0], [3, 7], [1, 5, 11]):
        value = make("seal", c, len(rows), o).value(np.array(rows))
        assert value == pytest.approx(reference_value("seal", c, rows, len(rows), o), rel=1e-4)


# Budgets and samples


@given(seeds, st.integers(3, 12), st.floats(0, 8), st.booleans())
def test_the_largest_sum_is_that_of_a_linear_programme(
    seed: int, n: int, more: float, uniform: bool
) -> None:
    rng = np.random.default_rng(seed)
    costs = np.full(n, 1.5) if uniform else rng.choice([0.5, 1.0, 2.5], n)
    include, exclude = np.split(rng.permutation(n)[:2], 2)
    budget = Budget(float(costs[include].sum() + more), costs, include, exclude)
    values = rng.normal(size=n)
    low, high = np.zeros(n), np.ones(n)
    low[include], high[exclude] = 1, 0
    # Of tokens of one cost a choice has as many as fit.
    uniform = len({*np.delete(costs, exclude).tolist()}) == 1
    count = min(int(more / costs[include[0]]) + 1, n - 1)
    equal: dict[str, Any] = {"A_eq": np.ones((1, n)), "b_eq": [count]} if uniform else {}
    bounds = np.stack([low, high], 1)
    best = linprog(-values, A_ub=costs[None], b_ub=[budget.amount], bounds=bounds, **equal)
    taken = budget.vertex(values)
    assert budget.most(values) == pytest.approx(-best.fun, abs=1e-6)
    assert ((taken >= low) & (taken <= high)).all()
    assert costs @ taken <= budget.amount + 1e-8
    assert not uniform or taken.sum() == count == budget.size


def test_what_is_included_may_take_all_of_the_budget() -> None:
    c = instance(0, 6, 3, duplicates=False)
    budget = Budget(2.5, np.array([1.0, 1.5, 1, 1, 1, 1]), np.array([1, 0]))
    assert choose(c, AttentionOptions(), budget).rows.tolist() == [1, 0]


@given(seeds, st.integers(30, 60), st.integers(9, 24), st.booleans())
def test_a_sample_is_the_most_relevant_and_even_steps_through_time(
    seed: int, n: int, size: int, several: bool
) -> None:
    c, rng = instance(seed, n, 3, duplicates=False), np.random.default_rng(seed)
    numbers = rng.uniform(1, 3, n) if several else np.ones(n)
    c = replace(c, multiplicity=numbers if several else None, past=c.take(np.arange(3)))
    keep = rng.permutation(n)[:3]
    best = sorted(range(n), key=lambda row: -c.relevance[row])[: size // 4]
    first = sorted({*keep.tolist(), *best})
    others = sorted(set(range(n)) - set(first), key=lambda row: c.times_s[row])
    count = size - len(first)
    spread = [others[int((i + 0.5) * (len(others) / count))] for i in range(count)]
    rows, sample = c.sample(size, keep)
    assert rows.tolist() == first + spread
    assert sample.past is c.past
    share = numbers[others].sum() / numbers[spread].sum()
    np.testing.assert_allclose(sample.multiplicities, [*numbers[first], *(share * numbers[spread])])
    np.testing.assert_array_equal(sample.embeddings, c.embeddings[rows])


@pytest.mark.parametrize("name", SUBMODULAR)
def test_a_choice_of_a_quarter_of_all_tokens_looks_at_all_of_them(name: str) -> None:
    c = instance(5, 40, 6, duplicates=False)
    o = AttentionOptions(objective=name, solver="greedy", budget=10)
    assert choose(c, replace(o, candidates=1)).rows.tolist() == choose(c, o).rows.tolist()


# Bounds and solvers


@pytest.mark.parametrize(
    ("name", "weight", "close"),
    [("coverage", None, 1e-4), ("seal", 0.0, 1e-4), ("seal", 0.5, 0.3)]
    + [(name, None, 0.005) for name in ("paper", "normalised")],
)
def test_bounds_are_close_to_the_best_of_few_tokens(
    name: str, weight: float | None, close: float
) -> None:
    gaps = []
    for seed in range(8):
        c = instance(seed, 12, 6, bool(seed % 2))
        o = AttentionOptions(objective=name, budget=3, answer_weight=weight)
        objective, budget = make(name, c, 3, o), Budget.of(3, 12)
        sets = [np.array(rows) for rows in combinations(range(12), 3)]
        values = [objective.value(rows) for rows in sets]
        known = sets[int(np.argmax(values))]
        gaps.append(objective.upper_bound(known, budget, 5.0) / max(values) - 1)
    assert min(gaps) >= 0
    assert np.mean(gaps) < close


class Counted(Objective):
    """Another objective, with how many gains were asked for."""

    pairwise = False

    def __init__(self, counted: Objective) -> None:
        super().__init__(counted.candidates, counted.size, counted.options)
        self._counted, self.count = counted, 0
        self.submodular = counted.submodular  # type: ignore[misc]

    def gains(self, rows: Int64 | None = None) -> Float64:
        self.count += len(self.candidates) if rows is None else len(rows)
        return self._counted.gains(rows)

    def add(self, row: int) -> None:
        self._counted.add(row)

    def remove(self, row: int) -> None:
        self._counted.remove(row)

    def exchanges(self, out: Int64, rows: Int64) -> Float64:
        return self._counted.exchanges(out, rows)

    def value(self, rows: Int64) -> float:
        return self._counted.value(rows)

    def upper_bound(self, rows: Int64, budget: Budget, seconds: float) -> float:
        return self._counted.upper_bound(rows, budget, seconds)


@pytest.mark.parametrize("name", ["coverage", "seal"])
def test_greedy_looks_at_few_tokens_again(name: str) -> None:
    c, o = instance(3, 400, 6, duplicates=False), AttentionOptions(objective=name)
    objective = Counted(make(name, c, 16, o))
    greedy(objective, Budget.of(16, 400), o)
    assert objective.count < 400 * 16 / 3


@pytest.mark.parametrize("name", ["paper", "normalised"])
def test_a_token_is_exchanged_for_one_that_is_worth_more_but_not_for_its_cost(name: str) -> None:
    # So many tokens that no choice is made anew.
    n = 1100
    scores, costs = np.zeros(n, np.float32), np.ones(n)
    scores[:2], costs[1] = (0.3, 0.4), 1.5
    c = Candidates(scores, np.tile(np.eye(1, 2, dtype=np.float32), (n, 1)), np.arange(1.0 * n))
    budget = Budget(1.5, costs)
    for solver, row in (("greedy", 0), ("swaps", 1)):
        o = AttentionOptions(objective=name, solver=solver, alpha=1.0)
        assert choose(c, o, budget).rows.tolist() == [row]


@pytest.mark.parametrize("name", ["coverage", "seal"])
def test_more_tokens_are_represented_if_more_are_chosen(name: str) -> None:
    c = instance(4, 4096, 4, duplicates=False)
    counts = []
    for size in (1, 16, 64):
        objective = make(name, c, size, AttentionOptions(objective=name))
        assert isinstance(objective, Coverage)
        counts.append(len(objective._weights))
    assert counts[0] < counts[1] < counts[2] < len(c)


@pytest.mark.parametrize("size", [5, 20, 50])
def test_the_stochastic_solver_looks_at_as_many_tokens_whatever_the_budget(size: int) -> None:
    """n log(1 / epsilon) gains for epsilon = 0.1, and less than that below the best."""
    c, o = instance(3, 400, 6, duplicates=False), AttentionOptions(objective="coverage")
    objective, budget = Counted(make("coverage", c, size, o)), Budget.of(size, 400)
    rows = stochastic(objective, budget, o)
    assert 400 * np.log(10) <= objective.count <= 400 * np.log(10) + size
    best = choose(c, replace(o, solver="greedy"), budget)
    assert (1 - 0.1) * best.objective <= objective.value(rows) < best.objective


@pytest.mark.parametrize(
    ("method", "defaults"),
    [
        (baselines.mmr, {"trade_off": 0.7}),
        (baselines.aks, {"threshold": 0.8, "max_depth": 5}),
        (baselines.inverse_transform, {"power": 3.0}),
        (determinantal.dpp, {"trade_off": 0.9}),
        (
            determinantal.mdp3,
            {"trade_off": 0.2, "segment": 32, "widths": (0.125, 0.25, 0.5, 1.0, 2.0)},
        ),
    ],
)
def test_baselines_have_the_values_of_their_papers(
    method: Callable[..., Int64], defaults: dict[str, object]
) -> None:
    given_ = inspect.signature(method).parameters.values()
    assert {p.name: p.default for p in given_ if p.kind is p.KEYWORD_ONLY} == defaults
