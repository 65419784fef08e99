"""What every segmenter promises, checked on every segmenter of the table of back ends."""

from typing import Any

import cv2
import numpy as np
import pytest

from seal import backends
from seal.config import Sam2Segment, Sam3Segment, SamSegment
from seal.segment import Masks, Segmenter, load, mask_boxes
from seal.types import UInt8
from tiny_detectors import Shapes

TINY = {"sam": SamSegment, "sam2": Sam2Segment, "sam3": Sam3Segment}
"""Those that run transformers networks, here tiny ones with random weights."""

# With chroma at half size, the smallest picture that a codec knows is 2x2.
SIZES = [(120, 160), (160, 120), (16, 16), (2, 2), (3, 90), (90, 3), (16, 640), (270, 480)]


def scene(height: int, width: int) -> UInt8:
    """Plain things of several colours on a soft background."""
    rng = np.random.default_rng(height * 1000 + width)
    image = cv2.resize(rng.integers(60, 120, (3, 4, 3), np.uint8), (width, height))
    for shape in range(4):
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        centre = [int(rng.uniform(0.1, 0.9) * side) for side in (width, height)]
        radius = max(1, min(height, width) // (4 + shape))
        cv2.circle(image, centre, radius, colour, -1)
    return image


PICTURES = {f"{h}x{w}": scene(h, w) for h, w in SIZES} | {
    "black": np.zeros((90, 120, 3), np.uint8),
    "white": np.full((90, 120, 3), 255, np.uint8),
    "noise": np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8),
}


@pytest.fixture(scope="module", params=backends.names("segment"))
def options(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name = request.param
    if name not in TINY:
        return backends.default_options("segment", name)
    tiny_sam = pytest.importorskip("tiny_sam", reason="needs the [models] extra")
    # Random weights find stable masks in few places, so nothing is asked of them here.
    return TINY[name](
        weights=tiny_sam.save(name, tmp_path_factory.mktemp(name)),
        points_per_side=4,
        min_predicted_iou=-99.0,
        min_stability=0.0,
    )


@pytest.fixture(scope="module")
def segmenter(options: Any) -> Segmenter:
    return load(options, Shapes())


@pytest.fixture(scope="module", params=list(PICTURES))
def found(request: pytest.FixtureRequest, segmenter: Segmenter) -> tuple[UInt8, Masks]:
    picture = PICTURES[request.param]
    return picture, segmenter.segment(picture)


def test_shapes_and_types(found: tuple[UInt8, Masks]) -> None:
    picture, masks = found
    n = len(masks)
    assert masks.masks.shape == (n, *picture.shape[:2])
    assert masks.masks.dtype == bool
    for column, shape in ((masks.boxes, (n, 4)), (masks.areas, (n,)), (masks.stability, (n,))):
        assert column.shape == shape
        assert column.dtype == np.float32


def test_no_mask_is_empty_and_areas_are_right(found: tuple[UInt8, Masks]) -> None:
    _, masks = found
    expected = [mask.sum() / mask.size for mask in masks.masks]
    np.testing.assert_allclose(masks.areas, np.array(expected, np.float32), rtol=1e-4)
    assert (masks.areas > 0).all()


def test_boxes_are_tight_or_those_of_a_find(
    found: tuple[UInt8, Masks], segmenter: Segmenter
) -> None:
    picture, masks = found
    finds = Shapes().detect(picture).boxes if segmenter.uses_detector else np.empty((0, 4))
    height, width = picture.shape[:2]
    for mask, box in zip(masks.masks, masks.boxes, strict=True):
        y, x = np.nonzero(mask)
        tight = x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height
        if np.abs(box - tight).max() > 1e-6:
            # The corners are those of a find, or of the pair of two.
            assert all(np.isclose(finds[:, side], box[side]).any() for side in range(4))
            low, high = np.array(tight).reshape(2, 2)
            assert (low >= box[:2] - 1e-6).all()
            assert (high <= box[2:] + 1e-6).all()
    assert ((masks.boxes >= 0) & (masks.boxes <= 1)).all()


def test_the_most_stable_come_first(found: tuple[UInt8, Masks]) -> None:
    _, masks = found
    assert ((masks.stability >= 0) & (masks.stability <= 1)).all()
    assert (np.diff(masks.stability) <= 0).all()


def test_the_same_picture_gives_the_same_masks(
    found: tuple[UInt8, Masks], segmenter: Segmenter
) -> None:
    picture, masks = found
    before = picture.copy()
    again = segmenter.segment(picture)
    np.testing.assert_array_equal(again.masks, masks.masks)
    np.testing.assert_array_equal(again.stability, masks.stability)
    np.testing.assert_array_equal(picture, before)


def test_a_view_is_as_good_as_a_copy(segmenter: Segmenter) -> None:
    """Crops and frames from other libraries are often not contiguous in memory, or read-only."""
    picture = np.ascontiguousarray(PICTURES["120x160"])
    view = np.repeat(picture, 2, axis=1)[:, ::2]
    view.flags.writeable = False
    np.testing.assert_array_equal(segmenter.segment(view).masks, segmenter.segment(picture).masks)


def test_something_is_found_in_a_scene(segmenter: Segmenter) -> None:
    assert len(segmenter.segment(PICTURES["270x480"])) > 0


def test_a_fresh_one_has_the_same_fingerprint(options: Any, segmenter: Segmenter) -> None:
    assert load(options, Shapes()).fingerprint == segmenter.fingerprint
    assert segmenter.fingerprint


def test_every_segmenter_is_checked_here() -> None:
    assert {"mini", "classical", *TINY} == set(backends.BUILT_IN["segment"])


def test_boxes_of_masks() -> None:
    masks = np.zeros((3, 4, 8), bool)
    masks[0, 1:3, 2:6] = True
    masks[1] = True
    expected = [[0.25, 0.25, 0.75, 0.75], [0, 0, 1, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(mask_boxes(masks), np.array(expected, np.float32))
    assert mask_boxes(masks[:0]).shape == (0, 4)
