"""What a choice claims of all others, against each of the others: every subset of a few tokens."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal import backends
from seal.attention import Budget, Candidates, choose, relevance, select
from seal.attention.objective import tolerance
from seal.config import AttentionOptions
from seal.errors import OptionError
from seal.types import Choice, Int64, Tokens
from test_attention import choices, instance, instances, make, size_of
from test_types import make_tokens

OBJECTIVES = backends.names("objective")
SOLVERS = backends.names("solver")
seeds = st.integers(0, 10**6)


def budget_of(seed: int, n: int, share: float) -> Budget:
    """Costs of one to three sizes, some tokens that have to be in and some that must not, and a
    share of what all of them cost."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    include, exclude = order[: rng.integers(3)], order[3:][: rng.integers(3)]
    costs = rng.choice([0.5, 1.0, 3.0][: rng.integers(1, 4)], n)
    least = costs[include].sum()
    amount = least + share * (costs.sum() - least)
    return Budget(float(amount), costs, include, exclude)


def allowed(budget: Budget) -> list[Int64]:
    """Every choice that a budget allows: of one size where all cost the same, of any otherwise."""
    include, free = budget.include.tolist(), budget.free.tolist()
    fit = [
        np.array([*include, *rows], np.int64)
        for k in range(len(free) + 1)
        for rows in combinations(free, k)
        if budget.costs[[*include, *rows]].sum() <= budget.amount + 1e-9
    ]
    largest = max(map(len, fit))
    costs = {*np.delete(budget.costs, budget.exclude).tolist()}
    return [rows for rows in fit if len(costs) > 1 or len(rows) == largest]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=2 * settings.default.max_examples)
@given(instances, choices, seeds, st.floats(0, 1), st.sampled_from([-1.0, -0.1, 1.0]))
def test_a_certificate_holds_for_each_choice_that_is_allowed(
    name: str, solver: str, c: Candidates, o: AttentionOptions, seed: int, share: float, sign: float
) -> None:
    if sign < 0:  # Nothing is worth having for its relevance.
        c = replace(c, relevance=sign * np.abs(c.relevance))
    budget = budget_of(seed, len(c), share)
    objective = make(name, c, size_of(name, budget), o)
    every = allowed(budget)
    best = max(objective.value(rows) for rows in every)
    got = choose(c, replace(o, objective=name, solver=solver), budget)
    assert sorted(got.rows.tolist()) in [sorted(rows.tolist()) for rows in every]
    assert got.objective == pytest.approx(objective.value(got.rows), rel=1e-5, abs=1e-5)
    # The order of a sum changes its last digit.
    assert got.upper_bound >= best - 1e-9
    assert objective.upper_bound(got.rows, budget, 0.0) >= best - 1e-9
    if solver == "exact":
        assert got.objective >= best - 3 * tolerance(best)
        assert got.upper_bound <= best + 3 * tolerance(best) + 1e-9
    if budget.uniform:  # So few choices are all looked at.
        assert got.upper_bound <= best + 3 * tolerance(best) + 1e-9


def test_hundreds_of_tokens_that_are_alike_have_a_bound() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=16) + 0.4 * rng.normal(size=(600, 16))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = rng.uniform(0, 0.5, 600).astype(np.float32)
    got = choose(
        Candidates(scores, embeddings.astype(np.float32), np.arange(600.0)),
        AttentionOptions(budget=280),
    )
    assert got.objective <= got.upper_bound < np.inf


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices, seeds, st.floats(0, 1))
def test_no_solver_goes_on_where_the_value_only_falls(
    name: str, solver: str, c: Candidates, o: AttentionOptions, seed: int, share: float
) -> None:
    budget = budget_of(seed, len(c), share)
    if budget.uniform or budget.size == len(c):
        return
    objective = make(name, c, budget.size, o)
    rows = backends.resolve("solver", solver)(objective, budget, o)
    value = objective.value(rows)
    if solver in ("naive", "greedy", "stochastic"):
        for end in range(len(budget.include), len(rows)):
            assert objective.value(rows[:end]) <= value + tolerance(value)


def unequal(scores: list[float]) -> tuple[Candidates, Budget]:
    """Tokens of these relevances, of which the first costs more; all of them fit."""
    n = len(scores)
    embeddings = np.tile(np.eye(1, 4, dtype=np.float32), (n, 1))
    costs = np.array([3.0, *[1.0] * (n - 1)])
    c = Candidates(np.array(scores, np.float32), embeddings, np.arange(1.0 * n))
    return c, Budget(300.0, costs)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_lowers_the_value_is_left_out_although_it_fits(solver: str) -> None:
    o = AttentionOptions(objective="paper", alpha=1.0, solver=solver)
    c, budget = unequal([0.5, -0.2, 0.3])
    got = choose(c, o, budget)
    assert sorted(got.rows.tolist()) == [0, 2]
    assert got.upper_bound >= got.objective == pytest.approx(0.8)
    assert got.gap < 1e-5


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("amount", [300.0, 3.0])
def test_nothing_is_chosen_where_nothing_is_worth_it(solver: str, amount: float) -> None:
    c, budget = unequal([-0.5, -0.2, -0.3])
    o = AttentionOptions(objective="paper", alpha=1.0, solver=solver)
    got = choose(c, o, replace(budget, amount=amount))
    assert (len(got), got.objective) == (0, 0)
    assert 0 <= got.upper_bound < 1e-5
    # What has to be in stays in, whatever it is worth.
    held = choose(c, o, replace(budget, amount=amount, include=np.array([2])))
    assert held.rows.tolist() == [2]
    assert held.objective <= held.upper_bound < 0


def test_exact_finds_a_smaller_choice_than_greedy() -> None:
    """The two cheap ones are better for their cost, and the dear one alone is better."""
    c, budget = unequal([0.9, 0.35, 0.35])
    o = AttentionOptions(objective="paper", alpha=1.0)
    budget = replace(budget, amount=3.0)
    for solver, rows in (("greedy", [1, 2]), ("exact", [0])):
        assert sorted(choose(c, replace(o, solver=solver), budget).rows.tolist()) == rows


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_dip_on_the_way_to_more_does_not_stop_the_search(solver: str) -> None:
    """Pairs raise the published value once both of their tokens are in."""
    c, budget = unequal([0.5, -0.3, -0.3, -0.3])
    o = AttentionOptions(objective="paper", alpha=0.9, solver=solver)
    got = choose(c, o, replace(budget, amount=5.5))
    objective = make("paper", c, 3, o)
    assert objective.value(np.array([0, 1])) < objective.value(np.array([0])) < got.objective
    assert len(got) == 3


def test_tokens_of_one_cost_are_as_many_as_are_asked_for() -> None:
    """The published problem: a choice of a fixed size, whatever it is worth."""
    c, _ = unequal([0.5, -0.2, -0.3, -0.4])
    for solver in SOLVERS:
        got = choose(c, AttentionOptions(objective="paper", alpha=1.0, solver=solver, budget=3))
        assert sorted(got.rows.tolist()) == [0, 1, 2]
        assert got.objective == pytest.approx(0.0, abs=1e-6)
        assert got.gap == 0 or got.upper_bound < 1e-5


@pytest.mark.parametrize("name", OBJECTIVES)
def test_all_that_fits_is_proven_best_where_nothing_is_negative(name: str) -> None:
    c = instance(3, 200, 6, duplicates=False)
    c = replace(c, relevance=np.abs(c.relevance))
    budget = Budget(1000.0, np.resize([1.0, 3.0], 200))
    # Of `seal`, tokens below the mean relevance and pairs that are alike are negative.
    got = choose(c, AttentionOptions(objective=name, answer_weight=0.0), budget)
    assert got.rows.tolist() == c.ranked().tolist()
    assert got.gap < 1e-5


def test_a_sample_of_one_cost_is_still_a_part_of_a_problem_of_several() -> None:
    """The tokens that cost more are not in the sample; any size is allowed all the same."""
    n = 400
    c = instance(4, n, 6, duplicates=False)
    c = replace(c, relevance=np.where(np.arange(n) == 7, -1.0, 0.5).astype(np.float32))
    budget = Budget(8.0, np.where(np.arange(n) == 7, 3.0, 1.0))
    rows, _ = c.sample(64, budget.include)
    assert 7 not in rows
    assert not budget.take(rows).uniform
    assert not budget.branch(budget.include, np.array([7])).uniform


# Numbers that are none


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", ["relevance", "embeddings", "times_s", "multiplicity"])
def test_a_number_that_is_not_finite_is_refused(column: str, bad: float) -> None:
    c = replace(instance(0, 9, 3, duplicates=False), multiplicity=np.ones(9))
    values = getattr(c, column).copy()
    values[4] = bad
    with pytest.raises(OptionError, match=r"finite numbers; row 4 of 9"):
        replace(c, **{column: values})


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_a_cost_that_is_not_a_positive_number_is_refused(bad: float) -> None:
    with pytest.raises(OptionError, match="costs"):
        Budget(3.0, np.array([1.0, bad]))
    with pytest.raises(OptionError, match="cost_scene must be above 0 and finite"):
        AttentionOptions(cost={"scene": bad})


def test_a_budget_that_is_no_number_is_refused() -> None:
    with pytest.raises(OptionError, match="a budget needs a number"):
        Budget(np.nan, np.ones(3))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_one_embedding_that_is_not_finite_ends_a_selection(name: str) -> None:
    tokens, query = make_tokens(8, d=4), np.eye(4, dtype=np.float32)[0]
    spoiled = tokens.embeddings.copy()
    spoiled[3, 1] = np.nan
    tokens = replace(tokens, embeddings=spoiled, facets=spoiled[:, None])

    def chosen(tokens: Tokens) -> Choice:
        return select(tokens, relevance(tokens, query), AttentionOptions(objective=name, budget=3))

    with pytest.raises(OptionError, match=r"relevance to a query must be finite numbers; row 3"):
        chosen(tokens)
    with pytest.raises(OptionError, match=r"embeddings must be finite numbers; row 3 of 8"):
        select(tokens, np.ones(8, np.float32), AttentionOptions(objective=name, budget=3))
    with pytest.raises(OptionError, match=r"embeddings must be finite numbers; row 3 of 8"):
        Tokens.of(tokens.kinds, tokens.pts, tokens.time(0)[0] + 1, tokens.facets)
