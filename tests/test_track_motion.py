"""What moves is followed, closely, through pauses and crossings; what the camera does is not."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from seal.config import MotionTrack
from seal.track import Tracklet, load
from seal.types import pairwise_iou
from seal.video.frame import Frame

HEIGHT, WIDTH = 180, 320
SIDE = 44


def world(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fine, coarse = (
        cv2.resize(rng.random((n, 2 * n, 3), np.float32), (2 * WIDTH, 2 * HEIGHT)) for n in (90, 12)
    )
    return (80 + 50 * fine + 60 * coarse * (0.5, 1, 0.4)).astype(np.uint8)


def film(paths: list[list[tuple[int, int]]], pan: int = 0) -> tuple[list[Frame], list[np.ndarray]]:
    """Squares of distinct colours along `paths` on the world, before a camera that pans."""
    background = world()
    colours = [(225, 40, 30), (30, 60, 220)]
    frames, truth = [], [[] for _ in paths]
    for i in range(len(paths[0])):
        image = background.copy()
        left = 20 + pan * i
        for path, colour, boxes in zip(paths, colours, truth, strict=False):
            x, y = path[i]
            cv2.rectangle(image, (x, y), (x + SIDE - 1, y + SIDE - 1), colour, -1)
            corners = np.array([x - left, y - 90, x - left + SIDE, y - 90 + SIDE])
            boxes.append(corners / (WIDTH, HEIGHT, WIDTH, HEIGHT))
        view = np.ascontiguousarray(image[90 : 90 + HEIGHT, left : left + WIDTH])
        frames.append(Frame(view, i, i + 1, Fraction(1, 5), i == 0))
    return frames, [np.array(boxes, np.float32) for boxes in truth]


def follow(frames: list[Frame]) -> list[Tracklet]:
    tracker = load(MotionTrack(), None)
    return [t for frame in frames for t in tracker.push(frame)] + tracker.end()


def share(tracklet: Tracklet, truth: np.ndarray) -> float:
    """Of all frames, those on which the tracklet is where the truth is."""
    iou = np.diag(pairwise_iou(tracklet.boxes, truth[tracklet.pts]))
    return float((iou >= 0.5).sum()) / len(truth)


@pytest.mark.parametrize("pan", [0, 7])
def test_a_still_world_has_no_tracklets(pan: int) -> None:
    assert follow(film([[(900, 900)] * 20], pan)[0]) == []


@pytest.mark.parametrize("pan", [0, 6])
def test_one_mover_is_one_tracklet_from_its_first_frame(pan: int) -> None:
    frames, (truth,) = film([[(60 + 14 * i, 150) for i in range(18)]], pan)
    (tracklet,) = follow(frames)
    assert tracklet.pts[0] == 0
    assert share(tracklet, truth) > 0.85


def test_a_pause_does_not_end_it() -> None:
    way = [60 + 12 * min(i, 8) + 12 * max(0, i - 18) for i in range(26)]
    frames, (truth,) = film([[(x, 150) for x in way]], pan=2)
    best = max(follow(frames), key=lambda t: share(t, truth))
    assert share(best, truth) > 0.85


def test_two_movers_are_followed_apart() -> None:
    frames, truths = film(
        [[(60 + 12 * i, 110) for i in range(16)], [(270 - 12 * i, 200) for i in range(16)]]
    )
    tracklets = follow(frames)
    assert len(tracklets) == 2
    best = [max(tracklets, key=lambda t: share(t, truth)) for truth in truths]
    assert best[0] is not best[1]
    for tracklet, truth in zip(best, truths, strict=True):
        assert share(tracklet, truth) > 0.85


def test_two_that_part_are_each_followed_from_the_first_frame() -> None:
    frames, truths = film(
        [
            [(60 + 9 * i, 140 - 3 * max(0, i - 5)) for i in range(18)],
            [(60 + 9 * i, 184 + 3 * max(0, i - 5)) for i in range(18)],
        ]
    )
    tracklets = follow(frames)
    best = [max(tracklets, key=lambda t: share(t, truth)) for truth in truths]
    assert best[0] is not best[1]
    for tracklet, truth in zip(best, truths, strict=True):
        assert tracklet.pts[0] == 0
        assert share(tracklet, truth) > 0.8


def test_a_thing_that_was_hidden_is_the_same_when_it_comes_out() -> None:
    # The second is drawn over the first, and hides all of it half-way.
    frames, truths = film(
        [[(40 + 12 * i, 150) for i in range(22)], [(292 - 12 * i, 150) for i in range(22)]]
    )
    tracklets = follow(frames)
    best = [max(tracklets, key=lambda t: share(t, truth)) for truth in truths]
    assert best[0] is not best[1]
    for tracklet, truth in zip(best, truths, strict=True):
        assert share(tracklet, truth) > 0.8
        assert (np.diff(tracklet.pts) == 1).all()


def test_pictures_of_another_shape_start_afresh() -> None:
    frames, _ = film([[(60 + 14 * i, 150) for i in range(20)]])
    tall = [
        Frame(np.ascontiguousarray(f.image[:, :150]), f.pts, f.end_pts, f.time_base, f.is_key)
        for f in frames[10:]
    ]
    wide, narrow = follow(frames[:10]), follow(tall)
    together = follow(frames[:10] + tall)
    assert len(wide) == 1
    assert [t.pts.tolist() for t in together] == [t.pts.tolist() for t in wide + narrow]


def test_memory_does_not_grow() -> None:
    frames, _ = film([[(60 + 2 * (i % 60), 150) for i in range(60)]])
    tracker = load(MotionTrack(), None)
    sizes = []
    for frame in frames:
        tracker.push(frame)
        sizes.append(
            sum(a.nbytes for t in tracker._tracks for a in vars(t).values() if hasattr(a, "nbytes"))
        )
    assert max(sizes[30:]) <= max(sizes[:30]) * 1.01
