"""Which masks become tokens, and what the classical segmenter finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seal.config import ObjectOptions
from seal.decompose.objects import keep
from seal.segment import Masks
from seal.types import pairwise_iou


@st.composite
def some_masks(draw: st.DrawFn) -> Masks:
    """Rectangles on an 8 x 8 grid: small enough that duplicates, ties and misfits are common."""
    grid = st.integers(0, 8)
    rows = draw(st.lists(st.tuples(grid, grid, grid, grid, st.integers(0, 4)), max_size=12))
    masks = np.zeros((len(rows), 8, 8), bool)
    boxes = np.zeros((len(rows), 4), np.float32)
    for i, (a, b, c, d, _) in enumerate(rows):
        x0, x1, y0, y1 = min(a, c), max(a, c), min(b, d), max(b, d)
        masks[i, y0:y1, x0:x1] = True
        boxes[i] = np.array([x0, y0, x1, y1]) / 8
    stability = np.array([row[4] / 4 for row in rows], np.float32)
    return Masks(masks, boxes, masks.mean((1, 2), dtype=np.float32), stability)


options = st.builds(
    ObjectOptions,
    max_per_keyframe=st.integers(1, 6),
    min_area=st.sampled_from([0.0, 0.05, 0.2]),
    max_area=st.sampled_from([0.5, 1.0]),
    duplicate_iou=st.sampled_from([0.3, 0.8, 1.0]),
)


@given(some_masks(), options)
def test_keep_is_greedy_in_order_of_stability(masks: Masks, options: ObjectOptions) -> None:
    chosen: list[int] = []
    for i in sorted(range(len(masks)), key=lambda i: (-masks.stability[i], i)):
        fits = options.min_area <= masks.areas[i] <= options.max_area
        new = all(
            pairwise_iou(masks.boxes[[i]], masks.boxes[[j]])[0, 0] <= options.duplicate_iou
            for j in chosen
        )
        if fits and new and len(chosen) < options.max_per_keyframe:
            chosen.append(i)
    kept = keep(masks, options)
    for name in ("masks", "boxes", "areas", "stability"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(masks, name)[chosen])


@given(some_masks(), options)
def test_keeping_twice_changes_nothing(masks: Masks, options: ObjectOptions) -> None:
    once = keep(masks, options)
    twice = keep(once, options)
    np.testing.assert_array_equal(once.boxes, twice.boxes)
