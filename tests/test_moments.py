"""Moments are where the relevant tokens are."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slow_moments
from seal.config import FindOptions
from seal.ground import Curve, find_moments, locate, relevance_curve
from seal.ground.moments import best_first
from seal.types import Float32, Moment, Span, Tokens
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


def curve_by_definition(tokens: Tokens, scores: np.ndarray, smoothing_s: float) -> np.ndarray:
    """The relevance curve [n], instant by instant: four instants per standard deviation."""
    step_s, start_s = smoothing_s / 4, tokens.start_s.min()
    n = max(1, int(np.ceil((tokens.end_s.max() - start_s) / step_s)))
    best: list[float | None] = [None] * n
    for begin_s, end_s, score in zip(tokens.start_s, tokens.end_s, scores, strict=True):
        for i in range(n):
            # The last instant also holds the very end of the video.
            from_s, until_s = i * step_s, (i + 1) * step_s if i < n - 1 else np.inf
            if begin_s - start_s < until_s and end_s - start_s >= from_s:
                best[i] = max(float(score), -np.inf if best[i] is None else best[i])
    curve = []
    for i in range(n):
        # Tokens further away than four standard deviations do not count.
        near = [k for k in range(max(0, i - 16), min(n, i + 17)) if best[k] is not None]
        weights = [np.exp(-(((k - i) / 4) ** 2) / 2) for k in near]
        values = [best[k] for k in near]
        lowest = min(value for value in best if value is not None)
        curve.append(np.dot(weights, values) / sum(weights) if sum(weights) > 1e-3 else lowest)
    return np.array(curve)


@given(
    st.lists(
        st.tuples(st.integers(0, 16_000), st.integers(0, 3_000), st.integers(-8, 8)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([0.512, 2.048, 4.096]),
)
def test_the_curve_is_what_its_definition_says(rows: list, smoothing_s: float) -> None:
    # Times are multiples of 1/8 s and instants of 1/128 s: whole in binary, so that both agree.
    tokens = tokens_at(
        [(start // 125 / 8, (start + length) // 125 / 8) for start, length, _ in rows]
    )
    scores = np.array([score / 8 for *_, score in rows], np.float32)
    options = FindOptions(smoothing_s=smoothing_s)
    curve = relevance_curve(tokens, scores, options)
    want = curve_by_definition(tokens, scores, smoothing_s)
    np.testing.assert_allclose(curve.relevance, want, atol=1e-9)
    step_s = smoothing_s / 4
    assert curve.start_s == tokens.start_s.min()
    assert curve.end_s == tokens.end_s.max()
    middles_s = curve.start_s + step_s / 2 + step_s * np.arange(len(want))
    np.testing.assert_allclose(curve.times_s, middles_s, atol=1e-9)


def test_far_from_every_token_the_curve_is_at_its_lowest() -> None:
    tokens = tokens_at([(0, 1), (1, 2), (100, 101)])
    curve = relevance_curve(tokens, np.float32([0.8, 0.2, 0.7]), FindOptions(smoothing_s=2.0))
    between = (curve.times_s > 2 + 8) & (curve.times_s < 100 - 8)
    np.testing.assert_array_equal(curve.relevance[between], np.float32(0.2))
    # As far from a token as its weight is a thousandth, its own relevance still counts.
    near = (curve.times_s > 100 - 7) & (curve.times_s < 100)
    np.testing.assert_allclose(curve.relevance[near], 0.7, atol=1e-6)


def test_no_tokens_have_an_empty_curve() -> None:
    curve = relevance_curve(tokens_at([(0, 1)]).take([]), np.empty(0, np.float32), FindOptions())
    assert (curve.start_s, curve.end_s) == (0.0, 0.0)
    assert len(curve.times_s) == len(curve.relevance) == 0


def moments_by_definition(relevance: list[float], top: int) -> list[tuple[int, int]]:
    """The first and the last instant of each moment, best first."""
    n, floor = len(relevance), float(np.median(relevance))
    lowest = floor + max(0.1 * (max(relevance) - floor), 1e-6)
    free = [True] * n
    moments: list[tuple[int, int]] = []
    for peak in sorted(range(n), key=lambda i: -relevance[i]):
        value = relevance[peak]
        rises = peak == 0 or relevance[peak - 1] < value
        falls = peak == n - 1 or relevance[peak + 1] <= value
        if not (rises and falls and free[peak]) or value < lowest or len(moments) == top:
            continue
        edge = floor + 0.5 * (value - floor)
        first = last = peak
        while first > 0 and free[first - 1] and relevance[first - 1] >= edge:
            first -= 1
        while last < n - 1 and free[last + 1] and relevance[last + 1] >= edge:
            last += 1
        free[first : last + 1] = [False] * (last + 1 - first)
        moments.append((first, last))
    return moments


# Few levels, so that plateaus and equal peaks are common; some are lower than a tenth of others.
levels = st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 5.0, 9.0, 1e-7, -0.5, -2.0])


@given(st.lists(levels, min_size=1, max_size=40), st.integers(1, 6), st.floats(-50, 50))
def test_moments_are_what_their_definition_says(
    relevance: list[float], top: int, start_s: float
) -> None:
    n = len(relevance)
    # The last instant is cut short by the end of the video.
    times_s, end_s = start_s + 0.25 + 0.5 * np.arange(n), start_s + 0.5 * n - 0.2
    moments = find_moments(
        Curve(start_s, times_s, np.array(relevance), end_s), FindOptions(top=top)
    )
    want = moments_by_definition(relevance, top)
    assert [moment.span.start_s for moment in moments] == pytest.approx(
        [start_s + 0.5 * first for first, _ in want]
    )
    assert [moment.span.end_s for moment in moments] == pytest.approx(
        [min(start_s + 0.5 * (last + 1), end_s) for _, last in want]
    )
    scores = [moment.score for moment in moments]
    assert scores == pytest.approx([max(relevance[first : last + 1]) for first, last in want])
    assert scores == sorted(scores, reverse=True)


def moments_of(*relevance: float) -> list[Moment]:
    """The moments of a curve of one instant a second."""
    n = len(relevance)
    curve = Curve(0.0, np.arange(n) + 0.5, np.array(relevance), float(n))
    return find_moments(curve, FindOptions(top=9))


def test_a_moment_is_as_wide_as_its_half_height() -> None:
    (moment,) = moments_of(0, 0, 0, 0, 0.49, 0.5, 0.8, 1, 0.6, 0.4, 0, 0, 0, 0, 0)
    assert moment.span == Span(5, 9)
    assert moment.score == 1


def test_ripples_are_no_moments() -> None:
    low = [0.0] * 5
    assert len(moments_of(*low, 1, *low, 0.09, *low)) == 1
    assert len(moments_of(*low, 1, *low, 0.11, *low)) == 2


def test_a_curve_that_rises_by_rounding_errors_has_no_moments() -> None:
    assert moments_of(0.3, 0.3, 0.3 + 1e-7, 0.3, 0.3) == []
    assert len(moments_of(0.3, 0.3, 0.3 + 1e-5, 0.3, 0.3)) == 1


def test_a_peak_beside_a_higher_one_keeps_to_its_own_side() -> None:
    first, second = moments_of(0, 0, 0, 0, 0, 1, 0.45, 0.7, 0.4, 0, 0, 0)
    assert first.span == Span(5, 6)
    assert second.span == Span(6, 9)


def test_a_token_of_the_last_instant_counts() -> None:
    # The video ends at a whole number of instants, with a token that has no length.
    tokens = tokens_at([(0, 4), (4, 4)])
    curve = relevance_curve(tokens, np.float32([0.1, 0.9]), FindOptions(smoothing_s=2.0))
    assert curve.relevance.argmax() == len(curve.relevance) - 1


def test_a_moment_can_be_at_either_end_of_an_irrelevant_video() -> None:
    first, second = moments_of(-0.3, -0.9, -0.9, -0.9, -0.9, -0.9, -0.4)
    assert (first.span, second.span) == (Span(0, 1), Span(6, 7))


def seen_and_said(said: float) -> tuple[Tokens, Float32]:
    """Scenes of which the one at 20 s stands out by 0.2, and a sentence at 40 s."""
    scenes = [[1000 * t, 1000 * t + 40] for t in range(60)]
    tokens = Tokens.of(
        ["scene"] * 60 + ["speech"],
        [*scenes, [40_000, 42_300]],
        Fraction(1, 1000),
        np.ones((61, 1, 4), np.float32),
        ids=[*(f"scene-{i}" for i in range(60)), "said"],
        text=[""] * 60 + ["a sentence"],
    )
    scores = np.full(61, -0.2, np.float32)
    scores[20], scores[60] = 0.2, said
    return tokens, scores


def test_a_sentence_is_a_moment_of_its_own_times() -> None:
    tokens, scores = seen_and_said(0.3)
    first, second = locate(tokens, scores, FindOptions(top=2))
    assert first == Moment(Span(40.0, 42.3), pytest.approx(0.3), token="said")
    assert second.span.start_s < 20.0 < second.span.end_s
    # Pictures have the moments that they have without words.
    (alone,) = locate(tokens.take(range(60)), scores[:60], FindOptions(top=1))
    assert second == replace(alone, token="scene-20")


def test_of_a_picture_and_a_sentence_at_one_time_the_better_one_is_the_moment() -> None:
    tokens, scores = seen_and_said(0.3)
    peak = locate(tokens.take(range(60)), scores[:60], FindOptions(top=1))[0].span
    same = [round(1000 * peak.start_s), round(1000 * peak.end_s)]
    tokens = replace(tokens, pts=np.array([*tokens.pts[:60].tolist(), same]))
    moments = locate(tokens, scores, FindOptions(top=2))
    assert [moment.token for moment in moments if moment.span == peak] == ["said"]


def test_the_best_picture_comes_before_words_that_nobody_is_likely_to_have_said() -> None:
    tokens, scores = seen_and_said(0.1)
    peak = locate(tokens.take(range(60)), scores[:60], FindOptions(top=1))[0]
    assert peak.score < 0.1
    by_score = [moment.span.start_s for moment in locate(tokens, scores, FindOptions(top=2))]
    unlikely = locate(tokens, scores, FindOptions(top=2), unlikely=0.15)
    assert by_score == [40.0, peak.span.start_s]
    assert [moment.span.start_s for moment in unlikely] == [peak.span.start_s, 40.0]
    likely = locate(tokens, scores, FindOptions(top=2), unlikely=0.05)
    assert [moment.span.start_s for moment in likely] == by_score


def test_a_text_that_stays_for_hours_leaves_room_for_sentences() -> None:
    spans = [[0, 7_200_000], *([10_000 * i, 10_000 * i + 3000] for i in range(1, 4))]
    tokens = Tokens.of(
        ["text", "speech", "speech", "speech"],
        spans,
        Fraction(1, 1000),
        np.ones((4, 1, 4), np.float32),
        ids=["logo", "a", "b", "c"],
        text=["SEAL", "one", "two", "three"],
    )
    scores = np.array([0.5, 0.4, 0.3, 0.2], np.float32)
    found = locate(tokens, scores, FindOptions(top=5))
    assert [moment.token for moment in found] == ["logo", "a", "b", "c"]


def test_many_lines_of_one_slide_are_one_moment() -> None:
    tokens = Tokens.of(
        ["text"] * 24 + ["speech"],
        [[0, 60]] * 24 + [[100, 103]],
        Fraction(1),
        np.ones((25, 1, 4), np.float32),
        ids=[f"line-{i}" for i in range(24)] + ["said"],
        text=["word"] * 25,
    )
    scores = np.linspace(0.5, 0.2, 25).astype(np.float32)
    found = locate(tokens, scores, FindOptions(top=5))
    assert [moment.token for moment in found] == ["line-0", "said"]


def test_a_picture_that_comes_before_unlikely_words_is_shown_by_a_picture() -> None:
    tokens, scores = seen_and_said(0.25)
    tokens = replace(tokens, pts=np.array([*tokens.pts[:60].tolist(), [20_000, 20_400]]))
    first, second = locate(tokens, scores, FindOptions(top=2), unlikely=0.3)
    assert (first.token, second.token) == ("scene-20", "said")


@pytest.mark.parametrize("seed", range(12))
def test_moments_are_those_of_the_slow_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    kinds = rng.choice(["scene", "action", "speech"], n, p=[0.3, 0.2, 0.5])
    starts = np.sort(rng.integers(0, 240_000, n))
    pts = np.stack([starts, starts + rng.integers(0, 9_000, n)], 1)
    tokens = Tokens.of(
        kinds, pts, Fraction(1, 1000), np.ones((n, 1, 4)), ids=[f"t{i}" for i in range(n)]
    )
    # Many sentences are equally relevant.
    scores = np.where(kinds == "speech", rng.integers(-5, 6, n) / 10, rng.normal(0, 0.3, n))
    scores = scores.astype(np.float32)
    for top, unlikely in ((5, -np.inf), (5, 1.0), (1000, -np.inf)):
        options = FindOptions(top=top, smoothing_s=float(rng.choice([0.5, 2.0])))
        fast = locate(tokens, scores, options, unlikely)
        slow = slow_moments.locate(tokens, scores, options, unlikely)
        assert [moment.token for moment in fast] == [moment.token for moment in slow]
        assert [moment.span for moment in fast] == pytest.approx([one.span for one in slow])
        assert [one.score for one in fast] == pytest.approx([one.score for one in slow])


@given(st.lists(st.integers(-40, 40), max_size=300))
def test_the_best_of_many_values_come_first_and_equal_ones_in_order(values: list[int]) -> None:
    found = list(best_first(np.array(values, np.float32)))
    assert found == sorted(range(len(values)), key=lambda i: -values[i])
