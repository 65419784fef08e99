"""Masks by classical vision: trees of regions, ranked by how much they stand out.

1. Watershed superpixels of a small copy of the picture and the graph of their borders. 2. Two
hierarchies of regions are made, by colour and by colour distribution (Uijlings et al. 2013,
Selective
   Search, section 3: several similarities find different objects). Further regions are the pairs of
   neighbours on their upper levels (Arbelaez et al. 2014, Multiscale Combinatorial Grouping: things
   of several parts, such as a rider on a horse).
3. A saliency per superpixel: what cannot be reached from the picture's rim without crossing
   contrast is figure (Wei et al. 2012, geodesic saliency).
4. Each region gets a score from saliency, contour and shape. Where boxes of regions overlap, the
   best region stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seal.config import ClassicalSegment
from seal.scaling import scaled
from seal.segment import Masks, Segmenter
from seal.types import Float32, Int64, UInt8, pairwise_iou

# Regions are sought on a copy of this short side: finer detail slows down and does not help boxes.
_SHORT_SIDE_PX = 144
_LONGEST_SIDE_PX = 512
# Distance of the superpixels' seeds: about 220 in a 16:9 picture, and the smallest thing found.
_CELL_PX = 12
# Weights of contour, mean colour and colour distribution in the cost of a merge, and the exponent
# of the smaller region's share of the picture: above 0 small regions merge early.
_SIMILARITIES = ((0.0, 1.0, 0.0, 0.5), (0.5, 0.0, 40.0, 0.3))
# Pairs of neighbours are proposed once a hierarchy has merged to so many regions.
_PAIRS_BELOW = 30
# Lab in bytes: their units, and where a and b are 0.
_UNITS, _ZERO = np.array([[100 / 255, 1, 1], [0, 128, 128]], np.float32)
_BINS = 12
# What the bins cover: L, a, b and texture, in the units of `_features`.
_RANGES = ((0, 100), (-60, 60), (-60, 60), (0, 60))
# Contours weaker than this on average are none: a just noticeable difference in CIE Lab.
_LEAST_CONTRAST = 2.3
# Crossing a border costs its edge strength and its difference in colour, less the variation that
# one surface has. Without that allowance cost adds up over wide smooth gradients such as a sky.
_SURFACE_VARIATION = 4.0
# How a region's share of the saliency is discounted for its shape (`_score`). Round values from a
# coarse search on DAVIS; around them recall changes by a few hundredths.
_CENTRE_SIGMA = 0.5
_SIDE_DISCOUNT = 0.2
_CONTOUR_POWER = 0.6
_FILL_POWER = 0.3
_MOST_MASKS = 24
# Boxes that overlap more show the same thing, by the usual criterion for a detection.
_DUPLICATE_IOU = 0.5


@dataclass(frozen=True, eq=False)
class _Graph:
    """Superpixels and the borders between neighbours."""

    labels: Int64
    """[h, w] the superpixel of each pixel, 0 to n - 1."""
    area: Float32
    """[n] pixels."""
    colour: Float32
    """[n, 4] sums of L, a, b and texture over the pixels."""
    histogram: Float32
    """[n, 4 * bins] pixel counts."""
    rim: Float32
    """[n] pixels on the picture's rim."""
    ends: Int64
    """[m, 2] the two superpixels of each border."""
    length: Float32
    """[m] pixels."""
    edge: Float32
    """[m] sum of the edge strength over the border's pixels."""


class ClassicalSegmenter(Segmenter):
    """Regions that hold together in colour and texture and stand out from the picture's rim.

    `stability` is the share of the picture's saliency that a region holds for its size, less where
    contours are weak (`_score`). A region that stands out firmly is found whatever the threshold.
    """

    fingerprint = "classical-3"

    def __init__(self, options: ClassicalSegment) -> None:
        del options  # It has none; every segmenter is made from its options.

    def segment(self, image: UInt8) -> Masks:
        """See `Segmenter.segment`."""
        graph = _graph(image)
        members = _proposals(graph)
        boxes = _boxes(graph, members)
        score = _score(graph, members, boxes)
        left = np.argsort(-score, kind="stable")[: np.count_nonzero(score)]
        kept: list[int] = []
        while len(left) and len(kept) < _MOST_MASKS:
            kept.append(left[0])
            left = left[pairwise_iou(boxes[left[:1]], boxes[left])[0] <= _DUPLICATE_IOU]
        masks = np.empty((len(kept), *image.shape[:2]), bool)
        # Eight regions, as the bits of a byte, are enlarged at once.
        for i, bits in enumerate(np.packbits(members[kept], axis=0, bitorder="little")):
            small = bits[graph.labels]
            large = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            for k, mask in enumerate(masks[8 * i : 8 * (i + 1)]):
                np.not_equal(large & np.uint8(1 << k), 0, out=mask)
        return Masks.of(masks, score[kept])


def _graph(image: UInt8) -> _Graph:
    height, width = image.shape[:2]
    scale = min(1.0, _SHORT_SIDE_PX / min(height, width), _LONGEST_SIDE_PX / max(height, width))
    small = scaled(image, max(1, round(width * scale)), max(1, round(height * scale)))
    lab = _lab(small)
    features = _features(lab)
    edge = _edge(features)
    labels = _superpixels(lab, edge)
    n, flat = int(labels.max()) + 1, labels.ravel()
    area = np.bincount(flat, minlength=n)
    channels = cv2.split(features)
    colour = np.stack([np.bincount(flat, channel.ravel(), minlength=n) for channel in channels], 1)
    first = labels * _BINS
    histogram = np.concatenate(
        [
            np.bincount((first + bins).ravel(), minlength=n * _BINS).reshape(n, -1)
            for bins in map(_bins, channels, _RANGES)
        ],
        1,
    )
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    pairs, strengths = [], []
    for a, b in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
    ):
        differ = labels[a] != labels[b]
        pairs.append(np.stack([labels[a][differ], labels[b][differ]], 1))
        strengths.append(np.maximum(edge[a], edge[b])[differ])
    strength = np.concatenate(strengths)
    ends, length, total = _merge_borders(np.concatenate(pairs), np.ones_like(strength), strength, n)
    return _Graph(
        labels,
        area.astype(np.float32),
        colour.astype(np.float32),
        histogram.astype(np.float32),
        np.bincount(rim, minlength=n).astype(np.float32),
        ends,
        length,
        total,
    )


def _lab(image: UInt8) -> Float32:
    """[h, w, 3] L in [0, 100], a and b. Converted in bytes, whose steps the smoothing that follows
    averages out: in floats it takes twenty times as long."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2Lab) * _UNITS - _ZERO, np.float32)


def _bins(channel: Float32, covered: tuple[int, int]) -> Int64:
    low, high = covered
    bins = (channel - np.float32(low)) * np.float32(_BINS / (high - low))
    return np.asarray(np.clip(bins, 0, _BINS - 1), np.int64)


def _merge_borders(
    ends: Int64, length: Float32, edge: Float32, n: int
) -> tuple[Int64, Float32, Float32]:
    """Borders between the same two of n regions become one; those inside a region vanish."""
    outer = ends[:, 0] != ends[:, 1]
    i, j = ends[outer].T
    low, high = np.minimum(i, j), np.maximum(i, j)
    # A table of all pairs is small beside sorting.
    sums = [np.bincount(low * n + high, values[outer], n * n) for values in (length, edge)]
    pairs = np.flatnonzero(sums[0])
    merged = [values[pairs].astype(np.float32) for values in sums]
    return np.stack(np.divmod(pairs, n), 1), merged[0], merged[1]


def _features(lab: Float32) -> Float32:
    """[h, w, 4]: smoothed L, a, b and the local strength of the gradient, in units of L."""
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.0)
    light, a, b = cv2.split(smooth)
    dx, dy = cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)
    # The running sums of a box filter can end a little below zero where the picture is flat.
    texture = np.sqrt(np.maximum(cv2.blur(dx * dx + dy * dy, (7, 7)), 0))
    # Chroma tells things apart more reliably than light, which shadows change.
    return np.dstack([light, a * np.float32(1.5), b * np.float32(1.5), texture])


def _edge(features: Float32) -> Float32:
    """[h, w] how much the means on both sides of a pixel differ, averaged over three radii."""
    edge = np.zeros(features.shape[:2], np.float32)
    for r in (1, 3, 6):
        mean = cv2.blur(features, (2 * r + 1, 2 * r + 1))
        padded = cv2.copyMakeBorder(mean, r, r, r, r, cv2.BORDER_REPLICATE)
        dx = padded[r:-r, 2 * r :] - padded[r:-r, : -2 * r]
        dy = padded[2 * r :, r:-r] - padded[: -2 * r, r:-r]
        square = np.square(dx, out=dx)
        square += np.square(dy, out=dy)
        edge += np.sqrt(cv2.transform(square, np.ones((1, 4), np.float32))) / 3
    return edge


def _superpixels(lab: Float32, edge: Float32) -> Int64:
    """[h, w] labels 0 to n - 1: a watershed from the flattest pixel of every cell of a grid."""
    height, width = edge.shape
    rows, columns = -(-height // _CELL_PX), -(-width // _CELL_PX)
    padded = np.full((rows * _CELL_PX, columns * _CELL_PX), np.inf, np.float32)
    padded[:height, :width] = edge
    cells = padded.reshape(rows, _CELL_PX, columns, _CELL_PX).transpose(0, 2, 1, 3)
    dy, dx = np.divmod(cells.reshape(rows, columns, -1).argmin(2), _CELL_PX)
    y, x = dy + np.arange(rows)[:, None] * _CELL_PX, dx + np.arange(columns) * _CELL_PX
    # One pixel more on each side: OpenCV takes the outermost ones for lines, seeds included.
    markers = np.zeros((height + 2, width + 2), np.int32)
    markers[y + 1, x + 1] = np.arange(1, rows * columns + 1).reshape(rows, columns)
    scale, offset = np.array([[2.55, 2, 2], [0, 128, 128]], np.float32)
    picture = cv2.GaussianBlur(lab, (0, 0), 0.7) * scale + offset
    padded = cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    cv2.watershed(np.clip(padded, 0, 255).astype(np.uint8), markers)
    # The watershed leaves lines unlabelled: they go to a neighbour.
    labels = np.maximum(markers[1:-1, 1:-1], 0).astype(np.float32)
    while (labels == 0).any():
        labels = np.where(labels == 0, cv2.dilate(labels, np.ones((3, 3))), labels)
    index = labels.astype(np.int64)
    used: Int64 = np.cumsum(np.bincount(index.ravel()) > 0) - 1
    return used[index]


def _proposals(graph: _Graph) -> NDArray[np.bool_]:
    """[r, n] different regions as sets of superpixels."""
    members = np.concatenate([_hierarchy(graph, *weights) for weights in _SIMILARITIES])
    packed = np.packbits(members, axis=1)
    keys = packed.view(f"V{packed.shape[1]}").ravel()
    return members[np.sort(np.unique(keys, return_index=True)[1])]


def _hierarchy(
    graph: _Graph, contour: float, mean: float, distribution: float, size: float
) -> NDArray[np.bool_]:
    """[r, n] regions merged bottom-up, and pairs of neighbours on the upper levels.

    In each round all regions merge that are each other's closest neighbour, which gives the tree
    of one merge at a time wherever a merge brings no neighbour closer.
    """
    members = np.eye(len(graph.area), dtype=bool)
    found = [members.copy()]
    area, colour, histogram = graph.area.copy(), graph.colour.copy(), graph.histogram.copy()
    ends, length, edge = graph.ends, graph.length, graph.edge
    while len(area) > 1:
        i, j = ends.T
        cost = contour * edge / length
        if mean:
            centre = colour / area[:, None]
            cost += mean * _distances(centre[i], centre[j])
        if distribution:
            root = np.sqrt(histogram / histogram.sum(1, keepdims=True))
            overlap = np.einsum("nd,nd->n", root[i], root[j])
            cost += distribution * np.sqrt(np.maximum(1 - overlap, 0))
        cost *= (np.minimum(area[i], area[j]) / graph.area.sum()) ** size
        # Equal costs rank in the order of the borders, so that every round merges something.
        rank = np.empty(len(cost), np.int64)
        rank[np.argsort(cost, kind="stable")] = np.arange(len(cost))
        closest = np.full(len(area), len(cost))
        np.minimum.at(closest, i, rank)
        np.minimum.at(closest, j, rank)
        merging = (closest[i] == rank) & (closest[j] == rank)
        if len(area) <= _PAIRS_BELOW:
            found.append(members[i] | members[j])
        a, b = i[merging], j[merging]
        stays = np.ones(len(area), bool)
        stays[b] = False
        kept, new = np.flatnonzero(stays), np.cumsum(stays) - 1
        new[b] = new[a]
        members[a] |= members[b]
        found.append(members[a])
        for sums in (area, colour, histogram):
            sums[a] += sums[b]
        members, area, colour, histogram = (x[kept] for x in (members, area, colour, histogram))
        ends, length, edge = _merge_borders(new[ends], length, edge, len(kept))
    return np.concatenate(found)


def _distances(a: Float32, b: Float32) -> Float32:
    """[n] of the rows of two [n, d] to each other."""
    apart = a - b
    # Many short rows: NumPy's own sums take them one by one.
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", apart, apart)), np.float32)


def _saliency(graph: _Graph) -> Float32:
    """[n] the cheapest way from each superpixel to the picture's rim (Bellman-Ford)."""
    i, j = graph.ends.T
    centre = graph.colour / graph.area[:, None]
    difference = _distances(centre[i], centre[j])
    cost = np.maximum(difference - _SURFACE_VARIATION, 0) + graph.edge / graph.length
    distance = np.where(graph.rim > 0, np.float32(0), np.float32(np.inf))
    while True:
        shorter = distance.copy()
        np.minimum.at(shorter, i, distance[j] + cost)
        np.minimum.at(shorter, j, distance[i] + cost)
        if np.array_equal(shorter, distance):
            return distance
        distance = shorter


def _score(graph: _Graph, members: NDArray[np.bool_], boxes: Float32) -> Float32:
    """[r] in [0, 1]: how much each region looks like a thing; 0 for no contour or no saliency.

    The share of the picture's saliency inside, over 1 + 2 * the share of its area (a weighted Dice
    coefficient up to a factor). The result is multiplied by discounts for regions off the centre,
    cut by the rim, with a contour no stronger than usual in this picture. Regions that leave their
    box empty are discounted as well.
    """
    inside = members.astype(np.float32)
    i, j = graph.ends.T
    crossed = (members[:, i] ^ members[:, j]).astype(np.float32)
    contour = crossed @ graph.edge / np.maximum(crossed @ graph.length, 1)
    usual = graph.edge.sum() / max(graph.length.sum(), 1)
    saliency = _saliency(graph) * graph.area
    share = inside @ saliency / max(saliency.sum(), 1e-6)
    area = inside @ graph.area / graph.area.sum()
    sizes = boxes[:, 2:] - boxes[:, :2]
    off_centre = ((boxes[:, :2] + boxes[:, 2:] - 1) ** 2).sum(1) / 4
    sides = (boxes[:, :2] == 0).sum(1) + (boxes[:, 2:] == 1).sum(1)
    score = (
        share
        / (1 + 2 * area)
        * np.exp(-off_centre / (2 * _CENTRE_SIGMA**2))
        * (1 - _SIDE_DISCOUNT * sides)
        * np.minimum(contour / max(2 * usual, 1e-6), 1) ** _CONTOUR_POWER
        * np.minimum(area / sizes.prod(1), 1) ** _FILL_POWER
    )
    return np.where(contour >= _LEAST_CONTRAST, score, 0).astype(np.float32)


def _boxes(graph: _Graph, members: NDArray[np.bool_]) -> Float32:
    """[r, 4] normalised x0 y0 x1 y1 of regions, from those of their superpixels."""
    height, width = graph.labels.shape
    n = members.shape[1]
    corners = []
    for values, size in ((np.arange(width), width), (np.arange(height)[:, None], height)):
        reached = np.zeros((n, size), bool)
        reached[graph.labels, values] = True
        # Short numbers, for there are many: a row for each region.
        low = reached.argmax(1).astype(np.int16)
        high = (size - reached[:, ::-1].argmax(1)).astype(np.int16)
        corners.append(np.where(members, low, np.int16(size)).min(1) / size)
        corners.append(np.where(members, high, np.int16(0)).max(1) / size)
    return np.stack([corners[k] for k in (0, 2, 1, 3)], 1).astype(np.float32)
