"""Scene, object and action tokens from frames whose contents and times are known."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal import encode, segment
from seal.config import (
    ActionOptions,
    ClassicalSegment,
    MiniEncode,
    ObjectOptions,
    Options,
    SceneOptions,
)
from seal.decompose import Models, TokenBatch, decompose
from seal.decompose.actions import Actions
from seal.decompose.draft import Draft, crop, embed
from seal.decompose.history import History
from seal.decompose.objects import Objects
from seal.decompose.scenes import Scenes
from seal.encode import Encoder
from seal.errors import OptionError
from seal.kinds import ACTION, OBJECT
from seal.track import Tracker, Tracklet
from seal.types import WHOLE_FRAME, Box
from seal.video import Frame, VideoInfo

TICK = Fraction(1, 1000)
RATE_HZ = 10.0


def frame_at(pts: int, image: np.ndarray | None = None, is_key: bool = False) -> Frame:
    picture = np.zeros((36, 64, 3), np.uint8) if image is None else image
    return Frame(picture, pts, pts + 40, TICK, is_key)


def info(duration_s: float | None, start_s: float = 0.0) -> VideoInfo:
    return VideoInfo(
        source="film.mp4",
        start=Fraction(start_s),
        duration_s=duration_s,
        width=640,
        height=360,
        rate_hz=25.0,
        codec="h264",
        rotation=0,
        time_base=TICK,
        is_live=duration_s is None,
        size_bytes=None,
    )


# At most one frame for each tick of the analysis, as the reader gives them.
times = st.lists(st.integers(0, 600), min_size=1, max_size=80, unique=True).flatmap(
    lambda ticks: st.tuples(*(st.integers(100 * t, 100 * t + 99) for t in sorted(ticks)))
)


@given(times, st.sampled_from([0.5, 2.0, 7.3]))
def test_scenes_take_the_first_frame_after_each_tick(pts: list[int], interval_s: float) -> None:
    scenes = Scenes(SceneOptions(interval_s=interval_s), info(60.0), RATE_HZ, 0.0)
    got = [draft.pts[0] for t in pts for draft in scenes.push(frame_at(t))]
    want = []
    for i in range(math.ceil(60 / interval_s) + 2):
        tick = math.ceil(i * Fraction(interval_s) * 10) * 100
        after = [t for t in pts if t >= tick]
        if after and after[0] not in want:
            want.append(after[0])
    assert got == want


@given(st.integers(1, 50), st.integers(1, 59))
def test_a_count_of_scenes_does_not_depend_on_the_parts(count: int, cut_s: int) -> None:
    frames = [frame_at(t) for t in range(0, 60_000, 100)]
    options = SceneOptions(count=count)
    whole = Scenes(options, info(60.0), RATE_HZ, 0.0)
    parts = [
        Scenes(options, info(60.0), RATE_HZ, 0.0),
        Scenes(options, info(60.0), RATE_HZ, float(cut_s)),
    ]
    one = [d.pts for f in frames for d in whole.push(f)]
    two = [d.pts for f in frames for d in parts[f.time_s >= cut_s].push(f)]
    assert one == two
    assert len(one) == count


def test_a_count_of_scenes_needs_a_length() -> None:
    with pytest.raises(OptionError, match="known length"):
        Scenes(SceneOptions(count=5), info(None), RATE_HZ, 0.0)


class GivenTracker(Tracker):
    """Returns the tracklets it was made with at its end: what is tested is the splitting."""

    fingerprint = "given"
    uses_segmenter = False

    def __init__(self, tracklets: list[Tracklet]) -> None:
        self._tracklets = tracklets

    def push(self, frame: Frame) -> list[Tracklet]:
        return []

    def end(self) -> list[Tracklet]:
        tracklets, self._tracklets = self._tracklets, []
        return tracklets


@given(st.integers(1, 200), st.floats(0.3, 2.0), st.floats(2.5, 9.0), st.integers(1, 6))
def test_actions_are_cut_to_length(n: int, shortest: float, longest: float, frames: int) -> None:
    pts = np.arange(n, dtype=np.int64) * 200
    boxes = np.tile(np.array([0.1, 0.1, 0.3, 0.4], np.float32), (n, 1))
    boxes[:, 2] += np.linspace(0, 0.5, n)
    options = ActionOptions(min_length_s=shortest, max_length_s=longest, frames=frames)
    history = History()
    actions = Actions(options, GivenTracker([Tracklet(pts, boxes, 0.7)]), history)
    for t in pts:
        frame = frame_at(int(t))
        history.push(frame)
        assert actions.push(frame, cut=False) == []
    drafts = actions.end()
    length_s = (n - 1) * 0.2
    if length_s < shortest:
        assert drafts == []
        return
    assert len(drafts) == max(1, math.ceil(length_s / longest))
    assert np.concatenate([d.track[:, 0] for d in drafts]) == pytest.approx(pts / 1000)
    lengths = [d.track[-1, 0] - d.track[0, 0] for d in drafts]
    assert max(lengths) <= longest + 1e-9
    assert max(lengths) - min(lengths) <= 0.4 + 1e-9
    for draft in drafts:
        assert draft.pts[1] == draft.pts[0] + round(1000 * np.ptp(draft.track[:, 0])) + 40
        assert draft.box.x1 == pytest.approx(draft.track[:, 3].max(), abs=1e-6)
        assert 1 <= len(draft.crops) == len(draft.shown) <= frames
        assert all(draft.pts[0] <= shown < draft.pts[1] for shown in draft.shown)


def test_a_cut_ends_every_action() -> None:
    tracklet = Tracklet(np.array([0, 1000]), np.tile(np.float32([0, 0, 1, 1]), (2, 1)), 1.0)
    history = History()
    actions = Actions(ActionOptions(), GivenTracker([tracklet]), history)
    for pts in (0, 1000):
        history.push(frame_at(pts))
        assert actions.push(frame_at(pts), cut=False) == []
    history.push(frame_at(1200))
    assert len(actions.push(frame_at(1200), cut=True)) == 1


corner = st.floats(0, 1)


@given(corner, corner, corner, corner, st.floats(0, 0.5), st.integers(1, 40), st.integers(1, 40))
def test_crops_hold_the_box_and_are_never_empty(
    a: float, b: float, c: float, d: float, context: float, height: int, width: int
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(width), np.arange(height)[:, None]
    box = Box(min(a, c), min(b, d), max(a, c), max(b, d))
    got = crop(image, box, context)
    assert got.size
    assert got[0, 0, 0] <= min(box.x0 * width, width - 1)
    assert got[0, -1, 0] + 1 >= math.floor(box.x1 * width)
    assert got[0, 0, 1] <= min(box.y0 * height, height - 1)
    assert got[-1, 0, 1] + 1 >= math.floor(box.y1 * height)


def test_a_token_is_embedded_as_the_mean_of_its_crops() -> None:
    encoder = encode.load(MiniEncode())
    rng = np.random.default_rng(0)
    crops = list(rng.integers(0, 255, (5, 40, 30, 3), np.uint8))
    drafts = [
        Draft(OBJECT, (0, 40), Box(0, 0, 0.5, 0.5), 0.9, crops[:1], [0]),
        Draft(ACTION, (0, 900), WHOLE_FRAME, 0.8, crops[1:], [0], np.ones((3, 5))),
    ]
    keys = {"object": "o", "action": "a"}
    tokens = embed(drafts, encoder, "v", TICK, keys)
    one, many = encoder.encode_images(crops[:1]), encoder.encode_images(crops[1:]).mean(0)
    np.testing.assert_allclose(tokens.facets[0], one[0], atol=1e-5)
    np.testing.assert_allclose(tokens.facets[1], many / np.linalg.norm(many), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(tokens.embeddings, axis=1), 1, atol=1e-5)
    assert tokens.kinds.tolist() == ["object", "action"]
    assert (len(tokens.track(0)), len(tokens.track(1))) == (0, 3)
    assert tokens.end_s.tolist() == [0.04, 0.9]
    assert len(embed([], encoder, "v", TICK, keys)) == 0


def discs(pts: int, is_key: bool = False) -> Frame:
    """Two discs on a plain ground."""
    y, x = np.mgrid[:180, :320]
    image = np.full((180, 320, 3), (90, 120, 90), np.uint8)
    image[(x - 90) ** 2 + (y - 90) ** 2 < 45**2] = (220, 40, 40)
    image[(x - 230) ** 2 + (y - 80) ** 2 < 35**2] = (40, 60, 220)
    return frame_at(pts, image, is_key)


@pytest.mark.parametrize(
    ("keyframes", "want"),
    [("interval", [0, 2000, 4000]), ("codec", [0, 2400, 4800]), ("shot", [0, 3000])],
)
def test_keyframes_are_where_the_option_says(keyframes: str, want: list[int]) -> None:
    options = ObjectOptions(keyframes=keyframes, interval_s=2.0)
    objects = Objects(options, segment.load(ClassicalSegment()))
    seen = [
        draft.pts[0]
        for t in range(0, 5000, 200)
        for draft in objects.push(discs(t, is_key=t % 800 == 0), cut=t in (1000, 3000))
    ]
    assert sorted(set(seen)) == want


def test_objects_lie_where_they_are() -> None:
    objects = Objects(ObjectOptions(), segment.load(ClassicalSegment()))
    drafts = objects.push(discs(0), cut=False)
    for want in ([45 / 320, 0.25, 135 / 320, 0.75], [195 / 320, 0.25, 265 / 320, 115 / 180]):
        assert min(np.abs(np.array(draft.box) - want).max() for draft in drafts) < 0.03
    assert all(draft.crops[0].size and draft.shown == [0] for draft in drafts)


def drafts_of(pts: list[int], **options: float) -> list[Draft]:
    """The action tokens of one tracklet that was seen at these times."""
    boxes = np.tile(np.array([0.1, 0.1, 0.3, 0.4], np.float32), (len(pts), 1))
    history = History()
    for t in pts:
        history.push(frame_at(t))
    tracker = GivenTracker([Tracklet(np.array(pts), boxes, 0.7)])
    actions = Actions(ActionOptions(**options), tracker, history)
    actions.push(frame_at(pts[-1]), cut=False)
    return actions.end()


def test_an_action_is_shown_by_frames_inside_its_ends() -> None:
    (draft,) = drafts_of(list(range(0, 2000, 200)), frames=4)
    assert draft.shown == [400, 800, 1000, 1400]


def test_an_action_of_few_frames_shows_each_once() -> None:
    (draft,) = drafts_of([0, 900], frames=4)
    assert draft.shown == [0, 900]


def test_a_piece_of_an_action_without_frames_is_no_token() -> None:
    drafts = drafts_of([0, 1000, 29_000, 30_000], max_length_s=10)
    assert [draft.pts for draft in drafts] == [(0, 1040), (29_000, 30_040)]


def test_times_of_a_track_are_those_of_its_frames_to_the_last_digit() -> None:
    pts = list(range(3, 3000, 100))
    (draft,) = drafts_of(pts)
    assert draft.track[:, 0].tolist() == [t / 1000 for t in pts]


def test_a_count_of_scenes_has_them_in_the_middle_of_equal_parts() -> None:
    scenes = Scenes(SceneOptions(count=4), info(8.0), RATE_HZ, 0.0)
    drafts = [d for t in range(0, 8000, 100) for d in scenes.push(frame_at(t))]
    assert [draft.pts[0] for draft in drafts] == [1000, 3000, 5000, 7000]


def test_an_object_is_cut_out_with_a_tenth_of_its_size_around_it() -> None:
    objects = Objects(ObjectOptions(), segment.load(ClassicalSegment()))
    for draft in objects.push(discs(0), cut=False):
        x0, y0, x1, y1 = draft.box
        width = min(1, x1 + 0.1 * (x1 - x0)) - max(0, x0 - 0.1 * (x1 - x0))
        height = min(1, y1 + 0.1 * (y1 - y0)) - max(0, y0 - 0.1 * (y1 - y0))
        assert draft.crops[0].shape[1] == pytest.approx(width * 320, abs=2)
        assert draft.crops[0].shape[0] == pytest.approx(height * 180, abs=2)


def test_kept_pictures_are_small_and_mean_the_same() -> None:
    rng = np.random.default_rng(0)
    image = np.clip(discs(0).image + rng.normal(0, 5, (180, 320, 3)), 0, 255).astype(np.uint8)
    history = History()
    history.push(frame_at(0, image))
    assert len(history.picture(0)) < 20_000
    encoder = encode.load(MiniEncode())
    before, after = encoder.encode_images([image, history.image(0)])[:, 0]
    assert before @ after > 0.99


class OnesEncoder(Encoder):
    """Embeds everything alike, at once."""

    fingerprint = "ones"
    dimension = 4
    facets = 1

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        return np.full((len(images), 1, 4), 0.5, np.float32)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        raise NotImplementedError


class EveryFrameTracker(GivenTracker):
    """At each frame a tracklet of the ten frames up to it; notes when it is to end."""

    def __init__(self) -> None:
        super().__init__([])
        self.seen: list[int] = []
        self.ends: list[int] = []

    def push(self, frame: Frame) -> list[Tracklet]:
        self.seen.append(frame.pts)
        if len(self.seen) < 10:
            return []
        boxes = np.tile(np.array([0.1, 0.1, 0.3, 0.4], np.float32), (10, 1))
        return [Tracklet(np.array(self.seen[-10:]), boxes, 1.0)]

    def end(self) -> list[Tracklet]:
        self.ends.append(len(self.seen))
        self.seen = []
        return []


def batches_of(pts: list[int], kind: str) -> tuple[list[TokenBatch], EveryFrameTracker]:
    tracker = EveryFrameTracker()
    models = Models(segment.load(ClassicalSegment()), tracker, OnesEncoder())
    options = Options(scenes=SceneOptions(interval_s=0.1))
    frames = [frame_at(t) for t in pts]
    parts = decompose(frames, {kind: "key"}, options, models, info(60.0), start_s=0.0, video_id="v")
    return list(parts), tracker


def test_tokens_come_in_batches_of_64_pictures_to_embed() -> None:
    scenes, _ = batches_of(list(range(0, 14_000, 100)), "scene")
    count = sum(len(batch.tokens) for batch in scenes)
    assert [len(batch.tokens) for batch in scenes] == [64] * (count // 64) + [count % 64]
    # Each action has four.
    actions, _ = batches_of(list(range(0, 4_900, 100)), "action")
    assert [len(batch.tokens) for batch in actions] == [16, 16, 8]


def test_nothing_is_followed_across_a_pause_of_more_than_a_second() -> None:
    # Frames are on the screen for 40 ms.
    for pause, ends in ((1000, [5, 7]), (900, [12])):
        early = list(range(0, 500, 100))
        late = [early[-1] + 40 + pause + 1 + 100 * k for k in range(7)]
        _, tracker = batches_of(early + late, "action")
        assert tracker.ends == ends
