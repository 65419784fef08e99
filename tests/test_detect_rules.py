"""How the cells of a detector become finds, and finds become masks, tokens and tracklets."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal import detect, segment, track
from seal.config import (
    ClassicalSegment,
    MiniDetect,
    MiniSegment,
    MiniTrack,
    MotionTrack,
    YoloxDetect,
)
from seal.detect.grid import STRIDES, detections
from seal.errors import OptionError
from seal.track import Tracklet
from seal.types import pairwise_iou
from seal.video.frame import Frame
from test_track_motion import film
from tiny_detectors import Find, Told

SIDE = 64


def slow_cells(raw: np.ndarray) -> list[tuple[float, int, list[float]]]:
    """Score, name and box in px of every cell, one by one."""
    found, row = [], 0
    for stride in STRIDES:
        for y in range(SIDE // stride):
            for x in range(SIDE // stride):
                dx, dy, w, h, thing, *names = raw[row].tolist()
                middle = ((x + dx) * stride, (y + dy) * stride)
                half = (np.exp(w) * stride / 2, np.exp(h) * stride / 2)
                box = [middle[0] - half[0], middle[1] - half[1]]
                box += [middle[0] + half[0], middle[1] + half[1]]
                found.append((thing * max(names), int(np.argmax(names)), box))
                row += 1
    return found


@given(st.integers(0, 2**32), st.tuples(st.integers(8, SIDE), st.integers(8, SIDE)))
def test_cells_become_boxes(seed: int, shown: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    rows = sum((SIDE // stride) ** 2 for stride in STRIDES)
    raw = np.concatenate(
        [rng.normal(0, 1, (rows, 4)), rng.random((rows, 4)) ** 4], axis=1, dtype=np.float32
    )
    finds = detections(raw, SIDE, SIDE, shown)
    expected = []
    for score, name, box in sorted(slow_cells(raw), key=lambda one: -one[0]):
        clipped = np.clip(np.array(box) / np.tile(shown, 2), 0, 1).astype(np.float32)
        inside = (clipped[:2] < clipped[2:]).all()
        others = [one for _, other, one in expected if other == name]
        if (
            score >= detect.LEAST_SCORE
            and inside
            and not any(pairwise_iou(clipped[None], one[None])[0, 0] > 0.65 for one in others)
        ):
            expected.append((score, name, clipped))
    assert len(finds) == len(expected)
    for i, (score, name, box) in enumerate(expected):
        assert finds.scores[i] == pytest.approx(score, rel=1e-5)
        assert finds.names[i] == name
        np.testing.assert_allclose(finds.boxes[i], box, atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "name", "file"),
    [
        ("mini", "car", "davis/car-roundabout.mp4"),
        ("yolox", "car", "davis/car-roundabout.mp4"),
        ("yolox", "cat", "footage/clips/cat.mp4"),
    ],
)
def test_a_trained_network_sees_things(
    shared_data: Path, backend: str, name: str, file: str
) -> None:
    weights, path = shared_data / "teacher" / "yolox_nano.onnx", shared_data / file
    missing = [each for each in (weights, path) if not each.is_file()]
    if missing:
        pytest.skip(f"{missing[0]} is not there")
    options = MiniDetect() if backend == "mini" else YoloxDetect(weights=str(weights))
    detector = detect.load(options)
    assert detector is not None
    _, bgr = cv2.VideoCapture(str(path)).read()
    finds = detector.detect(np.ascontiguousarray(bgr[:, :, ::-1]))
    assert name in {detector.names[i] for i in finds.names[finds.scores > 0.4]}


# ---- masks ----


def masks_of(finds: list[Find]) -> segment.Masks:
    image = np.full((90, 160, 3), 128, np.uint8)
    image[30:60, 40:80] = (250, 30, 20)
    return segment.load(MiniSegment(), Told([finds])).segment(image)


def test_sure_finds_have_names_and_the_others_are_regions() -> None:
    near, far = [0.26, 0.34, 0.5, 0.66], [0.7, 0.1, 0.9, 0.3]
    masks = masks_of([("dog", 0.9, near), ("cat", 0.2, far)])
    assert masks.names.tolist() == ["dog"] + [""] * (len(masks) - 1)
    np.testing.assert_allclose(masks.boxes[0], near, atol=1e-6)
    assert masks.stability[0] == pytest.approx(0.9)
    row = int(pairwise_iou(np.array([far]), masks.boxes)[0].argmax())
    np.testing.assert_allclose(masks.boxes[row], far, atol=1e-6)
    assert masks.stability[row] == pytest.approx(0.2)
    # The red thing is the dog's mask, and no region of its own.
    assert masks.masks[0, 45, 60]
    assert not masks.masks[0, 80, 150]
    assert (pairwise_iou(masks.boxes[1:], masks.boxes[:1]) < 0.5).all()


def test_two_finds_that_overlap_are_a_pair_as_well() -> None:
    rider, horse = [0.3, 0.1, 0.5, 0.6], [0.2, 0.4, 0.7, 0.9]
    masks = masks_of([("person", 0.8, rider), ("horse", 0.6, horse)])
    pair = np.array([[0.2, 0.1, 0.7, 0.9]], np.float32)
    row = int(pairwise_iou(pair, masks.boxes)[0].argmax())
    np.testing.assert_allclose(masks.boxes[row], pair[0], atol=1e-6)
    assert masks.names[row] == ""
    assert masks.stability[row] == pytest.approx(0.6)
    crowd = masks_of([("person", 0.8, rider), ("person", 0.6, horse)])
    assert not (pairwise_iou(crowd.boxes, pair) > 0.99).any()


@pytest.mark.parametrize(
    ("load", "stage"),
    [
        (lambda: segment.load(MiniSegment()), "segment"),
        (lambda: track.load(MiniTrack(), None), "track"),
    ],
    ids=["segment", "track"],
)
def test_what_needs_a_detector_says_so(load, stage: str) -> None:
    with pytest.raises(OptionError, match=rf"{stage}.backend=mini .* set it to one of .*yolox"):
        load()


# ---- tracklets ----

PLAIN = np.full((180, 320, 3), 90, np.uint8)


def follow(images: list[np.ndarray], finds: list[list[Find]], every: int = 1) -> list[Tracklet]:
    looks = Told(finds[::every])
    tracker = track.load(MiniTrack(every=every), segment.load(ClassicalSegment()), looks)
    frames = [Frame(image, i, i + 1, Fraction(1, 5), i == 0) for i, image in enumerate(images)]
    return [one for frame in frames for one in tracker.push(frame)] + tracker.end()


def moving(
    count: int, score: float = 0.8, name: str = "dog", step: float = 0.03
) -> list[list[Find]]:
    return [[(name, score, [0.1 + step * i, 0.4, 0.3 + step * i, 0.7])] for i in range(count)]


def test_what_moves_has_a_tracklet_with_its_name_and_how_sure_that_is() -> None:
    [tracklet] = follow([PLAIN] * 12, moving(12))
    assert tracklet.name == "dog"
    assert tracklet.score == pytest.approx(0.8)
    assert tracklet.pts.tolist() == list(range(12))
    np.testing.assert_allclose(tracklet.boxes[5], [0.25, 0.4, 0.45, 0.7], atol=1e-6)


def test_what_stands_still_is_no_action() -> None:
    assert follow([PLAIN] * 12, moving(12, step=0)) == []


def test_what_only_the_camera_moves_is_no_action() -> None:
    frames, [boxes] = film([[(200, 150)] * 16], pan=6)
    finds = [[("cat", 0.8, box)] if (box >= 0).all() and (box <= 1).all() else [] for box in boxes]
    assert sum(map(bool, finds)) > 8
    assert follow([frame.image for frame in frames], finds) == []


def test_a_gap_is_bridged_along_the_way() -> None:
    finds = moving(12)
    finds[5] = finds[6] = []
    [tracklet] = follow([PLAIN] * 12, finds)
    assert tracklet.pts.tolist() == list(range(12))
    np.testing.assert_allclose(tracklet.boxes[5], [0.25, 0.4, 0.45, 0.7], atol=1e-6)


@pytest.mark.parametrize("every", [2, 3])
def test_between_two_looks_a_thing_is_on_the_way(every: int) -> None:
    [tracklet] = follow([PLAIN] * 13, moving(13), every)
    assert tracklet.pts.tolist() == list(range(13))
    np.testing.assert_allclose(tracklet.boxes[5], [0.25, 0.4, 0.45, 0.7], atol=1e-6)
    assert tracklet.score == pytest.approx(0.8)
    assert follow([PLAIN] * 13, moving(13, step=0), every) == []


def test_unsure_finds_keep_a_thing_and_start_none() -> None:
    finds = moving(12)
    for i in range(4, 9):
        finds[i] = [(name, 0.1, box) for name, _, box in finds[i]]
    [tracklet] = follow([PLAIN] * 12, finds)
    assert tracklet.pts.tolist() == list(range(12))
    assert tracklet.score == pytest.approx((7 * 0.8 + 5 * 0.1) / 12)
    assert follow([PLAIN] * 12, moving(12, score=0.2)) == []


def test_a_name_is_that_of_most_finds_and_is_left_out_where_they_differ() -> None:
    finds = moving(12)
    finds[3] = [("cat", score, box) for _, score, box in finds[3]]
    [tracklet] = follow([PLAIN] * 12, finds)
    assert tracklet.name == "dog"
    assert tracklet.score == pytest.approx(0.8 * 11 / 12)
    names = ["dog", "cat", "horse", "person"]
    mixed = [[(names[i % 4], 0.8, one[0][2])] for i, one in enumerate(moving(12))]
    [tracklet] = follow([PLAIN] * 12, mixed)
    assert tracklet.name == ""


def test_two_that_cross_keep_their_names() -> None:
    dogs = moving(21, name="dog", step=0.03)
    cats = [[("cat", 0.8, [0.7 - 0.03 * i, 0.45, 0.9 - 0.03 * i, 0.75])] for i in range(21)]
    both = [[*dog, *cat] for dog, cat in zip(dogs, cats, strict=True)]
    tracklets = follow([PLAIN] * 21, both)
    assert sorted(one.name for one in tracklets) == ["cat", "dog"]
    dog = next(one for one in tracklets if one.name == "dog")
    assert dog.boxes[-1, 0] > 0.6


def test_a_find_that_comes_back_late_is_another_thing() -> None:
    finds = moving(8) + [[]] * 10 + moving(8)
    assert len(follow([PLAIN] * 26, finds)) == 2


def test_what_moves_without_a_name_is_followed_beside() -> None:
    frames, [square, _] = film([[(60 + 9 * i, 150) for i in range(16)], [(900, 900)] * 16])
    images = [frame.image for frame in frames]
    [unnamed] = follow(images, [])
    assert unnamed.name == ""
    # The same thing is one tracklet once it has a name, and not two.
    named = follow(images, [[("dog", 0.8, box)] for box in square])
    assert [one.name for one in named] == ["dog"]


def test_a_cut_ends_everything() -> None:
    tracker = track.load(MiniTrack(every=1), None, Told(moving(12)))
    frames = [Frame(PLAIN, i, i + 1, Fraction(1, 5), i == 0) for i in range(12)]
    for frame in frames[:6]:
        assert tracker.push(frame) == []
    assert [one.pts.tolist() for one in tracker.end()] == [list(range(6))]
    for frame in frames[6:]:
        tracker.push(frame)
    assert [one.pts.tolist() for one in tracker.end()] == [list(range(6, 12))]
    assert MotionTrack().backend == "motion"
