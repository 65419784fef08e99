"""Temporal localisation: the metrics against a slow reference, and rules that are easy to miss."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.errors import OptionError
from seal.evaluate.localisation import Rules, mean_iou, missed, recall, score
from seal.types import pairwise_span_iou

# Half seconds: equal times and exact fractions are common.
TIMES = st.integers(-4, 20).map(lambda half: half / 2)
SPANS = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=7)


def slow_iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = max(0.0, max(a[1], b[1]) - min(a[0], b[0]))
    return shared / union if union else math.nan


@given(SPANS, st.tuples(TIMES, TIMES), st.booleans())
def test_scores_are_those_of_the_slow_reference(
    predicted: list[tuple[float, float]], truth: tuple[float, float], inclusive: bool
) -> None:
    rules = Rules(inclusive=inclusive)
    found = score(predicted, [truth], rules)
    slow = [slow_iou(span, truth) for span in predicted]
    for i, top in enumerate(rules.top):
        for j, least in enumerate(rules.iou):
            enough = [iou >= least if inclusive else iou > least for iou in slow[:top]]
            assert found.hits[i, j] == any(enough)
    np.testing.assert_equal(found.iou, slow[0])


@given(SPANS, SPANS)
def test_iou_of_spans_is_symmetric_and_bounded(
    a: list[tuple[float, float]], b: list[tuple[float, float]]
) -> None:
    overlap = pairwise_span_iou(a, b)
    np.testing.assert_array_equal(overlap, pairwise_span_iou(b, a).T)
    defined = overlap[~np.isnan(overlap)]
    assert ((defined >= 0) & (defined <= 1)).all()


@given(SPANS, SPANS)
def test_more_moments_and_looser_thresholds_never_hit_less(
    predicted: list[tuple[float, float]], truth: list[tuple[float, float]]
) -> None:
    hits = score(predicted, truth, Rules()).hits.astype(int)
    assert (np.diff(hits, axis=0) >= 0).all()
    assert (np.diff(hits, axis=1) <= 0).all()


def test_a_hit_is_above_the_threshold_unless_inclusive() -> None:
    half = [(0.0, 1.0)], [(0.0, 2.0)]
    assert not score(*half, Rules((1,), (0.5,))).hits.any()
    assert score(*half, Rules((1,), (0.5,), inclusive=True)).hits.all()


def test_an_instant_against_itself_is_not_a_number_and_no_hit() -> None:
    rules = Rules((1,), (0.0,), inclusive=True)
    same = score([(3.0, 3.0)], [(3.0, 3.0)], rules)
    assert math.isnan(same.iou)
    assert not same.hits.any()
    assert score([(3.0, 3.5)], [(3.0, 3.0)], rules).iou == 0
    assert math.isnan(mean_iou([same, missed(rules)]))


def test_the_first_moment_decides_the_mean_and_the_best_truth_counts() -> None:
    found = score([(0, 1), (4, 8)], [(4, 8), (0, 2)], Rules((1, 2), (0.9,)))
    assert found.iou == 0.5
    assert found.hits.tolist() == [[False], [True]]
    with_instant = score([(0, 0)], [(0, 0), (0, 4)], Rules())
    assert with_instant.iou == 0


def test_recall_is_named_after_rank_and_threshold() -> None:
    rules = Rules((1, 5), (0.3, 0.5))
    perfect = score([(0, 1)], [(0, 1)], rules)
    assert list(recall([perfect], rules)) == [
        "R@1 IoU=0.3",
        "R@1 IoU=0.5",
        "R@5 IoU=0.3",
        "R@5 IoU=0.5",
    ]
    assert set(recall([perfect, missed(rules)], rules).values()) == {0.5}
    assert mean_iou([perfect, missed(rules)]) == 0.5


def test_nothing_to_score_is_not_a_number() -> None:
    assert math.isnan(mean_iou([]))
    assert all(math.isnan(value) for value in recall([], Rules()).values())


@pytest.mark.parametrize("wrong", [{"top": (0,)}, {"top": ()}, {"iou": (1.5,)}, {"iou": ()}])
def test_wrong_rules_are_named(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(OptionError, match=r"ranks|IoU"):
        Rules(**wrong)  # type: ignore[arg-type]
