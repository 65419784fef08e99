"""Each rule of the motion tracker on maps small enough to say what it should give."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from seal.config import MotionTrack
from seal.track.camera import Motion
from seal.track.motion import (
    MotionTracker,
    _assign,
    _finished,
    _others,
    _parted,
    _regions,
    _taken,
    _Track,
    _View,
)
from seal.track.outline import MIN_AREA, histogram
from seal.track.steps import positions
from seal.video.frame import Frame

HEIGHT, WIDTH = 90, 160
PIXELS = positions(HEIGHT, WIDTH)
GROUND, RED, BLUE, GREEN = 40, 900, 1300, 500
"""Cells of four colours of the model."""

Corners = tuple[int, int, int, int]


def box_map(*boxes: Corners) -> np.ndarray:
    """[height, width] 1 inside boxes of x0, y0, x1, y1 px, 0 elsewhere."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 1
    return mask


def picture(*things: tuple[Corners, int]) -> np.ndarray:
    """[height, width] cells: things of one colour each on the ground."""
    bins = np.full((HEIGHT, WIDTH), GROUND, np.int64)
    for (x0, y0, x1, y1), colour in things:
        bins[y0:y1, x0:x1] = colour
    return bins


def view(
    number: int,
    *things: tuple[Corners, int],
    moving: np.ndarray | None = None,
    unexplained: np.ndarray | None = None,
    pan: tuple[float, float] = (0, 0),
    own: tuple[float, float] = (0, 0),
) -> _View:
    """A picture, a fifth of a second after the one before.

    `moving` says where flow finds movers, which went `own` px right and down by themselves; all
    went `pan` px left and up, as a camera that turns right and down shows it.
    """
    moving = np.zeros((HEIGHT, WIDTH), np.float32) if moving is None else moving
    residual = -moving[..., None] * np.float32(own)
    flow = np.float32(pan) + residual
    camera = np.array([[1, 0, pan[0]], [0, 1, pan[1]], [0, 0, 1.0]])
    motion = Motion(flow, camera, 0.2, residual, PIXELS + flow)
    unexplained = moving if unexplained is None else unexplained
    return _View(number, number / 5, picture(*things), motion, moving, unexplained)


def colours(cell: int) -> np.ndarray:
    """The colour model of a thing of one colour."""
    return histogram(np.full((2, 2), cell), np.ones((2, 2), np.float32))


def track(box: Corners, cell: int = RED, **changes: Any) -> _Track:
    """A tracklet that was seen in picture 0 and is confirmed."""
    x0, y0, x1, y1 = box
    mask = box_map(box)
    corners = np.array([x0 / WIDTH, y0 / HEIGHT, x1 / WIDTH, y1 / HEIGHT], np.float32)
    values: dict[str, Any] = {
        "place": np.array([(x0 + x1) / 2, (y0 + y1) / 2]),
        "pts": [0],
        "boxes": [corners],
        "moved": 3,
        "reach_px": 9.0,
    }
    return _Track(mask, colours(cell), mask, **values | changes)


def tracker(*tracks: _Track) -> MotionTracker:
    """A tracker that follows these and has seen a picture without evidence."""
    made = MotionTracker(MotionTrack(), None)
    made._tracks = list(tracks)
    made._evidence = np.zeros((HEIGHT, WIDTH), np.float32)
    return made


def look(made: MotionTracker, at: _View) -> list:
    return made._look(at, at.unexplained)


# What is given out.


def finished(count: int = 10, **changes: Any) -> _Track:
    boxes = [np.array([0.1, 0.1, 0.3, 0.4], np.float32)] * count
    return track(
        (16, 9, 48, 36), **{"pts": list(range(count)), "boxes": boxes, "moved": 8} | changes
    )


def test_a_tracklet_is_as_sure_as_it_moves() -> None:
    (got,) = _finished([finished(moved=8)])
    assert got.score == pytest.approx(0.8)
    assert got.pts.tolist() == list(range(10))
    (got,) = _finished([finished(count=3, moved=4)])
    assert got.score == 1


def test_noise_goes_to_and_fro_and_is_no_tracklet() -> None:
    assert _finished([finished(reach_px=2.9)]) == []
    assert len(_finished([finished(reach_px=3.0)])) == 1


def test_what_hardly_ever_moves_is_no_tracklet() -> None:
    assert _finished([finished(moved=3)]) == []
    assert len(_finished([finished(moved=4)])) == 1


def test_what_moved_in_two_pictures_is_not_confirmed() -> None:
    assert _finished([finished(count=2, moved=2)]) == []
    assert len(_finished([finished(count=3, moved=3)])) == 1


def test_while_hidden_it_is_given_out_between_where_it_was_seen() -> None:
    boxes = [np.array([x, 0, x + 0.2, 1], np.float32) for x in (0.1, 0.5)]
    (got,) = _finished([finished(pts=[3, 7], boxes=boxes, missed=[4, 5, 6, 8, 9], moved=3)])
    assert got.pts.tolist() == [3, 4, 5, 6, 7]
    np.testing.assert_allclose(got.boxes[:, 0], [0.1, 0.2, 0.3, 0.4, 0.5], atol=1e-6)
    # In the pictures while it was hidden it did not move.
    assert got.score == pytest.approx(3 / 5)


def test_what_was_found_back_in_time_comes_first() -> None:
    early = [(k, np.array([k / 100, 0, 0.5, 1], np.float32)) for k in (4, 3)]
    boxes = [np.array([0.9, 0, 1, 1], np.float32)] * 3
    (got,) = _finished([finished(pts=[5, 6, 7], boxes=boxes, moved=3, earlier=early)])
    assert got.pts.tolist() == [3, 4, 5, 6, 7]
    np.testing.assert_allclose(got.boxes[:, 0], [0.03, 0.04, 0.9, 0.9, 0.9], atol=1e-6)


# Where something moves.


def test_evidence_adds_up_and_fades() -> None:
    made = tracker()
    spot = box_map((60, 30, 90, 60))
    look(made, view(1, moving=0.4 * spot))
    assert made._evidence[45, 75] == pytest.approx(0.4 * 0.4 * 0.4)
    made._evidence = spot.copy()
    look(made, view(2, unexplained=spot))
    assert made._evidence[45, 75] == pytest.approx(0.6)
    # The world is seen again where a mover was: what it left there goes sooner.
    made._evidence = spot.copy()
    look(made, view(3))
    assert made._evidence[45, 75] == pytest.approx(0.6 * 0.3)


def test_evidence_is_carried_along_the_flow() -> None:
    made = tracker()
    made._evidence = box_map((60, 30, 90, 60))
    look(made, view(1, pan=(20, 5), unexplained=np.ones((HEIGHT, WIDTH), np.float32)))
    assert made._evidence[40, 45] == pytest.approx(0.6)
    assert made._evidence[40, 75] == 0


@pytest.mark.parametrize(("strength", "found"), [(0.55, 0), (0.57, 1)])
def test_what_is_evident_at_once_is_found_at_once(strength: float, found: int) -> None:
    made = tracker()
    box = (60, 30, 90, 60)
    look(made, view(1, (box, RED), moving=box_map(box), unexplained=strength * box_map(box)))
    assert len(made._tracks) == found


@pytest.mark.parametrize(("evidence", "found"), [(0.49, 0), (0.51, 1)])
def test_evidence_above_a_half_is_a_region(evidence: float, found: int) -> None:
    box = (60, 30, 90, 60)
    got = _regions(evidence * box_map(box), box_map(box), picture((box, RED)))
    assert len(got) == found


@pytest.mark.parametrize(("side", "found"), [(3, 0), (4, 0), (5, 1)])
def test_regions_of_less_than_17_px_are_noise(side: int, found: int) -> None:
    box = (60, 30, 60 + side, 30 + side)
    assert len(_regions(box_map(box), box_map(box), picture((box, RED)))) == found


def test_a_region_that_melts_when_drawn_is_noise() -> None:
    # Six pixels of a thing in a spill of twenty.
    spill = box_map((60, 30, 64, 35))
    assert spill.sum() > MIN_AREA * HEIGHT * WIDTH
    assert _regions(spill, spill, picture(((61, 31, 63, 34), RED))) == []


def test_a_crack_does_not_part_a_region() -> None:
    halves = box_map((60, 30, 74, 60), (78, 30, 92, 60))
    whole = (60, 30, 92, 60)
    # No flow in the crack: what lies between is not filled for its colours.
    assert len(_regions(halves, halves, picture((whole, RED)))) == 1
    apart = box_map((60, 30, 74, 60), (80, 30, 92, 60))
    bins = picture(((60, 30, 74, 60), RED), ((80, 30, 92, 60), RED))
    assert len(_regions(apart, apart, bins)) == 2


RINGS = {18: (60, 20, 88, 48), 20: (60, 20, 90, 50), 24: (60, 20, 94, 54)}
"""Boxes whose rim of 5 px is evident, around a flat inside of so many px."""


def ring(inside: int) -> np.ndarray:
    x0, y0, x1, y1 = RINGS[inside]
    return box_map(RINGS[inside]) - box_map((x0 + 5, y0 + 5, x1 - 5, y1 - 5))


def test_the_flat_inside_of_a_mover_moves() -> None:
    box = RINGS[18]
    (got,) = _regions(ring(18), box_map(box), picture((box, RED)))
    assert got[25:43, 65:83].all()


@pytest.mark.parametrize("what", ["large", "still", "of the ground", "of another colour"])
def test_an_inside_that_nothing_vouches_for_stays_empty(what: str) -> None:
    inside = {"large": 24, "still": 20}.get(what, 18)
    x0, y0, x1, y1 = box = RINGS[inside]
    bins, moving = picture((box, RED)), box_map(box)
    if what == "of the ground":
        bins[y0 + 5 : y1 - 5, x0 + 5 : x1 - 5] = GROUND
    if what == "of another colour":
        bins[y0 + 5 : y1 - 5, x0 + 5 : x1 - 5] = BLUE
    if what == "still":
        moving = ring(inside)
    (got,) = _regions(ring(inside), moving, bins)
    # Outlines are drawn by colour afterwards, within some 8 px of the evidence.
    rim = 5 + (10 if what == "large" else 8)
    assert not got[y0 + rim : y1 - rim, x0 + rim : x1 - rim].any()


# Whose a detection is.


def solid(*boxes: Corners) -> np.ndarray:
    return box_map(*boxes) > 0


def test_a_detection_is_of_what_it_covers_half_of_and_of_what_covers_half_of_it() -> None:
    followed = solid((40, 30, 60, 50))
    (mine,) = _assign([followed], [box_map((51, 30, 120, 50))])
    assert mine is None
    (mine,) = _assign([followed], [box_map((49, 30, 120, 50))])
    np.testing.assert_array_equal(mine, box_map((49, 30, 120, 50)))
    (mine,) = _assign([followed], [box_map((55, 30, 64, 50))])
    np.testing.assert_array_equal(mine, box_map((55, 30, 64, 50)))
    (mine,) = _assign([followed], [box_map((56, 30, 66, 50))])
    assert mine is None


def test_where_two_cross_each_keeps_what_is_nearer_to_it_alone() -> None:
    left, right = (40, 30, 60, 50), (56, 30, 76, 50)
    # One detection of both, with a tail that is near the right one only.
    both = box_map((40, 30, 90, 50))
    mine = _assign([solid(left), solid(right)], [both])
    np.testing.assert_array_equal(mine[0], box_map((40, 30, 60, 50)))
    np.testing.assert_array_equal(mine[1], box_map((56, 30, 78, 50)))


def test_all_detections_that_are_its_are_its() -> None:
    halves = [(40, 30, 49, 50), (51, 30, 60, 50)]
    (mine,) = _assign([solid((40, 30, 60, 50))], [box_map(half) for half in halves])
    np.testing.assert_array_equal(mine, box_map(*halves))


def test_no_detections_are_of_none() -> None:
    assert _assign([solid((40, 30, 60, 50))], []) == [None]


FOLLOWED = (40, 30, 60, 50)


@pytest.mark.parametrize(
    ("part", "cell", "is_another"),
    [
        ((70, 30, 90, 50), BLUE, True),
        ((70, 30, 90, 50), RED, False),
        # A third of the tracklet's area is another thing, a quarter is a limb.
        ((70, 30, 77, 50), BLUE, True),
        ((70, 30, 75, 50), BLUE, False),
    ],
)
def test_a_large_part_of_other_colours_is_another_thing(
    part: Corners, cell: int, is_another: bool
) -> None:
    region = box_map(FOLLOWED, part)
    got = _others(track(FOLLOWED), region, picture((FOLLOWED, RED), (part, cell)))
    assert len(got) == is_another
    if is_another:
        np.testing.assert_array_equal(got[0], box_map(part))


def test_what_lies_as_near_as_flow_errs_is_no_other_thing() -> None:
    rim = (60, 20, 64, 60)
    region, bins = box_map(FOLLOWED, rim), picture((FOLLOWED, RED), (rim, BLUE))
    # All of it within 4 px, apart from its ends.
    assert _others(track(FOLLOWED), region, bins) == []
    wide = (60, 20, 74, 60)
    (got,) = _others(
        track(FOLLOWED), box_map(FOLLOWED, wide), picture((FOLLOWED, RED), (wide, BLUE))
    )
    assert not got[35, 63]
    assert got[35, 64]


def test_a_part_beside_a_tiny_tracklet_is_a_region_at_least() -> None:
    tiny, part = (40, 30, 45, 35), (60, 30, 64, 34)
    bins = picture((tiny, RED), (part, BLUE))
    assert MIN_AREA * HEIGHT * WIDTH > 16 > 0.3 * 25
    assert _others(track(tiny), box_map(tiny, part), bins) == []


def test_half_like_colours_are_of_the_same_thing() -> None:
    part = (70, 30, 90, 50)
    region = box_map(FOLLOWED, part)
    for share, is_another in ((0.2, True), (0.35, False)):
        mixed = picture((FOLLOWED, RED), (part, BLUE))
        mixed[30:50, 70 : 70 + round(20 * share)] = RED
        # Bhattacharyya's coefficient of a mixture is the root of the share.
        assert len(_others(track(FOLLOWED), region, mixed)) == is_another


def test_two_parts_for_three_pictures_are_two_things() -> None:
    followed = track(FOLLOWED)
    followed.mask = box_map((40, 30, 60, 50), (70, 30, 80, 50))
    assert _parted(followed) is None
    assert _parted(followed) is None
    np.testing.assert_array_equal(_parted(followed), box_map((70, 30, 80, 50)))
    # It is counted anew from then on.
    assert _parted(followed) is None


def test_parts_that_meet_again_are_one_thing() -> None:
    followed = track(FOLLOWED)
    apart, together = box_map((40, 30, 60, 50), (70, 30, 80, 50)), box_map((40, 30, 80, 50))
    for mask in (apart, apart, together, apart, apart):
        followed.mask = mask
        assert _parted(followed) is None


@pytest.mark.parametrize("part", [(62, 30, 80, 50), (70, 30, 73, 50)])
def test_a_crack_or_a_limb_is_no_second_thing(part: Corners) -> None:
    followed = track(FOLLOWED)
    followed.mask = box_map(FOLLOWED, part)
    assert [_parted(followed) for _ in range(4)] == [None] * 4


def test_a_second_part_is_a_region_at_least() -> None:
    # Maps are widened by a pixel on each side, so that a crack is no gap: a part of 3 x 3 px counts
    # 25 px and a part of 2 x 2 px 16. The smallest region has 17.3 px.
    followed = track(FOLLOWED)
    for side, is_second in ((3, True), (2, False)):
        followed.mask = box_map((40, 30, 44, 34), (60, 30, 60 + side, 30 + side))
        followed.apart = 2
        assert (_parted(followed) is not None) == is_second


def test_taken_is_the_share_that_the_likeliest_tracklet_has() -> None:
    region = box_map((40, 30, 60, 50))
    tracks = [track((40, 30, 45, 50)), track((50, 30, 60, 50))]
    assert _taken(region, tracks) == pytest.approx(0.5)
    assert _taken(region, []) == 0


# Following.


def test_a_seen_thing_goes_along_the_flow() -> None:
    followed = track(FOLLOWED)
    moving = box_map((46, 32, 66, 52))
    at = view(1, ((46, 32, 66, 52), RED), moving=moving, own=(6, 2))
    tracker(followed)._predict(followed, at)
    assert followed.seen
    # All but the corners, which are rounded.
    assert (followed.mask > 0.5).sum() >= 396
    assert not (followed.mask > 0.5)[moving == 0].any()


def test_a_hidden_thing_goes_on_by_its_speed_and_the_camera() -> None:
    followed = track(FOLLOWED, seen=False, speed=np.array([5.0, 2.0]))
    # Flow says that what hides it goes the other way; its colours are nowhere.
    everywhere = np.ones((HEIGHT, WIDTH), np.float32)
    at = view(1, moving=everywhere, own=(-9, 0), pan=(10, 0))
    tracker(followed)._predict(followed, at)
    assert not followed.seen
    np.testing.assert_array_equal(followed.mask > 0.5, box_map((35, 32, 55, 52)) > 0.5)
    assert followed.place.tolist() == pytest.approx([50 - 10 + 5, 40 + 2])


@pytest.mark.parametrize(("side", "is_seen"), [(3, False), (4, True)])
def test_of_a_thing_of_which_a_few_px_are_left_the_outline_is_lost(
    side: int, is_seen: bool
) -> None:
    followed = track((48, 38, 54, 44))
    tracker(followed)._predict(followed, view(1, ((49, 39, 49 + side, 39 + side), RED)))
    assert followed.seen == is_seen
    # Its map goes on as it was, and does not shrink to what is left.
    assert (followed.mask.sum() == 36) == (not is_seen)


def test_a_thing_whose_colours_are_gone_is_hidden() -> None:
    followed = track(FOLLOWED)
    tracker(followed)._predict(followed, view(1, (FOLLOWED, BLUE)))
    assert not followed.seen


def test_speed_is_learnt_from_what_it_does_by_itself() -> None:
    followed = track(FOLLOWED, speed=np.array([4.0, 0.0]))
    made = tracker(followed)
    at = view(1, (FOLLOWED, RED), moving=box_map(FOLLOWED), own=(8, 2), pan=(5, 5))
    made._update(followed, at, moved=True)
    assert followed.speed.tolist() == pytest.approx([6, 1], abs=1e-5)
    assert followed.way.tolist() == pytest.approx([8, 2], abs=1e-5)
    made._update(followed, at, moved=False)
    # It stands still: it will not go on by itself while it is hidden.
    assert followed.speed.tolist() == pytest.approx([3, 0.5], abs=1e-5)


def test_the_furthest_that_it_came_counts() -> None:
    followed = track(FOLLOWED, reach_px=0.0)
    made = tracker(followed)
    for number, own in enumerate([(3, 4), (-3, -4)], 1):
        at = view(number, (FOLLOWED, RED), moving=box_map(FOLLOWED), own=own)
        made._update(followed, at, moved=True)
    assert followed.reach_px == pytest.approx(5, abs=1e-5)


def test_colours_are_learnt_slowly_and_while_it_moves() -> None:
    at = view(1, (FOLLOWED, BLUE))
    still, moving = track(FOLLOWED), track(FOLLOWED)
    tracker(still)._update(still, at, moved=False)
    np.testing.assert_array_equal(still.colours, colours(RED))
    tracker(moving)._update(moving, at, moved=True)
    np.testing.assert_allclose(moving.colours, 0.9 * colours(RED) + 0.1 * colours(BLUE), atol=1e-6)
    assert (moving.moved, moving.last_moved_s) == (4, 0.2)
    assert (still.moved, still.last_moved_s) == (3, 0.0)


@pytest.mark.parametrize("is_seen", [True, False])
def test_nothing_is_learnt_of_a_thing_while_another_is_before_it(is_seen: bool) -> None:
    followed = track(FOLLOWED, speed=np.array([1.0, 0.0]))
    other = track((55, 30, 75, 50), BLUE, seen=is_seen)
    at = view(1, (FOLLOWED, BLUE), moving=box_map(FOLLOWED), own=(9, 0))
    tracker(followed, other)._update(followed, at, moved=True)
    assert (followed.speed[0] == 1) == is_seen
    assert (followed.colours == colours(RED)).all() == is_seen


def test_a_map_without_a_box_is_of_a_hidden_thing() -> None:
    followed = track(FOLLOWED)
    followed.mask = box_map((40, 30, 42, 32))
    tracker(followed)._update(followed, view(1), moved=True)
    assert not followed.seen
    assert (followed.pts, followed.moved) == ([0], 3)


def test_a_pixel_is_of_the_likeliest_thing() -> None:
    # Two of the same colours, of which the first is less sure.
    one, other = track((40, 30, 60, 50)), track((52, 30, 72, 50))
    one.mask *= 0.9
    look(tracker(one, other), view(1, ((40, 30, 72, 50), RED)))
    assert (one.mask > 0.5)[35:45, 42:48].all()
    assert (other.mask > 0.5)[35:45, 54:70].all()
    assert not ((one.mask > 0.5) & (other.mask > 0.5)).any()


def test_a_detection_corrects_the_map() -> None:
    followed = track(FOLLOWED)
    made = tracker(followed)
    right = (50, 30, 60, 50)
    look(made, view(1, (FOLLOWED, RED), moving=box_map(right)))
    assert followed.moved == 4
    # Of the half without a detection 0.4 is left, and the other half is surer than before.
    np.testing.assert_allclose(followed.mask[35:45, 42:46], 0.4, atol=0.01)
    np.testing.assert_allclose(followed.mask[35:45, 53:58], 1, atol=0.01)


def detect(monkeypatch: pytest.MonkeyPatch, *detections: np.ndarray) -> None:
    monkeypatch.setattr("seal.track.motion._regions", lambda *_: [d.copy() for d in detections])


@pytest.mark.parametrize("moved", [3, 1])
def test_a_confirmed_tracklet_leaves_other_things_to_others(
    monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    followed = track(FOLLOWED, moved=moved)
    made = tracker(followed)
    beside = (70, 30, 90, 50)
    detect(monkeypatch, box_map(FOLLOWED, beside))
    look(made, view(1, (FOLLOWED, RED), (beside, BLUE)))
    is_confirmed = moved == 3
    assert len(made._tracks) == 1 + is_confirmed
    assert (followed.mask[40, 80] == 0) == is_confirmed
    if is_confirmed:
        np.testing.assert_array_equal(made._tracks[1].mask, box_map(beside))


@pytest.mark.parametrize(("width", "found"), [(8, 1), (12, 0)])
def test_what_is_left_to_others_and_another_has_is_no_new_thing(
    monkeypatch: pytest.MonkeyPatch, width: int, found: int
) -> None:
    # The other tracklet has 40 or 60 % of the part, which is too little of it to be its own.
    part, other = (70, 30, 90, 50), (90 - width, 30, 90, 80)
    made = tracker(track(FOLLOWED), track(other, BLUE))
    detect(monkeypatch, box_map(FOLLOWED, part))
    look(made, view(1, (FOLLOWED, RED), (part, GREEN), (other, BLUE)))
    assert len(made._tracks) == 2 + found


@pytest.mark.parametrize(("shared_px", "found"), [(4, 1), (6, 0)])
def test_a_detection_that_is_partly_a_tracklets_is_no_new_thing(
    monkeypatch: pytest.MonkeyPatch, shared_px: int, found: int
) -> None:
    # Columns of twenty pixels: 8 or 12 % of the detection, and too few to be the tracklet's.
    made = tracker(track(FOLLOWED))
    box = (60 - shared_px, 30, 110 - shared_px, 50)
    detect(monkeypatch, box_map(box))
    look(made, view(1, (FOLLOWED, RED), ((60, 30, 110, 50), BLUE)))
    assert len(made._tracks) == 1 + found


# Coming out of hiding.


def hidden(pictures: int, **changes: Any) -> _Track:
    return track(FOLLOWED, seen=False, missed=list(range(1, 1 + pictures)), **changes)


def comes_out(made: MotionTracker, x: int, cell: int = RED) -> bool:
    """Whether a region of the same size, x px to the right, is what was hidden."""
    before = len(made._tracks)
    box = (40 + x, 30, 60 + x, 50)
    made._find(box_map(box), view(9, (box, cell), moving=box_map(box), own=(2, 0)))
    return len(made._tracks) == before


def test_a_thing_comes_out_of_hiding_near_where_it_should_be() -> None:
    # Within 1.5 diameters (42.4 px) and 2 px more for each picture for which it was hidden.
    assert comes_out(tracker(hidden(1)), 44)
    assert not comes_out(tracker(hidden(1)), 45)


def test_the_longer_a_thing_was_hidden_the_further_it_may_have_come() -> None:
    assert comes_out(tracker(hidden(8)), 58)
    assert not comes_out(tracker(hidden(8)), 59)
    # Only since it was last seen.
    assert not comes_out(tracker(hidden(8, pts=[0, 7], boxes=[np.zeros(4)] * 2)), 46)


def test_what_comes_out_has_the_colours_of_what_was_hidden() -> None:
    assert comes_out(tracker(hidden(1)), 5)
    assert not comes_out(tracker(hidden(1)), 5, BLUE)


@pytest.mark.parametrize(("share", "is_same"), [(0.4, False), (0.6, True)])
def test_some_new_colours_make_no_new_thing(share: float, is_same: bool) -> None:
    made = tracker(hidden(1))
    box = (45, 30, 65, 50)
    at = view(9, (box, BLUE), ((45, 30, 45 + round(20 * share), 50), RED))
    made._find(box_map(box), at)
    # Bhattacharyya's coefficient is the root of the share: 0.63 and 0.77.
    assert (len(made._tracks) == 1) == is_same


def test_what_is_seen_does_not_come_out() -> None:
    assert not comes_out(tracker(track(FOLLOWED)), 5)


def test_what_came_out_is_seen_there() -> None:
    followed = hidden(2)
    comes_out(tracker(followed), 20)
    assert followed.seen
    assert followed.pts == [0, 9]
    assert followed.place.tolist() == pytest.approx([70, 40])


# The end, and the beginning.


def alive(made: MotionTracker, number: int, *things: tuple[Corners, int]) -> bool:
    look(made, view(number, *things))
    return bool(made._tracks)


@pytest.mark.parametrize(("moved", "patience"), [(3, 17), (2, 2)])
def test_a_thing_that_stands_still_is_kept_for_a_while(moved: int, patience: int) -> None:
    # For 3.5 s, or for 0.5 s before it is confirmed; five pictures a second.
    followed = track(FOLLOWED, moved=moved)
    made = tracker(followed)
    lasted = [alive(made, number, (FOLLOWED, RED)) for number in range(1, 20)]
    assert sum(lasted) == patience
    assert lasted == sorted(lasted, reverse=True)


def test_a_thing_that_is_hidden_is_noted_as_such() -> None:
    followed = track(FOLLOWED)
    made = tracker(followed)
    for number in (1, 2):
        assert alive(made, number)
    assert followed.missed == [1, 2]
    assert followed.hidden() == 2


def moved_back(made: MotionTracker, boxes: list[Corners], cell: int = RED) -> None:
    """Pictures 0, 1, ... in which a thing goes from box to box."""
    for number, box in enumerate(boxes):
        own = (0, 0)
        if number:
            before = boxes[number - 1]
            own = (box[0] + box[2] - before[0] - before[2]) / 2, 0
        made._views.append(view(number, (box, cell), moving=box_map(box), own=own))


def test_a_thing_is_followed_back_to_before_it_was_found() -> None:
    boxes = [(20 + 6 * k, 30, 40 + 6 * k, 50) for k in range(6)]
    made = tracker()
    moved_back(made, boxes)
    earlier = list(made._traced(box_map(boxes[5]), colours(RED), 5))
    assert [pts for pts, _ in earlier] == [4, 3, 2, 1, 0]
    for pts, box in earlier:
        want = np.array(boxes[pts]) / (WIDTH, HEIGHT, WIDTH, HEIGHT)
        np.testing.assert_allclose(box, want, atol=1.5 / HEIGHT)


def test_only_pictures_before_it_was_found_count() -> None:
    boxes = [(20 + 6 * k, 30, 40 + 6 * k, 50) for k in range(6)]
    made = tracker()
    moved_back(made, boxes)
    earlier = made._traced(box_map(boxes[3]), colours(RED), 3)
    assert [pts for pts, _ in earlier] == [2, 1, 0]


@pytest.mark.parametrize(
    ("before", "after"),
    [((53, 33, 63, 43), (55, 35, 61, 41)), ((55, 35, 61, 41), (53, 33, 63, 43))],
)
def test_what_more_than_doubles_its_size_is_not_what_it_was(
    before: Corners, after: Corners
) -> None:
    boxes = [before, before, after, after]
    made = tracker()
    moved_back(made, boxes)
    earlier = made._traced(box_map(boxes[3]), colours(RED), 3)
    assert [pts for pts, _ in earlier] == [2]


def test_where_its_colours_end_its_past_ends() -> None:
    boxes = [(20 + 6 * k, 30, 40 + 6 * k, 50) for k in range(4)]
    made = tracker()
    moved_back(made, boxes)
    made._views[1] = view(1, (boxes[1], BLUE), moving=box_map(boxes[1]))
    earlier = made._traced(box_map(boxes[3]), colours(RED), 3)
    assert [pts for pts, _ in earlier] == [2]


def test_a_confirmed_tracklet_is_given_its_past_once() -> None:
    boxes = [(20 + 6 * k, 30, 40 + 6 * k, 50) for k in range(4)]
    made = tracker()
    moved_back(made, boxes)
    followed = track(boxes[2], pts=[2], moved=1)
    made._tracks = [followed]
    for moved in (2, 3, 4):
        if moved == 4:
            followed.earlier = []
        made._update(followed, view(3, (boxes[2], RED)), moved=True)
        assert len(followed.earlier) == (2 if moved == 3 else 0)


# Pictures to evidence.


class StillCamera:
    """Finds everywhere the residual flow that it is told to."""

    def __init__(self, residual_px: float, noise_px: float) -> None:
        residual = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        residual[..., 0] = residual_px
        self._motion = Motion(residual, np.eye(3), noise_px, residual, PIXELS)

        self.between: list[tuple] = []

    def motion(self, earlier: Any, later: Any, between: tuple = ()) -> Motion:
        self.between.append(between)
        return self._motion


def push(made: MotionTracker, number: int, image: np.ndarray) -> None:
    made.push(Frame(image, number, number + 1, Fraction(1, 5), False))


GROUND_ONLY = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
WITH_A_THING = GROUND_ONLY.copy()
WITH_A_THING[30:50, 40:60] = (220, 40, 40)


@pytest.mark.parametrize("noise_px", [0.2, 1.0])
def test_flow_of_two_and_a_half_deviations_is_as_likely_as_not_a_movers(noise_px: float) -> None:
    made = MotionTracker(MotionTrack(), None)
    push(made, 0, GROUND_ONLY)
    made._camera = StillCamera(2.5 * noise_px, noise_px)
    push(made, 1, GROUND_ONLY)
    assert made._view is not None
    np.testing.assert_allclose(made._view.moves, 0.5, rtol=1e-5)


@pytest.mark.parametrize("stays", [True, False])
def test_what_a_mover_uncovers_is_no_mover(stays: bool) -> None:
    # The world shows from now on what was not seen before: nothing moved there by itself.
    made = MotionTracker(MotionTrack(), None)
    push(made, 0, WITH_A_THING)
    made._camera = StillCamera(9.0, 0.2)
    push(made, 1, GROUND_ONLY)
    push(made, 2, GROUND_ONLY if stays else WITH_A_THING)
    assert (made._evidence[35:45, 45:55] == 0).all() == stays
    assert len(made._tracks) == (not stays)


def test_the_last_picture_counts_when_the_shot_ends() -> None:
    made = MotionTracker(MotionTrack(), None)
    push(made, 0, GROUND_ONLY)
    made._camera = StillCamera(9.0, 0.2)
    push(made, 1, WITH_A_THING)
    push(made, 2, GROUND_ONLY)
    push(made, 3, WITH_A_THING)
    followed = list(made._tracks)
    assert max(thing.pts[-1] for thing in followed) == 2
    made.end()
    assert max(thing.pts[-1] for thing in followed) == 3


@pytest.mark.parametrize(
    ("size", "small"), [((360, 640), (90, 160)), ((90, 160), (90, 160)), ((4, 4000), (8, 3795))]
)
def test_flow_is_found_on_pictures_of_about_14400_px(size: tuple, small: tuple) -> None:
    made = MotionTracker(MotionTrack(), None)
    push(made, 0, np.zeros((*size, 3), np.uint8))
    assert made._evidence.shape == small


def test_the_camera_is_given_the_pictures_between() -> None:
    made = MotionTracker(MotionTrack(), None)
    push(made, 0, GROUND_ONLY)
    made._camera = camera = StillCamera(0.0, 0.2)
    between = (np.zeros((45, 80), np.uint8),)
    made.push(Frame(GROUND_ONLY, 1, 2, Fraction(1, 5), False, between))
    assert camera.between == [between]


def test_noise_averages_out_in_the_small_picture() -> None:
    made = MotionTracker(MotionTrack(), None)
    noise = np.random.default_rng(0).normal(128, 30, (360, 640, 1)).clip(0, 255).astype(np.uint8)
    push(made, 0, noise.repeat(3, 2))
    # Each pixel is the mean of sixteen.
    assert made._grey.std() == pytest.approx(30 / 4, rel=0.1)
