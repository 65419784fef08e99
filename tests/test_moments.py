"""Moments are where the relevant tokens are."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seal.config import FindOptions
from seal.ground import Curve, find_moments, relevance_curve
from seal.types import Tokens
from test_types import make_tokens


def tokens_at(spans_s: list[tuple[float, float]]) -> Tokens:
    """Tokens with these spans, in seconds."""
    tokens = make_tokens(len(spans_s))
    pts = np.round(np.array(spans_s) * 1000).astype(np.int64)
    object.__setattr__(tokens, "pts", pts)
    return tokens


def test_the_curve_follows_the_best_token_of_each_instant() -> None:
    tokens = tokens_at([(t, t + 0.04) for t in range(0, 60, 2) for _ in range(2)])
    scores = np.where(np.abs(tokens.start_s - 30) < 3, 0.5, 0.1).astype(np.float32)
    scores[1::2] = 0.0  # the other token of each instant is about something else
    curve = relevance_curve(tokens, scores, FindOptions())
    assert np.ptp(np.diff(curve.times_s)) < 1e-9
    assert abs(curve.times_s[curve.relevance.argmax()] - 30) < 2
    assert abs(curve.relevance[0] - 0.1) < 0.02


def test_find_returns_the_planted_moments_best_first() -> None:
    tokens = tokens_at([(t, t + 0.04) for t in range(0, 300, 2)])
    scores = np.full(len(tokens), 0.1, np.float32)
    scores[(tokens.start_s >= 100) & (tokens.start_s < 112)] = 0.5
    scores[(tokens.start_s >= 200) & (tokens.start_s < 220)] = 0.4
    options = FindOptions(top=5)
    moments = find_moments(relevance_curve(tokens, scores, options), options)
    assert len(moments) == 2
    for moment, (start_s, end_s) in zip(moments, [(100, 112), (200, 220)], strict=True):
        assert abs(moment.span.start_s - start_s) < 2.5
        assert abs(moment.span.end_s - end_s) < 2.5
    assert moments[0].score > moments[1].score


def test_a_flat_curve_has_no_moments() -> None:
    tokens = tokens_at([(t, t + 2.0) for t in range(0, 60, 2)])
    options = FindOptions()
    curve = relevance_curve(tokens, np.full(len(tokens), 0.3, np.float32), options)
    np.testing.assert_allclose(curve.relevance, 0.3, rtol=1e-6)
    assert (
        find_moments(Curve(0.0, curve.times_s, np.full(len(curve.times_s), 0.3), 60.0), options)
        == []
    )


def test_no_tokens_have_no_moments() -> None:
    curve = relevance_curve(tokens_at([(0, 1)]).take([]), np.empty(0, np.float32), FindOptions())
    assert find_moments(curve, FindOptions()) == []


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0, 20), st.floats(-1, 1)), min_size=1),
    st.integers(1, 6),
)
def test_moments_never_overlap_and_lie_in_the_video(rows: list, top: int) -> None:
    tokens = tokens_at([(start, start + length) for start, length, _ in rows])
    options = FindOptions(top=top, smoothing_s=1.5)
    scores = np.array([score for *_, score in rows], np.float32)
    curve = relevance_curve(tokens, scores, options)
    moments = find_moments(curve, options)
    assert len(moments) <= top
    spans = sorted(moment.span for moment in moments)
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in pairwise(spans))
    for span in spans:
        assert span.start_s >= tokens.start_s.min() - 1e-6
        assert span.end_s <= tokens.end_s.max() + 1e-6
    assert curve.relevance.max() <= scores.max() + 1e-6
    assert curve.relevance.min() >= scores.min() - 1e-6
