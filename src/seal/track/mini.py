"""What a detector finds, linked over time, and beside it what moves without a name.

Links are made in two rounds, as ByteTrack (Zhang et al. 2022) does. Sure finds take what is
followed, then unsure ones, which would be false alarms by themselves, keep the rest alive. What
nothing is found of goes on with the flow of its pixels, less what the camera did. It starts from
where it was seen last (OC-SORT, Cao et al. 2023, learns from observations alone as well).
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from seal.config import MiniTrack, MotionTrack
from seal.detect import Detections, Detector
from seal.segment import Segmenter
from seal.track import Tracker, Tracklet
from seal.track.camera import Motion
from seal.track.motion import MotionTracker
from seal.types import Float64, pairwise_iou
from seal.video.frame import Frame

_LINK_IOU = 0.25
"""A find is of what is followed if their boxes overlap so much."""
_OTHER_NAME = 0.6
"""A find of another name counts by this share: names change more easily than places."""
_TAKEN_IOU = 0.5
"""A find starts nothing new where something followed was found, by this overlap."""
_FORETOLD_IOU = 0.7
"""A thing was found where it should be by this overlap: the next frame needs no look for it."""
_PATIENCE_S = 1.5
"""What is not found for so long has ended where it was found last."""
_FINDS = 3
"""A thing is real once it was found so often."""
_CORE = 0.2
"""Share of a box that is left out on each side: what moves there is rather the background."""
_WAY = 0.15
"""A thing moves if its middle comes this far by itself, in its own sizes ..."""
_WAY_PX = 3.0
"""... and so far in px of the maps of flow, whose noise goes to and fro."""
_MOVES = 2.5
"""Flow says that it moves if half of its middle part has so many deviations of the noise ..."""
_MOVING = 0.4
"""... and it moves as well if that is so in at least this share of its finds."""
_SAME_SHARE = 0.5
"""What moves without a name is a thing with one if their boxes overlap, by `_TAKEN_IOU`, in this
share of the pictures that show it."""
_KEPT = 64
"""Things that have ended are kept, so many of the latest, to know what moves without a name."""


@dataclass(eq=False)
class _Followed:
    """One thing with a name."""

    box: Float64
    """[4] normalised: where it should be now."""
    still: Float64
    """[4] where the camera alone would have taken it since it was found last."""
    time_s: float
    """When it was found last."""
    speed: Float64 = field(default_factory=lambda: np.zeros(2))
    """[2] a second, by itself."""
    way: Float64 = field(default_factory=lambda: np.zeros(2))
    """[2] how far it has come by itself since it was found first."""
    reach: float = 0.0
    """The furthest that it was from there, in its own sizes."""
    reach_px: float = 0.0
    moved: int = 0
    """At so many of its finds flow says that it moves."""
    pts: list[int] = field(default_factory=list)
    boxes: list[Float64] = field(default_factory=list)
    """Where it was at each of `pts`."""
    missed: list[int] = field(default_factory=list)
    """When it was not found since it was found last."""
    finds: int = 0
    names: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """The scores of its finds, by their names."""

    @property
    def name(self) -> int:
        """What most of its finds call it, as its number in `Detector.names`."""
        return max(self.names, key=lambda name: self.names[name])

    @property
    def score(self) -> float:
        """How likely it has that name: the mean over its finds, other names count nothing."""
        return self.names[self.name] / self.finds

    @property
    def moves(self) -> bool:
        far = self.reach >= _WAY and self.reach_px >= _WAY_PX
        return far or self.moved >= _MOVING * self.finds


class MiniTracker(Tracker):
    """Tracklets of things with names that move, and of whatever else moves by itself."""

    uses_segmenter = False
    uses_detector = True

    def __init__(self, options: MiniTrack, segmenter: Segmenter, detector: Detector) -> None:
        self._every = options.every
        self._detector = detector
        self._unnamed = MotionTracker(MotionTrack(), segmenter)
        self.fingerprint = f"mini-3 {self._unnamed.fingerprint} {detector.fingerprint}"
        self._followed: list[_Followed] = []
        self._ended: deque[_Followed] = deque(maxlen=_KEPT)
        self._time_s = 0.0
        self._unlooked = 0
        """So many frames have passed since the look that the next frame is spared for; 0: none."""

    def push(self, frame: Frame) -> list[Tracklet]:
        """Take the next frame; the tracklets that have ended by now."""
        unnamed = self._unnamed.push(frame)
        motion = self._unnamed.motion
        for thing in self._followed:
            _carry(thing, motion, frame.time_s - self._time_s)
        self._time_s = frame.time_s
        if self._unlooked == 0:
            settled = self._link(self._detector.glance(frame.image), frame, motion)
            self._unlooked = int(settled)
        else:
            for thing in self._followed:
                thing.missed.append(frame.pts)
            self._unlooked += 1
        self._unlooked %= self._every if self._followed else self._every**2
        lost = [one for one in self._followed if frame.time_s - one.time_s > _PATIENCE_S]
        self._followed = [one for one in self._followed if one not in lost]
        return self._finished(lost) + self._others(unnamed)

    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""
        done = self._finished(self._followed)
        self._followed = []
        done += self._others(self._unnamed.end())
        self._ended.clear()
        self._unlooked = 0
        return done

    def _link(self, found: Detections, frame: Frame, motion: Motion) -> bool:
        """Whether everything is real and was found where it should be."""
        sure = found.scores >= self._detector.min_score
        waiting = list(self._followed)
        free = np.ones(len(found), bool)
        foretold = True
        for part in (sure, ~sure):
            rows = np.flatnonzero(part)
            for thing, row in _matched(waiting, found[rows]):
                overlap = pairwise_iou(thing.box[None], found.boxes[rows[row]][None])
                foretold = foretold and bool(overlap >= _FORETOLD_IOU)
                _find(thing, found, int(rows[row]), frame, motion)
                waiting.remove(thing)
                free[rows[row]] = False
        for thing in waiting:
            thing.missed.append(frame.pts)
        # Of two finds around one thing, such as a dog that may be a cat, the surer one comes first.
        for row in np.flatnonzero(free & sure).tolist():
            box = found.boxes[row].astype(np.float64)
            here = np.array([one.box for one in self._followed if not one.missed]).reshape(-1, 4)
            if (pairwise_iou(box[None], here) < _TAKEN_IOU).all():
                thing = _Followed(box, box, frame.time_s)
                _find(thing, found, row, frame, motion)
                self._followed.append(thing)
        return foretold and not waiting and all(one.finds >= _FINDS for one in self._followed)

    def _finished(self, things: list[_Followed]) -> list[Tracklet]:
        """Tracklets of the things that were found often enough, and move."""
        real = [thing for thing in things if self._is_real(thing)]
        self._ended.extend(real)
        return [self._tracklet(thing) for thing in real if thing.moves]

    def _is_real(self, thing: _Followed) -> bool:
        sure = sum(thing.names.values()) / max(1, thing.finds) >= self._detector.min_score
        return sure and thing.finds >= _FINDS

    def _tracklet(self, thing: _Followed) -> Tracklet:
        pts, boxes = np.array(thing.pts, np.int64), np.array(thing.boxes, np.float32)
        return Tracklet(pts, boxes, thing.score, self._name(thing))

    def _name(self, thing: _Followed) -> str:
        """Nothing where its finds do not agree."""
        agree = thing.score >= self._detector.min_score
        return self._detector.names[thing.name] if agree else ""

    def _others(self, unnamed: list[Tracklet]) -> list[Tracklet]:
        """What moves without a name. It is left out if it is a thing with a name that is a tracklet
        itself, and with that name if the thing moves too little to be one."""
        kept = []
        real = [*self._ended, *filter(self._is_real, self._followed)]
        for tracklet in unnamed:
            same = [thing for thing in real if _same(thing, tracklet)]
            if not same:
                kept.append(tracklet)
            elif not any(thing.moves for thing in same):
                best = max(same, key=lambda thing: thing.finds)
                name = self._name(best)
                kept.append(replace(tracklet, name=name, score=best.score) if name else tracklet)
        return kept


def _carry(thing: _Followed, motion: Motion, passed_s: float) -> None:
    """Where the thing should be in the next picture: with the flow of its middle part."""
    height, width = motion.flow.shape[:2]
    size = np.array([width, height, width, height], np.float64)
    ends = np.array([thing.still, thing.box]).reshape(-1, 1, 2) * size[:2]
    moved = cv2.perspectiveTransform(ends, motion.onward).reshape(2, 4)
    thing.still = moved[0] / size
    place = moved[1] + np.tile(thing.speed * passed_s, 2) * size
    # The flow is that of the later picture: its place there is found in two steps.
    for _ in range(2):
        flow = motion.flow[_core(place, width, height)].reshape(-1, 2)
        if len(flow):
            place = thing.box * size - np.tile(np.median(flow, 0), 2)
    thing.box = place / size


def _core(box: Float64, width: int, height: int) -> tuple[slice, slice]:
    """The rows and columns of the middle part of a box in px."""
    x0, y0, x1, y1 = box.tolist()
    dx, dy = _CORE * (x1 - x0), _CORE * (y1 - y0)
    rows = slice(max(0, int(y0 + dy)), min(height, int(np.ceil(y1 - dy))))
    return rows, slice(max(0, int(x0 + dx)), min(width, int(np.ceil(x1 - dx))))


def _matched(things: list[_Followed], found: Detections) -> list[tuple[_Followed, int]]:
    """Pairs of things and finds, those that overlap most first."""
    if not things or not len(found):
        return []
    overlaps = pairwise_iou(np.array([thing.box for thing in things]), found.boxes)
    names = [thing.name for thing in things]
    same = np.array(names)[:, None] == found.names
    worth = np.where(overlaps >= _LINK_IOU, overlaps * np.where(same, 1, _OTHER_NAME), 0)
    pairs = []
    while worth.max() > 0:
        i, j = np.unravel_index(int(worth.argmax()), worth.shape)
        pairs.append((things[i], int(j)))
        worth[i], worth[:, j] = 0, 0
    return pairs


def _find(thing: _Followed, found: Detections, row: int, frame: Frame, motion: Motion) -> None:
    """Note that a find is of this thing."""
    box = found.boxes[row].astype(np.float64)
    height, width = motion.flow.shape[:2]
    own = (box[:2] + box[2:] - thing.still[:2] - thing.still[2:]) / 2
    thing.way = thing.way + own
    side = np.sqrt(max(1e-9, float((box[2:] - box[:2]).prod())))
    thing.reach = max(thing.reach, float(np.hypot(*thing.way)) / side)
    thing.reach_px = max(thing.reach_px, float(np.hypot(*(thing.way * (width, height)))))
    thing.speed = (thing.speed + own / max(frame.time_s - thing.time_s, 1e-3)) / 2
    residual = motion.residual_square[_core(box * (width, height, width, height), width, height)]
    thing.moved += bool(residual.size and np.median(residual) > (_MOVES * motion.noise_px) ** 2)
    if thing.missed:
        shares = np.linspace(0, 1, len(thing.missed) + 2)[1:-1, None]
        thing.boxes += list(thing.boxes[-1] + shares * (box - thing.boxes[-1]))
        thing.pts += thing.missed
        thing.missed = []
    thing.pts.append(frame.pts)
    thing.boxes.append(box)
    thing.box = thing.still = box
    thing.time_s = frame.time_s
    thing.finds += 1
    thing.names[int(found.names[row])] += float(found.scores[row])


def _same(thing: _Followed, tracklet: Tracklet) -> bool:
    """Whether a tracklet is of this thing for most of its time."""
    both, mine, other = np.intersect1d(thing.pts, tracklet.pts, return_indices=True)
    if not len(both):
        return False
    boxes = np.array(thing.boxes, np.float32)[mine]
    overlaps = np.diagonal(pairwise_iou(boxes, tracklet.boxes[other]))
    return bool((overlaps >= _TAKEN_IOU).sum() >= _SAME_SHARE * len(tracklet.pts))
