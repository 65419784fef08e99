"""Objectives, bounds and solvers against slow, obvious references."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from seal import backends
from seal.attention import Budget, Candidates, choose, coverage, relevance, select
from seal.attention.objective import Objective
from seal.attention.question import answer_weight
from seal.config import AttentionOptions
from seal.errors import OptionError
from seal.types import Float32, Float64, Tokens
from test_types import make_tokens

OBJECTIVES = backends.names("objective")
SOLVERS = backends.names("solver")
SUBMODULAR = [name for name in OBJECTIVES if backends.resolve("objective", name).submodular]


def instance(seed: int, n: int, d: int, duplicates: bool) -> Candidates:
    """Unit embeddings, negative cosines and duplicates included; R on both sides of 0; times near
    each other and far apart."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)).astype(np.float32)
    if duplicates:
        embeddings[n // 2 :] = embeddings[: n - n // 2]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = rng.uniform(-1, 1, n).astype(np.float32)
    times_s = rng.uniform(0, 100, n) + 3000 * rng.integers(0, 3, n)
    by_words = rng.random(n) < 0.5 if seed % 2 else None
    return Candidates(scores, embeddings, times_s, by_words=by_words)


def size_of(name: str, budget: Budget) -> int:
    """What the formula of an objective takes for the size of a choice."""
    is_averaged = backends.resolve("objective", name).averaged
    return budget.usual_size if is_averaged else budget.size


def make(name: str, c: Candidates, size: int, options: AttentionOptions) -> Objective:
    kind: type[Objective] = backends.resolve("objective", name)
    return kind(kind.seen(c, options), size, options)


def reference_value(
    name: str, c: Candidates, rows: list[int], size: int, o: AttentionOptions
) -> float:
    """The formulas in the modules' docstrings, term by term."""
    s = c.embeddings.astype(float) @ c.embeddings.astype(float).T
    own = sum(float(c.relevance[i]) for i in rows)
    pairs = sum(1 / min(max(s[i, j], o.s_min), 1) for i in rows for j in rows if i != j)
    if name == "paper":
        return o.alpha * own + (1 - o.alpha) * pairs
    if name == "normalised":
        return o.alpha * own / size + (1 - o.alpha) * pairs / max(size * (size - 1), 1)
    kernel, weights = representation(name, c, size, o)
    covered = float(kernel[rows].max(0, initial=0) @ weights)
    if name == "coverage":
        return o.chosen_weight * own / size + (1 - o.chosen_weight) * covered
    order = np.argsort(c.times_s, kind="stable").tolist()
    ends = [order[0], *order, order[-1]]
    near = np.empty(len(c))
    for i, row in enumerate(order, start=1):
        around = float(c.relevance[ends[i - 1]]) + float(c.relevance[ends[i + 1]])
        w = o.neighbour_weight
        near[row] = (1 - 2 * w) * float(c.relevance[row]) + w * around
    mean = float(np.mean(c.relevance.astype(float)))
    spread = float(c.relevance.max()) - mean
    own = sum(near[row] - mean for row in rows) / (spread if spread > 1e-9 else np.inf)
    c_t = np.ones(len(c)) if c.by_words is None else np.where(c.by_words, o.word_redundancy**0.5, 1)
    alike = sum(c_t[i] * c_t[j] * s[i, j] ** 4 for i in rows for j in rows if i != j)
    weight = answer_weight(c) if o.answer_weight is None else o.answer_weight
    return weight * (own / size - o.redundancy * alike / size**2) + (1 - weight) * covered


def representation(
    name: str, c: Candidates, size: int, o: AttentionOptions
) -> tuple[Float64, Float64]:
    """K [n, n] and w [n] of the modules `coverage` and `seal`."""
    largest = max(float(c.relevance.max()), 1e-9)
    power = o.relevance_exponent
    while True:
        positive = np.array([(max(float(r), 0) / largest) ** power for r in c.relevance])
        if (
            positive.sum() ** 2 <= o.effective_size * size * (positive**2).sum()
            or power > 57 * o.relevance_exponent
        ):
            break
        power *= 1.15
    about = o.query_weight / positive.sum() if positive.any() else 0.0
    apart = np.abs(c.times_s[:, None] - c.times_s)
    kernel = np.maximum(c.embeddings.astype(float) @ c.embeddings.astype(float).T, 0)
    kernel = kernel**o.similarity_exponent * (
        1 - o.time_weight + o.time_weight * np.exp(-apart / o.time_bandwidth_s)
    )
    present = np.ones(len(c))
    if name == "seal":
        around = [c.embeddings[near].astype(float) for near in apart <= o.variance_window_s]
        variance = np.array([np.var(tokens, axis=0).sum() for tokens in around])
        present = np.where(variance < 1e-9, 0, variance) ** o.variance_exponent
        # Where nothing differs from anything else at its time, all matter alike.
        present = present if present.any() else np.ones(len(c))
    return kernel, about * positive + (1 - o.query_weight if about else 1) * present / present.sum()


def best_coverage(c: Candidates, o: AttentionOptions, budget: Budget) -> float:
    """The best value of `coverage` by a mixed-integer programme, which knows no bound of ours:
    y_t whether t is chosen, x_ti whether t stands for i."""
    kernel, weights = representation("coverage", c, budget.size, o)
    n, size = len(c), budget.size
    worth = (1 - o.chosen_weight) * kernel * weights
    once = np.hstack([np.zeros((n, n)), np.tile(np.eye(n), n)])
    chosen = np.hstack([-np.repeat(np.eye(n), n, axis=0), np.eye(n * n)])
    cost = np.hstack([budget.costs, np.zeros(n * n)])
    rows = [LinearConstraint(once, ub=1), LinearConstraint(chosen, ub=0)]
    rows.append(LinearConstraint(cost, size if budget.uniform else 0, budget.amount))
    low, high = np.zeros(n + n * n), np.ones(n + n * n)
    low[budget.include], high[budget.exclude] = 1, 0
    gains = np.concatenate([o.chosen_weight * c.relevance / size, worth.ravel()])
    integer = np.arange(n + n * n) < n
    bounds, precise = Bounds(low, high), {"mip_rel_gap": 0.0}
    found = milp(-gains, constraints=rows, integrality=integer, bounds=bounds, options=precise)
    return -float(found.fun)


instances = st.builds(
    instance, st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 5), st.booleans()
)
choices = st.builds(
    AttentionOptions,
    budget=st.integers(1, 4),
    alpha=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    s_min=st.sampled_from([0.01, 0.1, 0.5, 1.0]),
    query_weight=st.sampled_from([0.0, 0.45, 1.0]),
    relevance_exponent=st.sampled_from([1.0, 4.0]),
    effective_size=st.sampled_from([0.3, 5.0]),
    chosen_weight=st.sampled_from([0.0, 0.2, 1.0]),
    answer_weight=st.sampled_from([None, 0.0, 0.3, 1.0]),
    redundancy=st.sampled_from([0.0, 4.0]),
    word_redundancy=st.sampled_from([0.0, 0.02, 1.0]),
    similarity_exponent=st.sampled_from([1.0, 2.0]),
    time_weight=st.sampled_from([0.0, 0.3]),
    certify_s=st.sampled_from([0.0, 0.01]),
)


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices)
def test_value_and_gains_match_the_formula(
    name: str, c: Candidates, options: AttentionOptions
) -> None:
    size = min(options.budget, len(c))
    objective = make(name, c, size, options)
    # The weights depend on the size that is aimed at, so gains telescope to the value at that size.
    total, rows = 0.0, []
    for row in range(size):
        gain = objective.gains()[row]
        assert objective.gains(np.array([row]))[0] == pytest.approx(gain, rel=1e-4, abs=1e-6)
        total += gain
        objective.add(row)
        rows.append(row)
    want = reference_value(name, c, rows, size, options)
    assert total == pytest.approx(want, rel=1e-4, abs=1e-4)
    assert objective.value(np.array(rows)) == pytest.approx(want, rel=1e-4, abs=1e-4)
    assert np.isneginf(objective.gains()[rows]).all()


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices)
def test_what_is_removed_was_never_there(
    name: str, c: Candidates, options: AttentionOptions
) -> None:
    assume(len(c) >= 3)
    objective, fresh = (make(name, c, 2, options) for _ in range(2))
    for row in (0, 1):
        objective.add(row)
    objective.remove(0)
    fresh.add(1)
    np.testing.assert_allclose(objective.gains(), fresh.gains(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices)
def test_exchanges_are_differences_of_values(
    name: str, c: Candidates, options: AttentionOptions
) -> None:
    assume(len(c) >= 4)
    objective = make(name, c, 3, options)
    for row in (2, 0, 1):
        objective.add(row)
    change = objective.exchanges(np.array([0, 2]), np.arange(3, len(c)))
    before = objective.value(np.arange(3))
    for i, out in enumerate((0, 2)):
        for j, row in enumerate(range(3, len(c))):
            after = objective.value(np.array([r for r in range(3) if r != out] + [row]))
            assert change[i, j] == pytest.approx(after - before, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", SUBMODULAR)
@given(instances, choices)
def test_gains_of_submodular_objectives_never_rise(
    name: str, c: Candidates, options: AttentionOptions
) -> None:
    objective = make(name, c, 3, options)
    before = objective.gains()
    for row in range(min(3, len(c))):
        objective.add(row)
        assert (objective.gains() <= before + 1e-5).all()
        before = objective.gains()


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=10 * settings.default.max_examples)
@given(instances, choices)
def test_the_upper_bound_holds_for_every_choice(
    name: str, c: Candidates, options: AttentionOptions
) -> None:
    size = min(options.budget, len(c))
    objective = make(name, c, size, options)
    sets = [np.array(rows) for rows in combinations(range(len(c)), size)]
    best = max(objective.value(rows) for rows in sets)
    # Whatever choice it starts from.
    for known in (sets[0], sets[-1]):
        bound = objective.upper_bound(known, Budget.of(size, len(c)), options.certify_s)
        assert bound >= best


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices, st.integers(0, 10**6), st.floats(1, 6))
def test_costs_inclusion_and_exclusion_are_kept_and_bounded(
    name: str, c: Candidates, options: AttentionOptions, seed: int, amount: float
) -> None:
    rng = np.random.default_rng(seed)
    n = len(c)
    order = rng.permutation(n)
    include, exclude = order[:1], order[1:2]
    budget = Budget(amount + 3, rng.choice([1.0, 1.5, 3.0], n), include, exclude)
    feasible = [
        np.array(rows)
        for k in range(1, n + 1)
        for rows in combinations(range(n), k)
        if set(include.tolist()) <= set(rows)
        and not set(exclude.tolist()) & set(rows)
        and budget.costs[list(rows)].sum() <= budget.amount
    ]
    objective = make(name, c, size_of(name, budget), options)
    assert budget.size == max(map(len, feasible))
    if budget.uniform:
        feasible = [rows for rows in feasible if len(rows) == budget.size]
    best = max(objective.value(rows) for rows in feasible)
    for solver in SOLVERS:
        chosen = {"objective": name, "solver": solver}
        got = choose(c, AttentionOptions(**{**vars(options), **chosen}), budget)
        assert sorted(got.rows.tolist()) in [sorted(rows.tolist()) for rows in feasible]
        assert got.upper_bound >= best - 1e-9
        assert got.objective == pytest.approx(objective.value(got.rows), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices)
def test_greedy_takes_the_best_next_token(
    name: str, c: Candidates, options: AttentionOptions
) -> None:
    size = min(options.budget, len(c))
    assume(size < len(c))
    got = choose(c, AttentionOptions(**{**vars(options), "objective": name, "solver": "greedy"}))
    objective = make(name, c, size, options)
    assert len(got) == len(set(got.rows.tolist())) == size
    for row in got.rows:
        assert objective.gains()[row] == pytest.approx(objective.gains().max(), abs=1e-5)
        objective.add(row)
    assert got.gap >= 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_more_tokens_are_exchanged_than_is_allowed(name: str) -> None:
    c = instance(11, 300, 8, duplicates=False)
    greedy = choose(c, AttentionOptions(objective=name, solver="greedy", budget=32))
    values = [greedy.objective]
    for exchanges in (0, 1, 3, 64):
        options = AttentionOptions(objective=name, budget=32, exchanges=exchanges)
        found = choose(c, options)
        assert len(set(found.rows) - set(greedy.rows)) <= exchanges
        values.append(found.objective)
    assert values == sorted(values)
    assert values[0] == values[1]


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices)
def test_swaps_are_no_worse_than_greedy_and_exact_is_best(
    name: str, c: Candidates, options: AttentionOptions
) -> None:
    def value(solver: str) -> float:
        changed = {"objective": name, "solver": solver, "exchanges": 1000}
        return choose(c, AttentionOptions(**{**vars(options), **changed})).objective

    size = min(options.budget, len(c))
    objective = make(name, c, size, options)
    best = max(objective.value(np.array(rows)) for rows in combinations(range(len(c)), size))
    assert value("greedy") - 1e-6 <= value("swaps") <= value("exact") + 1e-6
    assert value("exact") == pytest.approx(best, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_coverage_against_a_mixed_integer_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, size = int(rng.integers(11, 31)), int(rng.integers(2, 11))
    c = instance(seed, n, 8, bool(seed % 2))
    costs = rng.choice([1.0, 1.5, 3.0], n)
    some = rng.permutation(n)
    options = AttentionOptions(objective="coverage", chosen_weight=0.2)
    for budget in (Budget.of(size, n), Budget(size + 3, costs, some[:1], some[1:3])):
        best = best_coverage(c, options, budget)
        for solver in ("greedy", "exact"):
            got = choose(c, replace(options, solver=solver), budget)
            assert got.objective - 1e-5 <= best <= got.upper_bound + 1e-5
        assert got.objective == pytest.approx(best, rel=2e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_greedy_chooses_as_the_naive_solver_does(name: str) -> None:
    """Incrementally, or lazily where the objective is submodular."""
    for seed in range(20):
        c = instance(seed, 30, 6, False)
        got, want = (
            choose(c, AttentionOptions(budget=6, objective=name, solver=solver))
            for solver in ("greedy", "naive")
        )
        assert got.rows.tolist() == want.rows.tolist()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_bounds_tighten_with_time(name: str) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(rng.normal(size=(10, 8)), 150, axis=0)
    embeddings = (groups + 0.2 * rng.normal(size=groups.shape)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    c = Candidates(embeddings @ embeddings[0], embeddings, np.arange(1500.0))
    options = AttentionOptions(objective=name, budget=20, alpha=0.5)
    quick = choose(c, options)
    slow = choose(c, AttentionOptions(**{**vars(options), "certify_s": 2.0}))
    assert slow.objective <= slow.upper_bound < quick.upper_bound


def test_a_sample_covers_as_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    # Tokens of a video come in kinds; without any, a sample loses 3 %.
    groups = np.repeat(rng.normal(size=(100, 16)), 60, axis=0)
    embeddings = (groups + 0.3 * rng.normal(size=groups.shape)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    c = Candidates(embeddings @ embeddings[0], embeddings, np.arange(6000.0))
    options = AttentionOptions(objective="coverage", budget=20, solver="greedy")
    sampled = choose(c, options)
    monkeypatch.setattr(coverage, "_SAMPLE", 6000)
    dense = choose(c, options)
    assert make("coverage", c, 20, options).value(sampled.rows) >= 0.99 * dense.objective
    assert dense.rows.tolist() != sampled.rows.tolist(), "nothing was sampled"


@pytest.mark.parametrize("name", ["coverage", "seal"])
def test_large_sets_are_chosen_from_by_a_sample(name: str) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(rng.normal(size=(100, 16)), 60, axis=0)
    embeddings = (groups + 0.3 * rng.normal(size=groups.shape)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    c = Candidates(embeddings @ embeddings[0], embeddings, 2.0 * np.arange(6000))
    options = AttentionOptions(objective=name, budget=20)
    budget = Budget(20, np.ones(6000), np.array([4321]), np.array([0, 1]))
    among = choose(c, replace(options, candidates=1000), budget)
    every = choose(c, replace(options, candidates=6000), budget)
    assert len(set(among.rows.tolist())) == 20
    assert 4321 in among.rows
    assert not {0, 1} & set(among.rows.tolist())
    np.testing.assert_array_equal(among.relevance, c.relevance[among.rows])
    assert make(name, c, 20, options).value(among.rows) >= 0.98 * every.objective
    assert among.rows.tolist() != every.rows.tolist(), "nothing was left out"


def test_a_sample_stands_for_all() -> None:
    c = instance(0, 1000, 4, False)
    rows, sample = c.sample(100, np.array([7, 8]))
    assert len(set(rows.tolist())) == len(rows) == 100
    assert {7, 8, *np.argsort(-c.relevance)[:25].tolist()} <= set(rows.tolist())
    np.testing.assert_array_equal(sample.times_s, c.times_s[rows])
    assert sample.multiplicities.sum() == pytest.approx(1000)
    # Those that were added for the rest are as many in each part of the time.
    spread = sample.times_s[sample.multiplicities > 1]
    parts, _ = np.histogram(spread, np.quantile(c.times_s, [0, 0.25, 0.5, 0.75, 1]))
    assert 73 <= len(spread) <= 75
    assert parts.min() >= 15


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 40), st.floats(0, 20))
def test_what_is_represented_is_a_sample_by_weight(
    seed: int, n: int, room: int, unequal: float
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(size=n) ** unequal * rng.integers(0, 2, n)
    times_s = rng.integers(0, n, n).astype(float)
    rows, stand_for = coverage._sample(weights, times_s, room)
    # The heaviest are set aside one by one, as long as they weigh more than the others' steps.
    heavy: list[int] = []
    light = [row for row in np.argsort(-weights, kind="stable").tolist() if weights[row] > 0]
    total = len(light)
    while light and weights[light[0]] * (room - len(heavy)) >= weights[light].sum():
        heavy.append(light.pop(0))
    step = weights[light].sum() / max(room - len(heavy), 1)
    assert len(set(rows.tolist())) == len(rows) == min(room, total)
    assert set(heavy) <= set(rows.tolist())
    np.testing.assert_allclose(stand_for, np.maximum(weights[rows], step), rtol=1e-9)
    assert stand_for.sum() == pytest.approx(weights.sum())
    # The others are at most a step of weight apart from where their part of the weight is.
    then = np.argsort(times_s, kind="stable")
    for end in range(n):
        before = [row for row in then[:end].tolist() if row in light]
        sampled = sum(row in before for row in rows.tolist())
        assert sampled * step == pytest.approx(weights[before].sum(), abs=1.001 * step + 1e-12)


@pytest.mark.parametrize("name", SUBMODULAR)
def test_many_and_late_tokens_are_looked_at_in_blocks(name: str) -> None:
    c = instance(3, 700, 6, duplicates=True)
    # Of a camera, whose times are counted from 1970 on.
    c = replace(c, times_s=c.times_s + 1.7e9)
    options = AttentionOptions(budget=4)
    objective, rows = make(name, c, 4, options), np.array([699, 1, 256, 512])
    for row in rows[:3].tolist():
        objective.add(row)
    gains = objective.gains()
    some = reference_value(name, c, rows[:3].tolist(), 4, options)
    more = reference_value(name, c, rows.tolist(), 4, options)
    assert objective.value(rows[:3]) == pytest.approx(some, rel=1e-5)
    assert objective.value(rows) == pytest.approx(more, rel=1e-5)
    assert gains[512] == pytest.approx(more - some, rel=1e-4)


def test_relevance_is_the_best_facet() -> None:
    tokens = make_tokens(5, d=4, q=3)
    query = np.eye(4, dtype=np.float32)[0]
    want = [max(float(facet @ query) for facet in token) for token in tokens.facets]
    np.testing.assert_allclose(relevance(tokens, query), want, rtol=1e-6)


def test_a_budget_above_the_number_of_tokens_selects_all() -> None:
    tokens = make_tokens(5)
    got = select(tokens, np.arange(5, dtype=np.float32) / 5, AttentionOptions(budget=50))
    assert got.rows.tolist() == [4, 3, 2, 1, 0]
    assert got.gap == 0


def test_no_tokens_give_an_empty_selection() -> None:
    tokens = make_tokens(3).take([])
    got = select(tokens, relevance(tokens, np.ones(4, np.float32)), AttentionOptions())
    assert len(got) == 0
    assert (got.objective, got.upper_bound, got.gap) == (0, 0, 0)


def test_what_is_included_must_fit() -> None:
    c = instance(0, 5, 3, False)
    with pytest.raises(OptionError, match="include cost more than the budget of 1"):
        choose(c, AttentionOptions(), Budget(1, np.ones(5), np.array([0, 1])))


PRICES = {"scene": 0.5, "object": 1.5, "action": 2.5}


def mixed(n: int, seed: int) -> tuple[Tokens, Float32]:
    """Tokens of all kinds, with what their ids say, and their relevance."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(PRICES), n)
    ids = np.array([f"{kind}-{row}" for row, kind in enumerate(kinds.tolist())])
    tokens = replace(make_tokens(n, seed=seed), kinds=kinds, ids=ids)
    return tokens, rng.uniform(-1, 1, n).astype(np.float32)


@pytest.mark.parametrize("name", OBJECTIVES)
@given(st.integers(0, 10**6), st.integers(4, 8), choices, st.sampled_from(["greedy", "swaps"]))
def test_kinds_cost_what_the_options_say_and_the_bound_holds(
    name: str, seed: int, n: int, options: AttentionOptions, solver: str
) -> None:
    tokens, scores = mixed(n, seed)
    changed = {"objective": name, "solver": solver, "budget": options.budget + 2}
    options = replace(options, cost=PRICES, **changed)
    price = np.array([PRICES[kind] for kind in tokens.kinds.tolist()])
    got = select(tokens, scores, options, tokens.ids[2:3].tolist(), tokens.ids[:2].tolist())
    feasible = [
        np.array([2, *rest])
        for k in range(n - 2)
        for rest in combinations(range(3, n), k)
        if price[[2, *rest]].sum() <= options.budget
    ]
    if len(set(price[2:].tolist())) == 1:
        feasible = [rows for rows in feasible if len(rows) == max(map(len, feasible))]
    assert sorted(got.rows.tolist()) in [rows.tolist() for rows in feasible]
    within = Budget(options.budget, price, np.array([2]), np.arange(2))
    objective = make(name, Candidates.of(tokens, scores), size_of(name, within), options)
    # What is left is too little for anything else that is worth having.
    left = options.budget - price[got.rows].sum()
    for row in set(range(3, n)) - set(got.rows.tolist()):
        assert price[row] > left or objective.value(np.append(got.rows, row)) < got.objective + 1e-5
    assert got.objective == pytest.approx(objective.value(got.rows), rel=1e-5, abs=1e-5)
    assert got.upper_bound >= max(objective.value(rows) for rows in feasible) - 1e-9


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_kind_that_costs_more_is_chosen_less(name: str) -> None:
    tokens, scores = mixed(120, 1)
    counts = []
    for cost in (0.5, 1.0, 3.0):
        options = AttentionOptions(
            budget=12,
            objective=name,
            cost=AttentionOptions().cost | {"action": cost},
            solver="greedy",
        )
        rows = select(tokens, scores, options).rows
        counts.append(int((tokens.kinds[rows] == "action").sum()))
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [
        (["action-9", "x"], [], "no token action-9, x; `seal tokens`"),
        ([], ["action-9"], "no token action-9"),
        (["action-0", "action-1"], ["action-1"], "action-1 cannot be included and excluded"),
        (["action-0", "action-1", "action-2"], [], "include cost more than the budget of 2"),
    ],
)
def test_wrong_ids_and_too_many_are_named(
    include: list[str], exclude: list[str], message: str
) -> None:
    options = AttentionOptions(budget=2)
    with pytest.raises(OptionError, match=message):
        select(make_tokens(5), np.ones(5, np.float32), options, include, exclude)


@pytest.mark.parametrize("option", [{"objective": "best"}, {"solver": "magic"}])
def test_unknown_names_list_the_valid_ones(option: dict[str, str]) -> None:
    tokens = make_tokens(3)
    with pytest.raises(OptionError, match="valid: "):
        select(tokens, np.ones(3, np.float32), AttentionOptions(**option))
