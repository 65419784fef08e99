"""What every tracker promises, checked on every tracker of the table of back ends."""

import weakref
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest

from seal import backends
from seal.config import Sam2Track, Sam3Track
from seal.segment import Masks, Segmenter
from seal.track import Tracker, Tracklet, load
from seal.types import check_boxes
from seal.video.frame import Frame
from tiny_detectors import Shapes

TINY = {"sam2": ("sam2_video", Sam2Track), "sam3": ("sam3_tracker", Sam3Track)}
"""Those that run transformers networks, here tiny ones with random weights."""

TIME_BASE = Fraction(1, 12800)


class Grid(Segmenter):
    """Finds six rectangles on every picture, whatever is on it."""

    fingerprint = "grid"

    def segment(self, image: np.ndarray) -> Masks:
        height, width = image.shape[:2]
        masks = np.zeros((6, height, width), bool)
        for i, mask in enumerate(masks):
            x, y = i % 3 * width // 3, i // 3 * height // 2
            mask[y : y + max(1, height // 3), x : x + max(1, width // 4)] = True
        return Masks.of(masks, np.linspace(1, 0.5, 6))


def video(count: int, height: int = 90, width: int = 160, start: int = -640) -> list[Frame]:
    """A textured background with two discs that move over it, at uneven times."""
    rng = np.random.default_rng(4)
    background = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (width, height))
    gaps = rng.integers(1800, 3300, count + 1)
    ticks = start + np.cumsum(gaps) - gaps[0]
    frames = []
    for i in range(count):
        image = background.copy()
        x = int(width * (0.1 + 0.8 * i / count))
        radius = max(1, min(height, width) // 8)
        cv2.circle(image, (x, height // 3), radius, (250, 30, 30), -1)
        cv2.circle(image, (width - x, 3 * height // 4), radius, (30, 250, 30), -1)
        frames.append(Frame(image, int(ticks[i]), int(ticks[i + 1]), TIME_BASE, i % 12 == 0))
    return frames


@pytest.fixture(scope="module", params=backends.names("track"))
def options(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param not in TINY:
        return backends.default_options("track", request.param)
    tiny_sam = pytest.importorskip("tiny_sam", reason="needs the [models] extra")
    network, options = TINY[request.param]
    folder = tiny_sam.save(network, tmp_path_factory.mktemp(network))
    return options(weights=folder, prompt_interval_s=1.0)


@pytest.fixture(scope="module")
def tracker(options: Any) -> Tracker:
    return load(options, Grid(), Shapes())


def run(tracker: Tracker, frames: list[Frame]) -> list[Tracklet]:
    return [t for frame in frames for t in tracker.push(frame)] + tracker.end()


def as_lists(tracklets: list[Tracklet]) -> list[tuple[Any, ...]]:
    return [(t.pts.tolist(), t.boxes.tolist(), t.score) for t in tracklets]


def test_a_moving_thing_is_followed(tracker: Tracker) -> None:
    assert max(len(t.pts) for t in run(tracker, video(30))) >= 5


def test_tracklets_are_valid(tracker: Tracker) -> None:
    frames = video(30)
    for tracklet in run(tracker, frames):
        assert tracklet.pts.dtype == np.int64
        assert (np.diff(tracklet.pts) > 0).all()
        assert set(tracklet.pts.tolist()) <= {frame.pts for frame in frames}
        assert tracklet.boxes.dtype == np.float32
        assert tracklet.boxes.shape == (len(tracklet.pts), 4)
        check_boxes(tracklet.boxes)
        assert (tracklet.boxes[:, :2] < tracklet.boxes[:, 2:]).all()
        assert 0 <= tracklet.score <= 1


def test_a_tracklet_comes_no_sooner_than_its_last_frame(tracker: Tracker) -> None:
    for frame in video(30):
        assert all(t.pts[-1] <= frame.pts for t in tracker.push(frame))
    tracker.end()


def test_nothing_crosses_an_end(tracker: Tracker) -> None:
    frames = video(30)
    first, second = run(tracker, frames[:15]), run(tracker, frames[15:])
    assert all(t.pts[-1] <= frames[14].pts for t in first)
    assert all(t.pts[0] >= frames[15].pts for t in second)
    assert tracker.end() == []


def test_after_an_end_it_is_as_good_as_new(tracker: Tracker, options: Any) -> None:
    run(tracker, video(9, start=5000))
    assert as_lists(run(tracker, video(20))) == as_lists(
        run(load(options, Grid(), Shapes()), video(20))
    )


@pytest.mark.parametrize("size", [(16, 16), (16, 400), (400, 16), (270, 480)])
def test_pictures_of_any_shape(tracker: Tracker, size: tuple[int, int]) -> None:
    for tracklet in run(tracker, video(8, *size)):
        check_boxes(tracklet.boxes)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_videos(tracker: Tracker, count: int) -> None:
    frames = video(count)
    assert all(set(t.pts) <= {f.pts for f in frames} for t in run(tracker, frames))


def test_pictures_are_neither_changed_nor_kept(tracker: Tracker) -> None:
    frames = video(60)[::-1]
    pushed, alive = [], []
    while frames:
        frame = frames.pop()
        before = frame.image.copy()
        tracker.push(frame)
        np.testing.assert_array_equal(frame.image, before)
        pushed.append(weakref.ref(frame.image))
        alive.append(sum(image() is not None for image in pushed))
    assert max(alive[30:]) <= max(alive[:30])
    tracker.end()
    del frame
    assert not any(image() is not None for image in pushed)


def test_a_fresh_one_has_the_same_fingerprint(options: Any, tracker: Tracker) -> None:
    assert load(options, Grid(), Shapes()).fingerprint == tracker.fingerprint
    assert tracker.fingerprint


def test_every_tracker_is_checked_here() -> None:
    assert set(backends.BUILT_IN["track"]) == {"mini", "motion", *TINY}
