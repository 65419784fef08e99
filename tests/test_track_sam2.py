"""SAM 2 as a tracker: who is new, gone, or one with another, and the network as it is meant."""

import gc
import weakref
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from seal import track
from seal.config import Sam2Track
from seal.errors import OptionError
from seal.segment import Masks, Segmenter, mask_boxes
from seal.track import Tracklet
from seal.types import UInt8, pairwise_iou
from seal.video.frame import Frame

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from seal.pixels import IMAGENET  # noqa: E402  the modules below need both
from seal.segment import sam  # noqa: E402
from seal.track import propagation, sam2  # noqa: E402

import tiny_sam  # noqa: E402  # isort: skip

HEIGHT, WIDTH = 90, 160
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_sam.save("sam2_video", tmp_path_factory.mktemp("sam2"))


def at(i: int, image: UInt8) -> Frame:
    """Frame i of a video of 5 pictures a second that starts at 7 s."""
    return Frame(image, 7000 + 200 * i, 7200 + 200 * i, Fraction(1, 1000), i == 0)


def rectangles(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A mask for each x0 y0 x1 y1, in pixels."""
    masks = np.zeros((len(boxes), HEIGHT, WIDTH), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def masks_of(*boxes: tuple[int, int, int, int]) -> Masks:
    return Masks.of(rectangles(*boxes), np.linspace(1, 0.5, len(boxes)))


# Who is new, who is one with another, when to look: plain functions.


def test_newcomers_are_the_largest_things_that_nobody_follows() -> None:
    small, whole, part, followed = (
        (0, 0, 10, 10),
        (30, 10, 70, 50),
        (40, 10, 70, 50),
        (90, 0, 120, 90),
    )
    candidates = masks_of(small, part, whole, followed)

    def names(room: int) -> list[tuple[int, ...]]:
        options = Sam2Track(max_objects=room, min_area=0.002)
        rows = sam2.newcomers(candidates, [*rectangles((85, 0, 125, 90))], options)
        boxes = candidates.boxes[rows] * [WIDTH, HEIGHT, WIDTH, HEIGHT]
        return [tuple(box) for box in boxes.round().astype(int)]

    assert names(9) == [whole, small]
    assert names(2) == [whole]
    assert names(1) == []


def test_newcomers_have_a_size() -> None:
    candidates = masks_of((0, 0, 160, 90), (0, 0, 4, 4), (50, 50, 80, 80))
    rows = sam2.newcomers(candidates, [], Sam2Track(min_area=0.01, max_area=0.5))
    assert rows == [2]


def test_a_whole_whose_part_is_followed_is_new() -> None:
    part = rectangles((40, 20, 60, 30))
    rows = sam2.newcomers(masks_of((20, 10, 80, 60)), [*part], Sam2Track(new_coverage=0.3))
    assert rows == [0]


def test_newcomers_of_nothing() -> None:
    assert sam2.newcomers(masks_of(), [], Sam2Track()) == []


def test_the_older_of_two_that_became_one_stays() -> None:
    a, b, other = (0, 0, 40, 40), (2, 0, 42, 40), (100, 0, 140, 40)
    assert sam2.duplicates([*rectangles(a, other, b)], 0.8) == [2]
    assert sam2.duplicates([*rectangles(a, other, b)], 0.95) == []
    assert sam2.duplicates([], 0.8) == []


def test_what_is_dropped_drops_nothing_itself() -> None:
    chain = rectangles((0, 0, 40, 40), (6, 0, 46, 40), (12, 0, 52, 40))
    iou = 34 / 46
    assert sam2.duplicates([*chain], iou - 0.01) == [1]


def test_shared_pixels() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 9, 7)) > 0.5, rng.random((2, 9, 7)) > 0.3
    expected = [[int((p & q).sum()) for q in b] for p in a]
    assert sam2.overlaps(a, b).tolist() == expected


def test_due_times_keep_to_the_interval_where_frames_come_late() -> None:
    assert sam2.next_time(-np.inf, 7.0, 2.0) == 9.0
    assert sam2.next_time(9.0, 9.0, 2.0) == 11.0
    assert sam2.next_time(9.0, 9.3, 2.0) == 11.0
    assert sam2.next_time(9.0, 14.0, 2.0) == 15.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames_per_batch": 0},
        {"objects_per_batch": 0},
        {"max_objects": 0},
        {"prompt_interval_s": 0.0},
        {"min_area": 0.9},
        {"new_coverage": 1.0},
        {"duplicate_iou": 0.0},
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Sam2Track(**wrong)


# The whole tracker, with a network that follows colours: random weights follow nothing, and what
# happens to objects over time can only be seen with masks that mean something.


class Colours(Segmenter):
    """Finds each thing of one colour on black."""

    fingerprint = "colours"

    def segment(self, image: UInt8) -> Masks:
        colours = np.unique(image.reshape(-1, 3), axis=0)
        found = [(image == colour).all(2) for colour in colours if colour.any()]
        return Masks.of(np.reshape(found, (-1, *image.shape[:2])).astype(bool), [0.9] * len(found))


class ColourPropagator:
    """Stands in for `Propagator`: an object is all that has the mean colour of its prompt."""

    def __init__(self) -> None:
        self.colours: dict[int, Any] = {}
        self.objects: list[int] = []
        """How many it was asked to follow, at each frame."""

    def forget(self, keys: Any = None) -> None:
        for key in [*self.colours] if keys is None else keys:
            del self.colours[key]

    def prompt(self, image: UInt8, masks: dict[int, Any]) -> None:
        for key, mask in masks.items():
            inside = sam.resize(mask[0], image.shape[:2])[0] > 0.5
            self.colours[key] = np.median(image[inside.numpy()], 0)

    def follow(self, image: UInt8) -> propagation.Followed:
        self.objects.append(len(self.colours))
        near = [np.abs(image - colour).max(2) for colour in self.colours.values()]
        logits = torch.tensor(np.stack(near)[:, None] < 127) * 20.0 - 10
        scores = torch.where(logits.amax((1, 2, 3)) > 0, 3.0, -3.0).sigmoid()
        return propagation.Followed([*self.colours], logits, scores)


Video = list[dict[tuple[int, int, int], tuple[int, int, int, int]]]
"""The box x0 y0 x1 y1, in pixels, of each colour on each frame."""
Follow = Callable[..., tuple[list[Tracklet], ColourPropagator]]


@pytest.fixture
def follow(folder: str, monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Tracks a `Video` by its colours: the tracklets, and what followed the colours."""

    def run(video: Video, **options: Any) -> tuple[list[Tracklet], ColourPropagator]:
        network = ColourPropagator()
        monkeypatch.setattr(sam2.Sam2Tracker, "propagator_class", lambda *_: network)
        tracker = track.load(Sam2Track(weights=folder, **options), Colours())
        tracklets = []
        for i, boxes in enumerate(video):
            image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            for colour, (x0, y0, x1, y1) in boxes.items():
                image[y0:y1, x0:x1] = colour
            tracklets += tracker.push(at(i, image))
        tracklets += tracker.end()
        return sorted(tracklets, key=lambda t: (t.pts[0], t.boxes[0, 0])), network

    return run


def steps(tracklet: Tracklet) -> list[int]:
    return ((tracklet.pts - 7000) // 200).tolist()


def moving(i: int, y: int = 20) -> tuple[int, int, int, int]:
    return (10 + 3 * i, y, 40 + 3 * i, y + 30)


def test_an_object_stays_one_tracklet_through_all_keyframes(follow: Follow) -> None:
    video = [{RED: moving(i)} for i in range(35)]
    (only,), _ = follow(video, prompt_interval_s=1.5)
    assert steps(only) == list(range(35))
    truth = np.array([moving(i) for i in range(35)]) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    assert np.diag(pairwise_iou(only.boxes, truth)).min() > 0.85
    assert only.score == pytest.approx(1 / (1 + np.exp(-3)), abs=0.01)


def test_new_objects_are_found_at_the_next_keyframe(follow: Follow) -> None:
    video = [{RED: moving(i)} | ({BLUE: moving(i, 55)} if i >= 7 else {}) for i in range(25)]
    (red, blue), _ = follow(video, prompt_interval_s=2.0)
    assert steps(red) == list(range(25))
    assert steps(blue) == list(range(10, 25))


def test_nothing_at_first(follow: Follow) -> None:
    video = [{RED: moving(i)} if i >= 3 else {} for i in range(12)]
    (red,), network = follow(video, prompt_interval_s=1.0)
    assert steps(red) == list(range(5, 12))
    assert len(network.objects) == 6  # not run at all before there is something to follow


def test_objects_that_vanish_end(follow: Follow) -> None:
    video = [{GREEN: moving(i, 55)} | ({RED: moving(i)} if i < 12 else {}) for i in range(30)]
    (red, green), network = follow(video)
    assert steps(red) == list(range(12))
    assert steps(green) == list(range(30))
    assert network.objects[-1] == 1


def test_a_short_occlusion_is_bridged_and_a_long_one_is_not(follow: Follow) -> None:
    hidden = {3, 4, 5, *range(13, 28)}
    video = [{} if i in hidden else {RED: moving(i)} for i in range(35)]
    (first, second), _ = follow(video, prompt_interval_s=2.0)
    assert steps(first) == [i for i in range(13) if i not in hidden]
    assert steps(second) == list(range(30, 35))


def test_two_objects_that_become_one_are_one(follow: Follow) -> None:
    """From frame 12 on there is one thing that the network takes for either of the two. They were
    last seen apart at the keyframe before it, frame 10."""
    red, green, between = (200, 0, 0), (0, 200, 0), (100, 100, 0)
    video: Video = []
    for i in range(30):
        x0, y0, x1, y1 = moving(i)
        apart = {red: (x0, y0, x1 + 5, y1), green: moving(i, 55)}
        video.append(apart if i < 12 else {between: (x0, y0, x1, y1)})
    tracklets, _ = follow(video, prompt_interval_s=2.0)
    assert sorted(steps(t) for t in tracklets) == [list(range(11)), list(range(30))]


def test_no_more_objects_than_allowed(follow: Follow) -> None:
    """Colours come and go, three at a time: those that are gone make room."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
    video: Video = []
    for i in range(40):
        seen = [colours[(i // 10 + j) % 6] for j in range(3)]
        video.append({c: (5 + 50 * j, 20, 45 + 50 * j, 70) for j, c in enumerate(seen)})
    for limit in (2, 3):
        tracklets, network = follow(video, max_objects=limit, prompt_interval_s=0.4)
        assert max(network.objects) == limit
        frames = [step for t in tracklets for step in steps(t)]
        assert np.bincount(frames).max() == limit
        assert np.bincount(frames, minlength=40).min() >= limit - 1


# The real network.


class Fixed(Segmenter):
    """Finds the same three things on every picture."""

    fingerprint = "fixed"

    def segment(self, image: UInt8) -> Masks:
        return masks_of((10, 10, 60, 40), (60, 45, 110, 85), (110, 5, 155, 40))


def noise(count: int) -> list[Frame]:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, 9, 16, 3), np.uint8)
    return [at(i, np.kron(image, np.ones((10, 10, 1), np.uint8))) for i, image in enumerate(coarse)]


def run(tracker: track.Tracker, frames: list[Frame]) -> list[Tracklet]:
    return [t for frame in frames for t in tracker.push(frame)] + tracker.end()


def same(a: list[Tracklet], b: list[Tracklet]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(p.pts, q.pts) and np.array_equal(p.boxes, q.boxes) and p.score == q.score
        for p, q in zip(a, b, strict=True)
    )


def test_tracks_are_those_of_the_library(folder: str) -> None:
    """With a keyframe on the way and its newcomers; nothing is merged."""
    options = Sam2Track(
        weights=folder, prompt_interval_s=0.6, duplicate_iou=1.0, new_coverage=0.99, max_area=1.0
    )
    frames = noise(8)
    tracklets = run(track.load(options, Fixed()), frames)
    assert {steps(t)[0] for t in tracklets} >= {0, 3}

    model = transformers.Sam2VideoModel.from_pretrained(folder).eval()
    session = transformers.Sam2VideoInferenceSession(dtype=torch.float32)
    processor = transformers.models.vit.image_processing_pil_vit.ViTImageProcessorPil(
        size={"height": 128, "width": 128}, image_mean=IMAGENET[0], image_std=IMAGENET[1]
    )
    prompts = Fixed().segment(frames[0].image)
    for key, mask in enumerate(prompts.masks):
        resized = torch.nn.functional.interpolate(
            torch.tensor(mask[None, None], dtype=torch.float32),
            (128, 128),
            mode="bilinear",
            antialias=True,
        )
        session.add_mask_inputs(session.obj_id_to_idx(key), 0, (resized >= 0.5).float())
    session.obj_with_new_inputs = [0, 1, 2]
    boxes, scores = [], []
    for frame in frames:
        pixels = processor(frame.image, return_tensors="pt")["pixel_values"]
        output = model(session, frame=pixels)
        logits = torch.nn.functional.interpolate(
            output.pred_masks, (HEIGHT, WIDTH), mode="bilinear", align_corners=False
        )
        boxes.append(mask_boxes((logits[:, 0] > 0).numpy()))
        scores.append(output.object_score_logits[:, 0].sigmoid().numpy())

    for tracklet in (t for t in tracklets if steps(t)[0] == 0):
        key = int(np.abs(prompts.boxes - tracklet.boxes[0]).sum(1).argmin())
        after = steps(tracklet)[1:]
        np.testing.assert_allclose(tracklet.boxes[1:], [boxes[i][key] for i in after], atol=1e-6)
        probabilities = [prompts.stability[key], *(scores[i][key] for i in after)]
        assert tracklet.score == pytest.approx(np.mean(probabilities), abs=1e-5)


def test_the_same_video_gives_the_same_tracklets(folder: str) -> None:
    options = Sam2Track(weights=folder, prompt_interval_s=1.0)
    tracker = track.load(options, Fixed())
    first = run(tracker, noise(12))
    assert same(first, run(tracker, noise(12)))
    assert same(first, run(track.load(options, Fixed()), noise(12)))


def test_tracklets_stop_at_cuts(folder: str) -> None:
    tracker = track.load(Sam2Track(weights=folder, prompt_interval_s=100.0), Fixed())
    frames = noise(20)
    before = run(tracker, frames[:10])
    after = run(tracker, frames[10:])
    assert max(len(t.pts) for t in before) > 6
    assert all(t.pts[-1] <= frames[9].pts for t in before)
    assert all(t.pts[0] >= frames[10].pts for t in after)
    assert tracker.end() == []


def held_by_tensors() -> int:
    """Bytes of all tensors that exist, those that share memory counted once."""
    # Fake tensors, which an export to ONNX leaves in caches, have no memory.
    kinds = (torch.Tensor, torch.nn.Parameter)
    tensors = [o for o in gc.get_objects() if type(o) in kinds and o.device.type == "cpu"]
    return sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values()
    )


def test_memory_does_not_grow_with_the_video(folder: str) -> None:
    tracker = track.load(Sam2Track(weights=folder, prompt_interval_s=100.0), Fixed())
    images, bytes_held = [], []
    for i, frame in enumerate(noise(61)):
        images.append(weakref.ref(frame.image))
        tracker.push(frame)
        if i in (20, 40, 60):  # The network reads sixteen pointers at most.
            gc.collect()
            bytes_held.append(held_by_tensors())
    assert max(len(t.pts) for t in tracker.end()) > 50
    assert bytes_held[0] == bytes_held[1] == bytes_held[2]
    del frame
    gc.collect()
    assert not any(image() is not None for image in images)


def test_the_fingerprint_names_both_models(folder: str) -> None:
    fingerprint = track.load(Sam2Track(weights=folder), Fixed()).fingerprint
    assert "fixed" in fingerprint
    assert "sam2" in fingerprint


def test_pts_are_strictly_increasing_and_boxes_valid(folder: str) -> None:
    tracker = track.load(Sam2Track(weights=folder), Fixed())
    tracklets = run(tracker, noise(12))
    assert tracklets
    for tracklet in tracklets:
        assert all(a < b for a, b in pairwise(tracklet.pts))
        assert (tracklet.boxes[:, :2] < tracklet.boxes[:, 2:]).all()
        assert 0 <= tracklet.score <= 1
