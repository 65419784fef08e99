"""Objectives and the greedy solver against slow, obvious references."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal import registry
from seal.attention import relevance, select
from seal.config import AttentionOptions
from seal.errors import OptionError
from test_types import make_tokens

OBJECTIVES = registry.names("objective")


def instance(seed: int, n: int, d: int, duplicates: bool) -> tuple[np.ndarray, np.ndarray]:
    """Relevance [n] and unit embeddings [n, d], negative cosines and duplicates included."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)).astype(np.float32)
    if duplicates:
        embeddings[n // 2 :] = embeddings[: n - n // 2]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return rng.uniform(-1, 1, n).astype(np.float32), embeddings


def reference_value(
    name: str, r: np.ndarray, e: np.ndarray, rows: list[int], o: AttentionOptions
) -> float:
    """The formulas of section 3.2, term by term."""
    k = len(rows)
    own = sum(float(r[i]) for i in rows)
    pairs = sum(
        1 / min(max(float(e[i].astype(float) @ e[j].astype(float)), o.s_min), 1)
        for i in rows
        for j in rows
        if i != j
    )
    if name == "normalised":
        own, pairs = own / k, pairs / max(k * (k - 1), 1)
    return o.alpha * own + (1 - o.alpha) * pairs


instances = st.tuples(
    st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 5), st.booleans()
).map(lambda args: instance(*args))
choices = st.builds(
    AttentionOptions,
    budget=st.integers(1, 4),
    alpha=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    s_min=st.sampled_from([0.01, 0.1, 1.0]),
)


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices)
def test_value_and_gains_match_the_formula(
    name: str, data: tuple, options: AttentionOptions
) -> None:
    r, e = data
    size = min(options.budget, len(r))
    objective = registry.resolve("objective", name)(r, e, size, options)
    # The weights depend on the size that is aimed at, so gains telescope to the value at that size.
    total, rows = 0.0, []
    for row in range(size):
        total += objective.gains()[row]
        objective.add(row)
        rows.append(row)
    want = reference_value(name, r, e, rows, options)
    assert total == pytest.approx(want, rel=1e-4, abs=1e-4)
    assert objective.value(np.array(rows)) == pytest.approx(want, rel=1e-4, abs=1e-4)
    assert np.isneginf(objective.gains()[rows]).all()


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=300)
@given(instances, choices)
def test_the_upper_bound_holds_for_every_choice(
    name: str, data: tuple, options: AttentionOptions
) -> None:
    r, e = data
    size = min(options.budget, len(r))
    objective = registry.resolve("objective", name)(r, e, size, options)
    best = max(objective.value(np.array(rows)) for rows in combinations(range(len(r)), size))
    assert objective.upper_bound() >= best - 1e-5


@pytest.mark.parametrize("name", OBJECTIVES)
@given(instances, choices)
def test_greedy_takes_the_best_next_token(
    name: str, data: tuple, options: AttentionOptions
) -> None:
    r, e = data
    tokens = make_tokens(len(r), e.shape[1])
    object.__setattr__(tokens, "embeddings", e)
    got = select(tokens, r, AttentionOptions(**{**vars(options), "objective": name}))
    size = min(options.budget, len(r))
    objective = registry.resolve("objective", name)(r, e, size, options)
    assert len(got) == len(set(got.rows.tolist())) == size
    if size == len(r):  # Nothing to choose: in order of relevance, and the value is its bound.
        assert got.relevance.tolist() == sorted(r.tolist(), reverse=True)
        assert got.objective == got.upper_bound == pytest.approx(objective.value(got.rows))
        return
    for row in got.rows:
        assert objective.gains()[row] == pytest.approx(objective.gains().max(), abs=1e-6)
        objective.add(row)
    assert got.upper_bound >= got.objective - 1e-5
    assert got.gap >= 0


def test_relevance_is_the_best_facet() -> None:
    tokens = make_tokens(5, d=4, q=3)
    query = np.eye(4, dtype=np.float32)[0]
    want = [max(float(facet @ query) for facet in token) for token in tokens.facets]
    np.testing.assert_allclose(relevance(tokens, query), want, rtol=1e-6)


def test_a_budget_above_the_number_of_tokens_selects_all() -> None:
    tokens = make_tokens(5)
    got = select(tokens, np.arange(5, dtype=np.float32), AttentionOptions(budget=50))
    assert sorted(got.rows.tolist()) == [0, 1, 2, 3, 4]


def test_no_tokens_give_an_empty_selection() -> None:
    tokens = make_tokens(3).take([])
    got = select(tokens, relevance(tokens, np.ones(4, np.float32)), AttentionOptions())
    assert len(got) == 0
    assert (got.objective, got.upper_bound, got.gap) == (0, 0, 0)


@pytest.mark.parametrize("option", [{"objective": "best"}, {"solver": "magic"}])
def test_unknown_names_list_the_valid_ones(option: dict[str, str]) -> None:
    tokens = make_tokens(3)
    with pytest.raises(OptionError, match="valid: "):
        select(tokens, np.ones(3, np.float32), AttentionOptions(**option))
