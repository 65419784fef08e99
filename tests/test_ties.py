"""Values that differ by rounding alone are equal, and equals are ranked, whatever the solver."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal import backends
from seal.attention import Budget, Candidates, choose, solvers
from seal.attention.objective import Objective, tolerance
from seal.config import AttentionOptions
from seal.types import Float64, Int64
from test_attention import make, reference_value

OBJECTIVES = backends.names("objective")
SOLVERS = backends.names("solver")
PAIRS = ["paper", "normalised"]


@pytest.fixture(autouse=True, scope="module")
def _stochastic_looks_at_all() -> Iterator[None]:
    """A random sample depends on the order of the tokens; a sample of all tokens does not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solvers, "_EPSILON", 1e-300)
        yield


@st.composite
def instances(draw: st.DrawFn) -> Candidates:
    """Tokens with many equals: four directions, R in steps of 0.1, each time once."""
    n = draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    directions = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0], [0, -0.6, 0.8]], np.float32)
    relevance = (rng.integers(-2, 5, n) / 10).astype(np.float32)
    return Candidates(relevance, directions[rng.integers(0, 4, n)], rng.permutation(n) * 10.0)


options = st.builds(
    AttentionOptions,
    budget=st.integers(1, 5),
    alpha=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    chosen_weight=st.sampled_from([0.0, 0.2, 1.0]),
    time_weight=st.sampled_from([0.0, 0.2]),
)


class Rounded(Objective):
    """Another objective on another processor: values and gains differ by about 1e-9 of them."""

    pairwise = False

    def __init__(self, exact: Objective, seed: int) -> None:
        super().__init__(exact.candidates, exact.size, exact.options)
        self._exact, self._rng = exact, np.random.default_rng(seed)
        self.submodular = exact.submodular  # type: ignore[misc]

    def _rounded(self, values: Float64) -> Float64:
        # Tokens that cannot join have a gain of -inf.
        size = 1 + np.abs(np.where(np.isfinite(values), values, 0))
        return values + 1e-9 * size * self._rng.choice([-1, 0, 1], np.shape(values))

    def gains(self, rows: Int64 | None = None) -> Float64:
        return self._rounded(self._exact.gains(rows))

    def add(self, row: int) -> None:
        self._exact.add(row)

    def remove(self, row: int) -> None:
        self._exact.remove(row)

    def exchanges(self, out: Int64, rows: Int64) -> Float64:
        return self._rounded(self._exact.exchanges(out, rows))

    def value(self, rows: Int64) -> float:
        return float(self._rounded(np.float64(self._exact.value(rows))))

    def upper_bound(self, rows: Int64, budget: Budget, seconds: float) -> float:
        return self._exact.upper_bound(rows, budget, seconds)


def solve(solver: str, objective: Objective, budget: Budget) -> list[int]:
    rows: Int64 = backends.resolve("solver", solver)(objective, budget, objective.options)
    return rows.tolist()


def budgets(n: int, o: AttentionOptions, seed: int) -> list[Budget]:
    """Any tokens; and tokens of several costs, one of them included and one excluded."""
    rng = np.random.default_rng(seed)
    one, other = np.split(rng.permutation(n)[:2], 2)
    costs = rng.choice([0.5, 1.0, 2.0], n)
    return [Budget.of(min(o.budget, n), n), Budget(o.budget + 2, costs, one, other)]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=settings.default.max_examples // 2)
@given(instances(), options, st.integers(0, 10**6))
def test_rounding_changes_no_choice(
    name: str, solver: str, c: Candidates, o: AttentionOptions, seed: int
) -> None:
    for budget in budgets(len(c), o, seed):
        exact, inexact = (make(name, c, budget.size, o) for _ in range(2))
        want = solve(solver, exact, budget)
        assert solve(solver, Rounded(inexact, seed), budget) == want


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=settings.default.max_examples // 2)
@given(instances(), options, st.integers(0, 10**6))
def test_the_order_of_the_tokens_changes_no_choice(
    name: str, solver: str, c: Candidates, o: AttentionOptions, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(c))
    o = replace(o, objective=name, solver=solver)
    assert order[choose(c.take(order), o).rows].tolist() == choose(c, o).rows.tolist()


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=settings.default.max_examples // 2)
@given(instances(), options, st.integers(0, 10**6))
def test_solvers_that_are_no_better_choose_as_greedy_does(
    name: str, c: Candidates, o: AttentionOptions, seed: int
) -> None:
    for budget in budgets(len(c), o, seed):
        chosen = {s: solve(s, make(name, c, budget.size, o), budget) for s in SOLVERS}
        value = {s: make(name, c, budget.size, o).value(np.array(chosen[s])) for s in SOLVERS}
        assert chosen["naive"] == chosen["stochastic"] == chosen["greedy"]
        for better, solver in (("swaps", "greedy"), ("exact", "swaps")):
            if value[better] - value[solver] <= tolerance(value[solver]):
                assert chosen[better] == chosen[solver]


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances(), options)
def test_greedy_is_the_rule_term_by_term(name: str, c: Candidates, o: AttentionOptions) -> None:
    """The largest gain; of equals the most relevant; of these the earliest."""
    size, chosen = min(o.budget, len(c)), list[int]()
    for _ in range(size):
        rest = [row for row in range(len(c)) if row not in chosen]
        before = reference_value(name, c, chosen, size, o)
        values = {row: reference_value(name, c, [*chosen, row], size, o) for row in rest}
        least = max(values.values()) - tolerance(before)
        equal = [row for row in rest if values[row] >= least]
        chosen.append(min(equal, key=lambda row: (-c.relevance[row], c.times_s[row])))
    assert solve("greedy", make(name, c, size, o), Budget.of(size, len(c))) == chosen


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", PAIRS)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 12), st.booleans())
def test_without_diversity_the_order_is_that_of_relevance(
    name: str, solver: str, seed: int, n: int, size: int, close: bool
) -> None:
    """R may differ by the last digit of single precision, or not at all."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    relevance = rng.integers(0, n, n).astype(np.float32) / np.float32(n)
    if close:
        relevance = np.float32(0.5) + rng.integers(0, 4, n).astype(np.float32) * np.float32(2**-24)
    c = Candidates(relevance, embeddings, rng.integers(0, 9, n).astype(float))
    o = AttentionOptions(objective=name, solver=solver, alpha=1.0, budget=size)
    want = sorted(range(n), key=lambda row: (-c.relevance[row], c.times_s[row], row))
    assert choose(c, o).rows.tolist() == want[:size]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("rest", [2, 300])
def test_the_first_of_equals_joins_and_the_last_of_equals_leaves(name: str, rest: int) -> None:
    """More tokens may be left than are tried."""
    relevance = np.concatenate([[0.2, 0.2, 0.2, 0.9], np.full(rest, 0.9)]).astype(np.float32)
    times_s = np.concatenate([[7.0, 9.0, 8.0], np.arange(20.0, 20 - rest - 1, -1)])
    c = Candidates(relevance, np.tile(np.eye(1, 2, dtype=np.float32), (4 + rest, 1)), times_s)
    objective, chosen = make(name, c, 3, AttentionOptions(alpha=1.0)), np.array([0, 1, 2])
    for row in chosen.tolist():
        objective.add(row)
    solvers._exchange(objective, Budget.of(3, len(c)), chosen, 2)
    assert chosen.tolist() == [0, 3 + rest, 2 + rest]


@pytest.mark.parametrize("solver", SOLVERS)
def test_gains_in_proportion_to_their_costs_are_equal(solver: str) -> None:
    """Where R is cost / 10, nothing is better for its cost; rounding says otherwise."""
    costs = np.array([1.0, 3.0, 2.0, 1.0, 3.0, 0.1])
    c = Candidates((costs / 10).astype(np.float32), np.eye(6, dtype=np.float32), -np.arange(6.0))
    assert len({float(Fraction(float(r)) / 10**9) for r in c.relevance / costs}) > 1
    o = AttentionOptions(alpha=1.0)
    # What is left after both of 3 and that of 2 is enough for one of the two of 1: the earlier.
    budget = Budget(9.0, costs)
    assert solve(solver, make("paper", c, budget.size, o), budget) == [4, 1, 2, 3]


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("solver", ["greedy", "swaps"])
def test_of_a_still_picture_the_first_tokens_are_chosen(name: str, solver: str) -> None:
    """More equals than are looked at at once."""
    n, still = 700, np.array([0.6, 0.8], np.float32)
    rng = np.random.default_rng(0)
    c = Candidates(np.full(n, 0.3, np.float32), np.tile(still, (n, 1)), rng.permutation(n) * 1.0)
    o = AttentionOptions(objective=name, solver=solver, budget=8, time_weight=0.0)
    for objective in (make(name, c, 8, o), Rounded(make(name, c, 8, o), 1)):
        rows = solve(solver, objective, Budget.of(8, n))
        assert c.times_s[rows].tolist() == list(range(8))


@given(instances(), st.integers(1, 9))
def test_ranks_are_by_relevance_then_time_then_row(c: Candidates, count: int) -> None:
    c = replace(c, times_s=c.times_s // 30)
    rows = np.random.default_rng(count).permutation(len(c))[:count]
    want = sorted(rows.tolist(), key=lambda row: (-c.relevance[row], c.times_s[row], row))
    assert c.ranked(rows).tolist() == want
    assert c.first(rows) == want[0]
    everything = choose(c, AttentionOptions(budget=len(c)))
    assert everything.rows.tolist() == c.ranked(np.arange(len(c))).tolist() == c.ranked().tolist()
