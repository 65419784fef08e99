"""Outlines follow the colours that set a thing apart, and boxes follow outlines."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.track.outline import (
    MIN_AREA,
    alike,
    area_px,
    box_of,
    cells,
    histogram,
    likelihood,
    overlap,
    refine,
)

HEIGHT, WIDTH = 90, 160
BINS = 12**3


def test_a_cell_is_a_twelfth_of_light_and_of_the_middle_half_of_both_colours() -> None:
    lab = np.array([[[0, 0, 0], [255, 255, 255], [22, 64, 75], [128, 127, 128]]], np.uint8)
    want = [0, 11 * 144 + 11 * 12 + 11, 1 * 144 + 0 + 1, 6 * 144 + 5 * 12 + 6]
    assert cells(lab)[0].tolist() == want


def test_colours_are_shares_smoothed_by_a_bin() -> None:
    inner = 5 * 144 + 6 * 12 + 7
    cube = histogram(np.array([[inner]]), np.ones((1, 1), np.float32)).reshape(12, 12, 12)
    beside = np.array([0.25, 0.5, 0.25])
    want = beside[:, None, None] * beside[:, None] * beside
    np.testing.assert_allclose(cube[4:7, 5:8, 6:9], want, rtol=1e-5)
    assert cube.sum() == pytest.approx(1)


def test_a_colour_on_the_edge_of_a_bin_stays_the_same_colour() -> None:
    # One level of L more, and every pixel is in the next bin.
    one, next_ = (cells(np.full((3, 3, 3), (level, 128, 128), np.uint8)) for level in (127, 128))
    assert one[0, 0] != next_[0, 0]
    weights = np.ones((3, 3), np.float32)
    assert alike(histogram(one, weights), histogram(next_, weights)) > 0.6


def test_colours_of_nothing_are_no_colours() -> None:
    assert histogram(np.zeros((2, 2), np.int64), np.zeros((2, 2), np.float32)).sum() == 0


def test_alike_is_one_for_the_same_colours_and_nothing_for_others() -> None:
    a, b = np.zeros(BINS, np.float32), np.zeros(BINS, np.float32)
    a[3], b[900] = 1, 1
    assert (alike(a, a), alike(a, b)) == (1, 0)
    assert alike(a, (a + b) / 2) == pytest.approx(0.5**0.5)


def test_likelihood_is_the_ratio_of_squares() -> None:
    inside, outside = np.zeros(BINS, np.float32), np.zeros(BINS, np.float32)
    inside[1], outside[1], inside[2], outside[3] = 0.2, 0.1, 0.1, 0.1
    got = likelihood(inside, outside, np.array([[1, 2, 3, 4]]))[0]
    np.testing.assert_allclose(got, [0.8, 1, 0, 0.5], atol=1e-2)
    # A trace of a colour, of which there is none outside, is no evidence yet.
    inside[5] = 1e-5
    assert likelihood(inside, outside, np.array([[5]]))[0, 0] < 0.6


GROUND, THING, OTHER = 40, 900, 1300
"""Cells of three colours."""


def picture(*things: tuple[tuple[int, int, int, int], int]) -> np.ndarray:
    """[height, width] cells: boxes (x0, y0, x1, y1) of a colour on the ground."""
    bins = np.full((HEIGHT, WIDTH), GROUND, np.int64)
    for (x0, y0, x1, y1), colour in things:
        bins[y0:y1, x0:x1] = colour
    return bins


def box_map(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[y0:y1, x0:x1] = 1
    return mask


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    a, b = mask > 0.5, truth > 0.5
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("spill", [2, 4, 5])
def test_a_region_that_spills_over_is_drawn_to_the_thing(spill: int) -> None:
    truth = box_map(60, 30, 84, 54)
    mask = box_map(60 - spill, 30 - spill, 84 + spill, 54 + spill)
    drawn = refine(mask, picture(((60, 30, 84, 54), THING)))
    assert iou(drawn, truth) > 0.9


def test_the_ring_is_wider_around_a_larger_region() -> None:
    # A ring of 4 px would be mostly of the thing, and its colours those of the ground.
    drawn = refine(box_map(40, 20, 80, 60), picture(((37, 17, 83, 63), THING)))
    assert iou(drawn, box_map(37, 17, 83, 63)) > 0.95


def test_the_ring_of_a_small_region_is_3_px_wide() -> None:
    # A ring of one pixel, which is 0.35 of its side, would be of the thing alone.
    drawn = refine(box_map(60, 40, 65, 45), picture(((59, 39, 66, 46), THING)))
    assert iou(drawn, box_map(59, 39, 66, 46)) > 0.9


def test_the_ring_of_a_large_region_is_15_px_wide() -> None:
    # 0.35 of its side would reach another thing of the same colours.
    truth = (20, 10, 90, 80)
    drawn = refine(box_map(*truth), picture((truth, THING), ((106, 0, 160, 90), THING)))
    assert iou(drawn, box_map(*truth)) > 0.95


def test_known_colours_are_looked_for_four_px_around() -> None:
    colours = np.zeros(BINS, np.float32)
    colours[THING] = 1
    bins = picture(((60, 30, 100, 54), THING))
    drawn = refine(box_map(60, 30, 84, 54), bins, colours)
    columns = np.flatnonzero((drawn > 0.5).any(0))
    # Twice: as far as a map is off after a step, and not after a thing of the same colours.
    assert columns[0] == 60
    assert 84 + 4 <= columns[-1] + 1 <= 84 + 2 * 4


def test_known_colours_keep_a_thing_from_what_it_passes() -> None:
    colours = np.zeros(BINS, np.float32)
    colours[THING] = 1
    bins = picture(((60, 30, 84, 54), THING), ((84, 30, 108, 54), OTHER))
    drawn = refine(box_map(64, 30, 92, 54), bins, colours)
    assert iou(drawn, box_map(60, 30, 84, 54)) > 0.85


def test_where_colours_say_nothing_the_place_decides() -> None:
    # The right half of the thing, half of its area, has a colour that half of its ring has too.
    truth = (60, 30, 84, 54)
    beside = [((84, 22, 92, 62), OTHER), ((60, 54, 84, 62), OTHER)]
    bins = picture((truth, THING), ((72, 30, 84, 54), OTHER), *beside)
    assert iou(refine(box_map(*truth), bins), box_map(*truth)) > 0.9


def test_where_nothing_sets_it_apart_the_region_stays_as_it_is() -> None:
    mask, bins = box_map(60, 30, 84, 54), picture()
    colours = np.zeros(BINS, np.float32)
    colours[THING] = 1
    assert refine(mask, bins, colours) is mask
    # Of its own colours alone, a region on ground of the same colours keeps its place.
    assert iou(refine(mask, bins), mask) > 0.5


@pytest.mark.parametrize(("side", "stays"), [(6, True), (10, False)])
def test_where_less_than_15_percent_are_left_the_region_stays(side: int, stays: bool) -> None:
    colours = np.zeros(BINS, np.float32)
    colours[THING] = 1
    mask = box_map(60, 30, 80, 50)
    left = picture(((65, 35, 65 + side, 35 + side), THING))
    assert (refine(mask, left, colours) is mask) == stays


def test_an_empty_map_stays_empty() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    assert refine(mask, picture()) is mask


@given(st.integers(0, 2**31), st.booleans())
def test_work_is_cut_to_what_counts_and_gives_the_same(seed: int, known: bool) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(2, 100), rng.integers(2, 60)
    w, h = rng.integers(6, 50), rng.integers(6, 28)
    bins = picture(((x - 2, y - 2, x + w, y + h), THING), ((x + w, y, x + w + 9, y + h), OTHER))
    mask = cv2.GaussianBlur(box_map(x, y, x + w, y + h), (5, 5), 0)
    # Traces elsewhere are nothing.
    mask[mask < 0.02] = 0
    colours = histogram(bins, mask) if known else None
    # A spot in the far corner makes the work that of the whole picture; it has no share in it.
    whole = mask.copy()
    whole[-1, -1] = whole[0, 0] = 0.03
    got, want = refine(mask, bins, colours), refine(whole, bins, colours)
    near = cv2.dilate(mask, np.ones((41, 41), np.uint8)) > 0
    assert abs(((got > 0.5) ^ (want > 0.5))[near].mean()) < 0.02
    assert not got[~near].any()


def test_a_box_leaves_thin_ends_out() -> None:
    mask = box_map(60, 30, 100, 70)
    mask[50, 20:60] = 1  # a whisker of 40 px, 2.4 % of the area
    mask[0:30, 80] = 1
    x0, y0, x1, y1 = box_of(mask) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    # A hundredth of 1,670 px is left out on each side.
    assert (x0, y0) == pytest.approx((36, 16))
    assert (x1, y1) == pytest.approx((100, 70))


def test_a_box_without_ends_is_tight() -> None:
    np.testing.assert_allclose(
        box_of(box_map(60, 30, 100, 70)), [60 / 160, 30 / 90, 100 / 160, 70 / 90], rtol=1e-6
    )


@pytest.mark.parametrize("other", [(10, 10, 20, 20), (100, 70, 110, 80)])
def test_a_box_is_of_the_largest_part(other: tuple[int, int, int, int]) -> None:
    mask = np.maximum(box_map(*other), box_map(60, 30, 80, 50))
    np.testing.assert_allclose(box_of(mask), [60 / 160, 30 / 90, 80 / 160, 50 / 90], rtol=1e-6)


def test_what_is_too_small_has_no_box() -> None:
    least = MIN_AREA * HEIGHT * WIDTH / 2  # 8.64 px
    assert box_of(box_map(10, 10, 14, 12)) is None
    assert box_of(box_map(10, 10, 13, 13)) is not None
    assert 8 < least < 9
    assert box_of(np.zeros((HEIGHT, WIDTH), np.float32)) is None


def test_the_smallest_region_is_about_four_px_square() -> None:
    assert 4**2 < MIN_AREA * HEIGHT * WIDTH < 4.5**2


def test_area_counts_what_is_above_a_half() -> None:
    assert area_px(np.float32([[0.5, 0.51, 1, 0]])) == 2


def test_overlap_of_boxes() -> None:
    a, b = np.float32([0, 0, 0.4, 0.2]), np.float32([0.2, 0, 0.6, 0.2])
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, np.float32([0.5, 0, 0.6, 0.2])) == 0
    assert overlap(a, np.float32([0, 0.3, 0.4, 0.5])) == 0
    assert overlap(a, a) == pytest.approx(1)
    # Beside each other on both axes: a product of two negatives is no overlap.
    assert overlap(a, np.float32([0.5, 0.5, 0.6, 0.6])) == 0
