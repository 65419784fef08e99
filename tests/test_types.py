"""Spans, boxes and the token columns hold what they promise."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seal.errors import OptionError
from seal.types import Span, Tokens, pairwise_iou, union_box

# Sides below float32 precision have no meaningful ratio of areas.
corner = st.integers(0, 1000).map(lambda i: i / 1000)
boxes = st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=6).map(
    lambda rows: np.array(
        [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in rows], np.float32
    )
)
spans = st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)).map(lambda p: Span(p[0], p[0] + p[1]))


def make_tokens(n: int = 6, d: int = 4, q: int = 1, seed: int = 0) -> Tokens:
    """n valid tokens with tracks of 0, 1, 2, ... rows."""
    rng = np.random.default_rng(seed)
    facets = rng.normal(size=(n, q, d)).astype(np.float32)
    facets /= np.linalg.norm(facets, axis=2, keepdims=True)
    return Tokens.of(
        ["action"] * n,
        np.stack([np.arange(n) * 100, np.arange(n) * 100 + 50], 1),
        Fraction(1, 1000),
        facets,
        ids=[f"action-{i}" for i in range(n)],
        video_id="film",
        boxes=np.tile(np.array([0, 0, 0.5, 1], np.float32), (n, 1)),
        text=[f"word {i}" for i in range(n)],
        tracks=[rng.random((i, 5)) for i in range(n)],
    )


@given(spans, spans)
def test_span_iou_is_symmetric_and_bounded(a: Span, b: Span) -> None:
    assert a.iou(b) == b.iou(a)
    assert 0 <= a.iou(b) <= 1
    assert a.duration_s == 0 or a.iou(a) == 1


@pytest.mark.parametrize("ends", [(1.0, 0.5), (float("nan"), 1.0), (0.0, float("inf"))])
def test_impossible_spans_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(OptionError):
        Span(*ends)


@given(boxes, boxes)
def test_pairwise_iou_matches_the_definition(a: np.ndarray, b: np.ndarray) -> None:
    got = pairwise_iou(a, b)
    for i, p in enumerate(a.astype(float)):
        for j, r in enumerate(b.astype(float)):
            width = max(0, min(p[2], r[2]) - max(p[0], r[0]))
            height = max(0, min(p[3], r[3]) - max(p[1], r[1]))
            both = (p[2] - p[0]) * (p[3] - p[1]) + (r[2] - r[0]) * (r[3] - r[1]) - width * height
            want = width * height / both if both > 0 else 0
            assert got[i, j] == pytest.approx(want, abs=1e-3)


@given(boxes)
def test_union_box_holds_every_box(rows: np.ndarray) -> None:
    x0, y0, x1, y1 = union_box(rows)
    assert (rows[:, :2] >= [x0, y0]).all()
    assert (rows[:, 2:] <= [x1, y1]).all()


@given(hnp.arrays(np.int64, st.integers(0, 12), elements=st.integers(0, 5)))
def test_take_keeps_each_token_with_its_own_track(rows: np.ndarray) -> None:
    tokens = make_tokens()
    taken = tokens.take(rows)
    assert taken.ids.tolist() == [f"action-{i}" for i in rows]
    for new, old in enumerate(rows):
        np.testing.assert_array_equal(taken.track(new), tokens.track(old))
        assert taken.time(new) == tokens.time(old)


def test_concatenate_undoes_take() -> None:
    tokens = make_tokens()
    again = Tokens.concatenate([tokens.take([0, 1]), tokens.take([]), tokens.take([2, 3, 4, 5])])
    assert again.ids.tolist() == tokens.ids.tolist()
    np.testing.assert_array_equal(again.track_offsets, tokens.track_offsets)
    np.testing.assert_array_equal(again.track_rows, tokens.track_rows)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("boxes", np.array([[0, 0, 2, 1]] * 6, np.float32)),
        ("boxes", np.zeros((5, 4), np.float32)),
        ("embeddings", np.zeros((6, 4), np.float64)),
        ("embeddings", np.zeros((6, 3), np.float32)),
        ("pts", np.array([[5, 4]] * 6)),
        ("track_offsets", np.zeros(7, np.int64)),
    ],
)
def test_columns_that_do_not_fit_are_refused(column: str, value: np.ndarray) -> None:
    tokens = make_tokens()
    columns = {name: getattr(tokens, name) for name in tokens.__dataclass_fields__}
    with pytest.raises(OptionError):
        Tokens(**columns | {column: value})


def test_seconds_are_ticks_times_the_time_base() -> None:
    tokens = make_tokens()
    assert tokens.start_s[3] == 0.3
    assert tokens.end_s[3] == 0.35
    start, end = tokens.time(3)
    assert (start * 1000, end * 1000) == (300, 350)
