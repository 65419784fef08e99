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
from seal.detect.grid import STRIDES, detections, framed
from seal.errors import OptionError
from seal.track import Tracklet
from seal.types import pairwise_iou
from seal.video.frame import Frame
from test_track_motion import film
from tiny_detectors import Find, Told, Watching

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


@pytest.mark.parametrize(("step", "scale"), [(3, 1 / 3), (5, 0.4)])
def test_what_is_made_small_shows_all_pixels(step: int, scale: float) -> None:
    lines = np.zeros((60, 600, 3), np.uint8)
    lines[:, ::step] = 240
    small, (width, height) = framed(lines, scale, 64, 608)
    assert abs(small[:height, :width].mean() - 240 / step) < 2


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


@pytest.mark.parametrize(("overlap", "is_pair"), [(0.01, False), (0.04, True)])
def test_finds_that_only_touch_are_no_pair(overlap: float, is_pair: bool) -> None:
    """They share 5 % and 20 % of either."""
    left, right = [0.1, 0.1, 0.3, 0.5], [0.3 - overlap, 0.1, 0.5 - overlap, 0.5]
    masks = masks_of([("person", 0.8, left), ("horse", 0.6, right)])
    around = np.array([[0.1, 0.1, 0.5 - overlap, 0.5]], np.float32)
    assert (pairwise_iou(masks.boxes, around) > 0.99).any() == is_pair


def test_a_region_is_the_mask_of_a_find_that_it_fills() -> None:
    """The red region is 40 x 30 px: two thirds of the first box, a fifth of the second."""
    fits = masks_of([("dog", 0.9, [35 / 160, 27 / 90, 85 / 160, 63 / 90])])
    assert fits.masks[0].sum() == pytest.approx(40 * 30, rel=0.1)
    red = np.array([[40 / 160, 30 / 90, 80 / 160, 60 / 90]], np.float32)
    assert (pairwise_iou(fits.boxes[1:], red) < 0.8).all()
    loose = masks_of([("dog", 0.9, [40 / 160, 20 / 90, 160 / 160, 70 / 90])])
    assert loose.masks[0].sum() == 120 * 50
    assert (pairwise_iou(loose.boxes[1:], red) > 0.8).any()


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


def watch(
    images: list[np.ndarray], finds: list[list[Find]], every: int
) -> tuple[list[Tracklet], list[int]]:
    """The tracklets, and which frames the detector looked at."""
    detector = Watching(finds)
    tracker = track.load(MiniTrack(every=every), segment.load(ClassicalSegment()), detector)
    tracklets = []
    for i, image in enumerate(images):
        detector.frame = i
        tracklets += tracker.push(Frame(image, i, i + 1, Fraction(1, 5), i == 0))
    return tracklets + tracker.end(), detector.looks


def follow(images: list[np.ndarray], finds: list[list[Find]], every: int = 1) -> list[Tracklet]:
    return watch(images, finds, every)[0]


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
    [tracklet], looks = watch([PLAIN] * 18, moving(18, step=0.01), every)
    assert looks == [0, 1, *range(2, 18, every)]
    assert tracklet.pts.tolist() == list(range(looks[-1] + 1))
    np.testing.assert_allclose(tracklet.boxes[5], [0.15, 0.4, 0.35, 0.7], atol=1e-6)
    assert tracklet.score == pytest.approx(0.8)
    assert follow([PLAIN] * 13, moving(13, step=0), every) == []


@pytest.mark.parametrize(
    ("jump", "spared"),
    [(0.0, [3, 5, 7, 9, 11]), (0.02, [3, 5, 7, 9, 11]), (0.06, [3, 5, 8, 10, 12])],
)
def test_a_look_is_spared_while_things_are_found_where_they_should_be(
    jump: float, spared: list[int]
) -> None:
    """A thing that is new is looked at until it is real. It jumps between frames 5 and 6, so that
    its boxes overlap by an IoU of 0.82 or of 0.54."""
    finds = moving(13, step=0.0)
    for i in range(6, 13):
        name, score, (x0, y0, x1, y1) = finds[i][0]
        finds[i] = [(name, score, [x0 + jump, y0, x1 + jump, y1])]
    _, looks = watch([PLAIN] * 13, finds, 2)
    assert sorted({*range(13)} - {*looks}) == spared


@pytest.mark.parametrize(("every", "looks"), [(1, 1), (2, 4), (3, 9)])
def test_more_looks_are_spared_while_nothing_is_followed(every: int, looks: int) -> None:
    assert watch([PLAIN] * 18, [], every)[1] == list(range(0, 18, looks))


def test_no_look_is_spared_while_a_thing_is_missing() -> None:
    finds = moving(13, step=0.0)
    finds[4:9] = [[]] * 5
    _, looks = watch([PLAIN] * 13, finds, 2)
    assert sorted({*range(13)} - {*looks}) == [3, 10, 12]


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


@pytest.mark.parametrize(("jump", "things"), [(0.09, 1), (0.15, 2)])
def test_a_find_far_from_where_a_thing_should_be_is_another_thing(jump: float, things: int) -> None:
    """Nothing in the picture moves: it should be where it was. IoU 0.29 and 0.08."""
    boxes = [one[0][2] for one in moving(14, step=0.02)]
    late = [[x0 + jump, y0, x1 + jump, y1] for x0, y0, x1, y1 in boxes[7:]]
    finds = [[("dog", 0.8, box)] for box in (*boxes[:7], *late)]
    assert len(follow([PLAIN] * 14, finds)) == things


@pytest.mark.parametrize(("nearer", "name"), [(0.06, "dog"), (0.1, "cat")])
def test_a_find_of_the_same_name_is_taken_before_a_nearer_one(nearer: float, name: str) -> None:
    """The cat overlaps by an IoU of 0.82, which counts 0.49; the dog by 0.54 or by 0.33."""
    finds = moving(9)
    x0, y0, x1, y1 = finds[7][0][2]
    places = {"dog": [x0 + nearer, y0, x1 + nearer, y1], "cat": [x0 - 0.02, y0, x1 - 0.02, y1]}
    finds[8] = [(one, 0.1, box) for one, box in places.items()]
    [tracklet] = follow([PLAIN] * 9, finds)
    np.testing.assert_allclose(tracklet.boxes[-1], places[name], atol=1e-6)


@pytest.mark.parametrize(("apart", "things"), [(0.04, 1), (0.12, 2)])
def test_a_second_box_around_the_same_thing_is_no_other_thing(apart: float, things: int) -> None:
    """The boxes overlap by an IoU of 0.67 and of 0.25; the second comes at once or later."""
    for first in (0, 3):
        finds = moving(10)
        for i in range(first, 10):
            (_, _, (x0, y0, x1, y1)) = finds[i][0]
            finds[i].append(("cat", 0.7, [x0 + apart, y0, x1 + apart, y1]))
        assert len(follow([PLAIN] * 10, finds)) == things


@pytest.mark.parametrize(("frames", "things"), [(6, 1), (9, 2)])
def test_a_thing_is_waited_for_a_second_and_a_half(frames: int, things: int) -> None:
    finds = moving(26, step=0.01)
    finds[8 : 8 + frames] = [[]] * frames
    assert len(follow([PLAIN] * 26, finds)) == things


@pytest.mark.parametrize(("count", "things"), [(2, 0), (3, 1)])
def test_a_thing_is_real_once_it_was_found_three_times(count: int, things: int) -> None:
    assert len(follow([PLAIN] * 9, moving(count, step=0.06) + [[]] * (9 - count))) == things


@pytest.mark.parametrize(
    ("side", "way", "moves"),
    [(0.5, 0.05, False), (0.5, 0.12, True), (0.05, 0.012, False), (0.05, 0.04, True)],
)
def test_a_thing_moves_by_its_own_size_and_by_pixels(side: float, way: float, moves: bool) -> None:
    """0.15 of its size, and 3 of the 160 px of the maps: less is noise of the boxes."""
    steps = [way * i / 11 for i in range(12)]
    finds = [[("dog", 0.8, [0.3 + x, 0.3, 0.3 + x + side, 0.3 + side])] for x in steps]
    assert len(follow([PLAIN] * 12, finds)) == moves


def stirring(inner: float, outer: float, step_px: float, when: list[bool]) -> list[np.ndarray]:
    """Pictures of noise, of which the part between two squares around the middle goes to and fro.
    The squares have the shares `inner` and `outer` of the sides of the box in the middle."""
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.integers(0, 256, (180, 320, 3), np.uint8), None, 3)
    noise = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    y, x = np.mgrid[:180, :320]
    far = np.maximum(abs(x - 160) / 80, abs(y - 90) / 60)
    part = ((far >= inner) & (far <= outer))[..., None]
    pictures, at = [], 0.0
    for i, now in enumerate(when):
        at += now * step_px * (1 if i % 2 else -1)
        shifted = cv2.warpAffine(noise, np.array([[1, 0, at], [0, 1, 0]]), (320, 180))
        pictures.append(np.where(part, shifted, noise))
    return pictures


MIDDLE = [81 / 320, 31 / 180, 239 / 320, 149 / 180]


@pytest.mark.parametrize(
    ("inner", "outer", "step_px", "often", "moves"),
    [
        (0, 0.95, 2.6, 1, True),
        (0, 0.95, 0.5, 1, False),
        (0.65, 1, 3.0, 1, False),
        (0.3, 0.95, 3.0, 1, True),
        (0, 0.95, 3.0, 2, True),
        (0, 0.95, 3.0, 4, False),
    ],
    ids=["stirs", "noise", "rim", "all but a spot", "half of the time", "seldom"],
)
def test_what_stirs_in_its_place_moves(
    inner: float, outer: float, step_px: float, often: int, moves: bool
) -> None:
    """A dancer on the spot is an action; a waving flag behind somebody who sits is none."""
    images = stirring(inner, outer, step_px, [i % often == 0 for i in range(16)])
    tracklets = follow(images, [[("person", 0.8, MIDDLE)]] * 16)
    assert any(np.allclose(one.boxes[0], MIDDLE) for one in tracklets) == moves


@pytest.mark.parametrize(("found", "tracklets"), [(4, 2), (13, 1)])
def test_what_is_named_for_most_of_its_time_is_one_thing(found: int, tracklets: int) -> None:
    frames, [square, _] = film([[(60 + 9 * i, 150) for i in range(16)], [(900, 900)] * 16])
    finds = [[("dog", 0.8, box)] if i < found else [] for i, box in enumerate(square)]
    assert len(follow([frame.image for frame in frames], finds)) == tracklets


def test_what_ended_is_still_known_when_what_moved_there_ends() -> None:
    """Motion without a name is waited for longer than a thing with a name is."""
    frames, [square, _] = film([[(60 + 9 * i, 150) for i in range(16)], [(900, 900)] * 16])
    empty, _ = film([[(900, 900)] * 24] * 2)
    images = [frame.image for frame in (*frames, *empty)]
    finds = [[("dog", 0.8, box)] for box in square] + [[]] * 24
    for i in range(14, 18):
        finds[i] = [*finds[i], ("cat", 0.8, [0.7, 0.1, 0.8, 0.2])]
    assert [one.name for one in follow(images, finds)] == ["dog"]


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
