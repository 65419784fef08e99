"""Each rule of the classical segmenter on an input small enough to say what it should give."""

import heapq
from collections import defaultdict

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal import segment
from seal.config import ClassicalSegment
from seal.segment.classical import (
    _bins,
    _boxes,
    _edge,
    _features,
    _Graph,
    _graph,
    _hierarchy,
    _lab,
    _merge_borders,
    _proposals,
    _saliency,
    _score,
    _superpixels,
)
from seal.types import pairwise_iou

CELL = 10
"""Superpixels of the graphs made here are squares of so many pixels a side."""


def checkers(levels: np.ndarray, strength: float = 1.0) -> _Graph:
    """A picture of square superpixels whose L is given [rows, columns].

    The edge between two neighbours is `strength` times their difference in L.
    """
    rows, columns = levels.shape
    n = levels.size
    numbers = np.arange(n).reshape(rows, columns)
    labels = numbers.repeat(CELL, 0).repeat(CELL, 1)
    area = np.full(n, CELL**2, np.float32)
    colour = np.zeros((n, 4), np.float32)
    colour[:, 0] = levels.ravel() * CELL**2
    histogram = np.zeros((n, 48), np.float32)
    histogram[np.arange(n), (levels.ravel() * 0.12).astype(int).clip(0, 11)] = CELL**2
    histogram[:, 12::12] = CELL**2
    rim = np.bincount(
        np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]), minlength=n
    )
    beside = [(numbers[:, :-1], numbers[:, 1:]), (numbers[:-1], numbers[1:])]
    ends = np.concatenate([np.stack([a.ravel(), b.ravel()], 1) for a, b in beside])
    ends = ends[np.lexsort(ends.T[::-1])]
    length = np.full(len(ends), CELL, np.float32)
    flat = levels.ravel()
    edge = (length * strength * abs(flat[ends[:, 0]] - flat[ends[:, 1]])).astype(np.float32)
    return _Graph(labels, area, colour, histogram, rim.astype(np.float32), ends, length, edge)


FIGURE = np.zeros((6, 8))
FIGURE[2:4, 3:5] = 30.0


def region(graph: _Graph, rows: slice, columns: slice) -> np.ndarray:
    """[1, n] the superpixels in these rows and columns of squares."""
    chosen = np.zeros((graph.labels.shape[0] // CELL, graph.labels.shape[1] // CELL), bool)
    chosen[rows, columns] = True
    return chosen.reshape(1, -1)


def score(box: tuple[float, float, float, float], levels: np.ndarray = FIGURE) -> float:
    """The score of the middle four squares, had they this box."""
    graph = checkers(levels)
    members = region(graph, slice(2, 4), slice(3, 5))
    return float(_score(graph, members, np.array([box], np.float32))[0])


# Smaller than the four squares, so that they fill it.
CENTRED = (0.45, 0.45, 0.55, 0.55)


def test_a_figure_with_all_the_saliency_scores_by_its_area() -> None:
    # It holds all saliency, fills its box, lies in the middle, and has the only contour there is.
    assert score(CENTRED) == pytest.approx(1 / (1 + 2 * 4 / 48))


@pytest.mark.parametrize("step", [0.1, 0.2])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_region_off_the_centre_scores_less(step: float, axis: int) -> None:
    box = np.array(CENTRED)
    box[[axis, axis + 2]] += step
    factor = np.exp(-(step**2) / (2 * 0.5**2))
    assert score(tuple(box)) / score(CENTRED) == pytest.approx(factor, rel=1e-5)


@pytest.mark.parametrize(
    ("box", "sides"),
    [((0, 0.49, 1, 0.51), 2), ((0.49, 0, 0.51, 1), 2), ((0.0, 0.0, 1.0, 1.0), 4)],
)
def test_a_region_cut_by_the_rim_scores_less_for_every_side(box: tuple, sides: int) -> None:
    # Boxes of the same middle and size that stop just short of the rim.
    shy = tuple(min(max(edge, 1e-6), 1 - 1e-6) for edge in box)
    assert score(box) / score(shy) == pytest.approx(1 - 0.2 * sides, rel=1e-3)


def test_a_thing_ranks_before_itself_with_the_ground_up_to_the_rim() -> None:
    graph = checkers(FIGURE)
    members = np.concatenate(
        [region(graph, slice(2, 4), slice(3, 5)), region(graph, slice(0, 4), slice(3, 5))]
    )
    thing, cut = _score(graph, members, _boxes(graph, members))
    assert thing > 1.5 * cut


def test_a_region_that_leaves_its_box_empty_scores_less() -> None:
    # A twelfth of the picture in a box of a third: a quarter is filled.
    wide = (0.0 + 1 / 6, 0.25, 1 - 1 / 6, 0.75)
    assert score(wide) / score(CENTRED) == pytest.approx(0.25**0.3, rel=1e-5)


@pytest.mark.parametrize("strength", [5.0, 10.0, 19.0, 30.0])
def test_a_contour_no_stronger_than_usual_scores_less(strength: float) -> None:
    graph = checkers(FIGURE)
    figure = region(graph, slice(2, 4), slice(3, 5))
    crossed = figure[0][graph.ends].sum(1) == 1
    # Everything else in the picture has edges of 10 as well.
    graph.edge[:] = graph.length * np.where(crossed, strength, 10)
    usual = (8 * strength + 74 * 10) / 82
    saliency = _saliency(graph)
    expected = saliency[figure[0]].sum() / saliency.sum() / (1 + 2 * 4 / 48)
    expected *= min(strength / (2 * usual), 1) ** 0.6
    got = _score(graph, figure, np.array([CENTRED], np.float32))
    assert got[0] == pytest.approx(expected, rel=1e-5)


def test_contours_that_nobody_sees_are_none() -> None:
    faint, seen = FIGURE / 30 * 2.2, FIGURE / 30 * 2.4
    assert score(CENTRED, faint) == 0
    assert score(CENTRED, seen) > 0.5


def test_a_picture_without_contrast_has_no_scores() -> None:
    assert score(CENTRED, np.zeros((6, 8))) == 0


levels = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).integers(0, 60, (4, 5)).astype(float)
)


@given(levels)
def test_saliency_is_the_cheapest_way_to_the_rim(picture: np.ndarray) -> None:
    graph = checkers(picture, strength=0.5)
    flat = picture.ravel()
    ways = defaultdict(list)
    for a, b in graph.ends.tolist():
        apart = abs(flat[a] - flat[b])
        # Less than 4 units of CIE Lab is what one surface varies by.
        cost = max(apart - 4, 0) + 0.5 * apart
        ways[a].append((cost, b))
        ways[b].append((cost, a))
    reached: dict[int, float] = {}
    queue = [(0.0, int(i)) for i in np.flatnonzero(graph.rim)]
    while queue:
        cost, i = heapq.heappop(queue)
        if i not in reached:
            reached[i] = cost
            for step, j in ways[i]:
                heapq.heappush(queue, (cost + step, j))
    want = [reached[i] for i in range(len(flat))]
    np.testing.assert_allclose(_saliency(graph), want, rtol=1e-5, atol=1e-4)


def test_a_smooth_gradient_is_no_figure() -> None:
    # A sky: brightest in the middle, by steps that one surface shows.
    y, x = np.mgrid[:9, :9]
    sky = 3.5 * np.minimum(np.minimum(x, 8 - x), np.minimum(y, 8 - y))
    assert _saliency(checkers(sky, strength=0)).max() == 0


def merged_by_definition(
    graph: _Graph, contour: float, mean: float, distribution: float, size: float
) -> set[frozenset[int]]:
    """The regions of a hierarchy, by merging all that are each other's closest neighbour."""
    total = graph.area.sum()
    regions = [frozenset([i]) for i in range(len(graph.area))]
    found = set(regions)
    while len(regions) > 1:
        costs = {}
        for i, a in enumerate(regions):
            for j, b in enumerate(regions[:i]):
                between = [
                    k
                    for k, (p, q) in enumerate(graph.ends.tolist())
                    if (p in a and q in b) or (p in b and q in a)
                ]
                if not between:
                    continue
                sums = [
                    (graph.area[r].sum(), graph.colour[r].sum(0), graph.histogram[r].sum(0))
                    for r in (list(a), list(b))
                ]
                (area_a, colour_a, bins_a), (area_b, colour_b, bins_b) = sums
                cost = contour * graph.edge[between].sum() / graph.length[between].sum()
                cost += mean * np.linalg.norm(colour_a / area_a - colour_b / area_b)
                shared = np.sqrt(bins_a / bins_a.sum() * (bins_b / bins_b.sum())).sum()
                cost += distribution * np.sqrt(max(1 - shared, 0))
                costs[j, i] = cost * (min(area_a, area_b) / total) ** size
        closest = {
            r: min((cost, pair) for pair, cost in costs.items() if r in pair)[1]
            for r in range(len(regions))
        }
        pairs = {pair for pair in closest.values() if all(closest[r] == pair for r in pair)}
        if len(regions) <= 30:
            found |= {regions[i] | regions[j] for i, j in costs}
        gone = {r for pair in pairs for r in pair}
        joined = [regions[i] | regions[j] for i, j in pairs]
        regions = [r for k, r in enumerate(regions) if k not in gone] + joined
        found |= set(joined)
    return found


@pytest.mark.parametrize(
    "weights", [(0, 1, 0, 0.5), (0.5, 0, 40, 0.3), (1, 0, 0, 0), (0, 0, 1, 0), (1, 1, 1, 1)]
)
@pytest.mark.parametrize("shape", [(4, 5), (5, 7)])
def test_regions_merge_with_their_closest_neighbours(weights: tuple, shape: tuple) -> None:
    # More than thirty squares at first: pairs are proposed later only.
    rng = np.random.default_rng(7)
    graph = checkers(rng.uniform(0, 100, shape), strength=0.5)
    graph.histogram[:] = rng.uniform(1, 9, graph.histogram.shape)
    got = {frozenset(np.flatnonzero(row).tolist()) for row in _hierarchy(graph, *weights)}
    assert got == merged_by_definition(graph, *weights)


def test_proposals_are_different_regions_of_both_hierarchies() -> None:
    graph = checkers(np.random.default_rng(3).uniform(0, 100, (5, 7)), strength=0.5)
    rows = [frozenset(np.flatnonzero(row).tolist()) for row in _proposals(graph)]
    assert len(set(rows)) == len(rows)
    both = [
        merged_by_definition(graph, *weights) for weights in ((0, 1, 0, 0.5), (0.5, 0, 40, 0.3))
    ]
    assert set(rows) == both[0] | both[1]
    assert both[0] != both[1]


def test_borders_between_the_same_two_add_up() -> None:
    ends = np.array([[0, 1], [1, 0], [2, 2], [1, 2]])
    length, edge = np.float32([1, 2, 4, 8]), np.float32([10, 20, 40, 80])
    got = _merge_borders(ends, length, edge, 3)
    assert [column.tolist() for column in got] == [[[0, 1], [1, 2]], [3, 8], [30, 80]]


@given(levels, st.integers(1, 2**20 - 1))
def test_boxes_are_those_of_the_masks(picture: np.ndarray, bits: int) -> None:
    graph = checkers(picture)
    members = np.array([[bits >> i & 1 for i in range(20)]], bool)
    mask = members[0][graph.labels]
    y, x = np.nonzero(mask)
    height, width = mask.shape
    want = x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height
    np.testing.assert_allclose(_boxes(graph, members)[0], want, rtol=1e-6)


def test_levels_fall_into_twelve_bins_and_those_outside_into_the_last() -> None:
    channel = np.float32([-9, 0, 8, 9, 50, 99.9, 100, 300])
    assert _bins(channel, (0, 100)).tolist() == [0, 0, 0, 1, 6, 11, 11, 11]


def test_chroma_weighs_more_than_light_and_a_flat_picture_has_no_texture() -> None:
    lab = np.full((20, 30, 3), (50, 20, -10), np.float32)
    np.testing.assert_allclose(_features(lab)[5, 7], [50, 30, -15, 0], atol=1e-4)


def test_texture_is_the_strength_of_the_gradient() -> None:
    lab = np.zeros((30, 40, 3), np.float32)
    lab[..., 0] = 2 * np.arange(40)
    # Sobel's kernel weighs a slope of 2 a pixel by 8; light is smoothed, which keeps a slope.
    np.testing.assert_allclose(_features(lab)[10:20, 12:28, 3], 16, rtol=1e-3)


def test_an_edge_is_the_difference_of_the_sides_over_three_radii() -> None:
    rng = np.random.default_rng(2)
    features = rng.uniform(0, 50, (24, 31, 4)).astype(np.float32)
    want = np.zeros((24, 31))
    for r in (1, 3, 6):
        around = np.pad(features, ((r, r), (r, r), (0, 0)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(around, (2 * r + 1,) * 2, (0, 1))
        mean = np.pad(windows.mean((3, 4)), ((r, r), (r, r), (0, 0)), mode="edge")
        dx = mean[r:-r, 2 * r :] - mean[r:-r, : -2 * r]
        dy = mean[2 * r :, r:-r] - mean[: -2 * r, r:-r]
        want += np.sqrt((dx**2 + dy**2).sum(2)) / 3
    np.testing.assert_allclose(_edge(features), want, rtol=1e-3, atol=1e-3)


def test_superpixels_are_as_many_as_cells_and_keep_to_edges() -> None:
    rng = np.random.default_rng(0)
    lab = np.zeros((60, 90, 3), np.float32)
    lab[..., 0] = 40
    y, x = np.mgrid[:60, :90]
    inside = (x - 40) ** 2 + (y - 31) ** 2 < 17**2
    lab[inside, 0] = 70
    lab += rng.normal(0, 1, lab.shape).astype(np.float32)
    labels = _superpixels(lab, _edge(_features(lab)))
    n = 5 * 8  # of 12 x 12 px
    assert sorted(np.unique(labels)) == list(range(n))
    share = np.bincount(labels.ravel(), inside.ravel()) / np.bincount(labels.ravel())
    area = np.bincount(labels.ravel())
    # Hardly a pixel is in a superpixel that is mostly on the other side.
    assert (np.minimum(share, 1 - share) * area).sum() < 0.01 * 60 * 90


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((256, 455), (144, 256)),
        ((720, 405), (256, 144)),
        ((100, 90), (100, 90)),
        ((200, 3000), (34, 512)),
        ((3000, 10), (512, 2)),
    ],
)
def test_regions_are_sought_on_a_small_copy(size: tuple, small: tuple) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert _graph(image).labels.shape == small


def test_colours_in_bytes_are_those_of_lab() -> None:
    image = np.random.default_rng(5).integers(0, 256, (60, 84, 3), np.uint8)
    exact = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    np.testing.assert_allclose(_lab(image), exact, atol=2.2)
    assert abs(_lab(image) - exact).mean() < 0.3


def test_a_graph_measures_its_superpixels() -> None:
    image = np.random.default_rng(5).integers(0, 255, (60, 84, 3), np.uint8)
    graph = _graph(image)
    features = _features(_lab(image))
    labels = graph.labels
    edge = _edge(features)
    rim = np.zeros(labels.shape, bool)
    rim[[0, -1]], rim[:, [0, -1]] = True, True
    for i in range(len(graph.area)):
        mask = labels == i
        assert graph.area[i] == mask.sum()
        np.testing.assert_allclose(graph.colour[i], features[mask].sum(0), rtol=1e-4, atol=1e-2)
        assert (graph.rim[i] > 0) == (mask & rim).any()
        counts = graph.histogram[i].reshape(4, 12)
        for channel, covered in enumerate([(0, 100), (-60, 60), (-60, 60), (0, 60)]):
            want = np.bincount(_bins(features[mask, channel], covered), minlength=12)
            np.testing.assert_array_equal(counts[channel], want)
    borders = defaultdict(list)
    for dy, dx in ((0, 1), (1, 0)):
        for y in range(labels.shape[0] - dy):
            for x in range(labels.shape[1] - dx):
                a, b = labels[y, x], labels[y + dy, x + dx]
                if a != b:
                    strength = max(edge[y, x], edge[y + dy, x + dx])
                    borders[min(a, b), max(a, b)].append(strength)
    assert graph.ends.tolist() == [list(map(int, pair)) for pair in sorted(borders)]
    for k, pair in enumerate(sorted(borders)):
        assert graph.length[k] == len(borders[pair])
        assert graph.edge[k] == pytest.approx(sum(borders[pair]), rel=1e-4)


def busy(things: int, seed: int = 0) -> np.ndarray:
    """Squares of many colours in a grid, further apart than they are wide."""
    rng = np.random.default_rng(seed)
    image = np.full((288, 512, 3), 110, np.uint8)
    for k in range(things):
        y, x = 20 + k // 8 * 62, 16 + k % 8 * 62
        image[y : y + 34, x : x + 34] = rng.integers(0, 256, 3)
    return image


def test_at_most_24_masks_come_and_their_boxes_differ() -> None:
    masks = segment.load(ClassicalSegment()).segment(busy(32))
    assert len(masks) == 24
    overlaps = pairwise_iou(masks.boxes, masks.boxes) - np.eye(24)
    assert overlaps.max() <= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_of_regions_with_overlapping_boxes_the_best_stays(seed: int) -> None:
    # Of the size at which regions are sought, so that masks are whole superpixels.
    image = cv2.resize(busy(8, seed), (256, 144), interpolation=cv2.INTER_AREA)
    graph = _graph(image)
    members = _proposals(graph)
    boxes = _boxes(graph, members)
    score = _score(graph, members, boxes)
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        overlaps = pairwise_iou(boxes[i : i + 1], boxes[kept])
        if score[i] > 0 and len(kept) < 24 and (overlaps <= 0.5).all():
            kept.append(i)
    masks = segment.load(ClassicalSegment()).segment(image)
    np.testing.assert_array_equal(masks.masks, [members[i][graph.labels] for i in kept])
    np.testing.assert_array_equal(masks.stability, score[kept])


def test_features_are_smoothed_by_a_pixel() -> None:
    lab = np.zeros((21, 21, 3), np.float32)
    lab[10, 10, 0] = 100
    # The height of a Gaussian of deviation 1 in two dimensions.
    assert _features(lab)[10, 10, 0] == pytest.approx(100 / (2 * np.pi), rel=0.02)


def test_superpixels_begin_where_a_cell_is_flattest() -> None:
    # Walls a pixel wide, on which the first pixel of each cell lies.
    lab = np.full((48, 72, 3), (60, 0, 0), np.float32)
    lab[::12], lab[:, ::12] = (10, 0, 0), (10, 0, 0)
    labels = _superpixels(lab, _edge(_features(lab)))
    for y in range(0, 48, 12):
        for x in range(0, 72, 12):
            assert len(np.unique(labels[y + 3 : y + 10, x + 3 : x + 10])) == 1


def test_superpixels_keep_to_edges_in_noise() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:144, :256]
    inside = (x // 37 + y // 29) % 2 == 1
    lab = np.zeros((144, 256, 3), np.float32)
    lab[..., 0] = np.where(inside, 62, 50) + rng.normal(0, 4, inside.shape)
    labels = _superpixels(lab, _edge(_features(lab))).ravel()
    area = np.bincount(labels)
    share = np.bincount(labels, inside.ravel()) / area
    # A watershed of the picture as it is loses 8 % to the wrong side, as a smoothed one 3 %.
    assert (np.minimum(share, 1 - share) * area).sum() < 0.04 * inside.size
