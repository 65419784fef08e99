"""What moves against the background, followed over time; CPU only, no weights.

Each picture, once the next is there: flow less the camera's motion says where something moves
(`camera`); the evidence is carried along the flow and adds up over time. Regions of it, drawn to
the colours that set them apart, are the detections. Each tracklet carries a map of where its thing
is, along the flow and its colours, so that it survives pauses and crossings; detections correct
the map.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from seal.config import MotionTrack
from seal.segment import Segmenter
from seal.track import Tracker, Tracklet
from seal.track.camera import Camera, Motion, soft, unexplained
from seal.track.outline import (
    MIN_AREA,
    REACH_PX,
    alike,
    area_px,
    box_of,
    cells,
    histogram,
    likelihood,
    overlap,
    refine,
)
from seal.types import Float32, Float64, Int64, UInt8
from seal.video.frame import Frame

_AREA = 160 * 90
"""Flow is computed on pictures of about this many pixels, whatever their shape."""
_KEEP = 0.6
"""Share of the accumulated evidence that is carried to the next picture."""
_REGION = 0.5
"""Evidence above this makes a region."""
_FLAT = 21
"""Flat insides of up to so many pixels of the map are filled where flow says that they move ..."""
_ALIKE = 0.9
"""... and this likely have the colours of what moves around them."""
_MATCH = 0.5
"""A detection belongs to a tracklet if they share this much of either."""
_CONFIRM = 3
"""A tracklet is real once it was seen to move in so many pictures."""
_WAY_PX = 3.0
"""... and came this far by itself: noise goes to and fro."""
_SAME = 0.7
"""Colour models that share this much are of one thing."""
_OTHER = 0.5
"""Colour models that share less than this are of two."""
_NEAR = 1.5
"""A thing comes out of hiding within so many of its diameters of where it should be ..."""
_DRIFT_PX = 2.0
"""... and so many px more for each picture for which it was hidden."""
_TAKEN = 0.1
"""A detection starts a new tracklet unless a tracklet already has more than this share of it."""
_TAKEN_PART = 0.5
"""The same for a part that a tracklet left to others."""
_PART = 0.3
"""A tracklet in two parts, of which one has this share of the other, is of two things."""
_VIEWS = 24
"""A new tracklet is followed back over so many pictures."""

_MOVES = 2.5
"""Residual flow of this many deviations of the background's is as likely as not a mover's."""
_MOVING = 0.4
"""... and moved in at least this share of them."""
_PATIENCE_S = 3.5
"""A thing that stands still or is hidden is kept for this long ..."""
_DOUBT_S = 0.5
"""... and one that is not confirmed for this long."""


@dataclass(frozen=True, eq=False)
class _View:
    """A picture and how it came from the one before; maps are of the flow's size."""

    pts: int
    time_s: float
    bins: Int64
    """[height, width] cells of the colour model."""
    motion: Motion
    moves: Float32
    """[height, width] whether flow says that it moves by itself."""
    unexplained: Float32
    """[height, width] how far the camera's motion does not explain it."""


@dataclass(eq=False)
class _Track:
    """One thing that is followed."""

    mask: Float32
    """[height, width] how likely each pixel is part of it, now."""
    colours: Float32
    """[bins ** 3] its colours, shares."""
    born: Float32
    """[height, width] its mask in the first picture that it was found in."""
    place: Float64 = field(default_factory=lambda: np.zeros(2))
    """px: its middle, or where that should be while it is hidden."""
    speed: Float64 = field(default_factory=lambda: np.zeros(2))
    """px from picture to picture by itself."""
    way: Float64 = field(default_factory=lambda: np.zeros(2))
    """px it has moved by itself since it was found."""
    reach_px: float = 0.0
    """The furthest that it was from there."""
    seen: bool = True
    """Whether it is where it should be, moving or not: its colours are."""
    pts: list[int] = field(default_factory=list)
    """When it was seen."""
    boxes: list[Float32] = field(default_factory=list)
    """Where it was then."""
    missed: list[int] = field(default_factory=list)
    """When it was hidden since it was found: it is given out there if it is seen again."""
    earlier: list[tuple[int, Float32]] = field(default_factory=list)
    """Times and boxes before it was found, back in time."""
    moved: int = 0
    """In so many pictures it was seen to move."""
    last_moved_s: float = 0.0
    apart: int = 0
    """Pictures for which it has been in two parts."""

    @property
    def real(self) -> bool:
        return self.moved >= _CONFIRM

    def hidden(self) -> int:
        """For how many pictures it has been hidden."""
        return sum(pts > self.pts[-1] for pts in self.missed)


class MotionTracker(Tracker):
    """Tracklets of whatever moves by itself, from a still or moving camera."""

    fingerprint = "motion-4"
    uses_segmenter = False

    def __init__(self, options: MotionTrack, segmenter: Segmenter) -> None:
        self._camera: Camera | None = None
        self._tracks: list[_Track] = []
        self._views: deque[_View] = deque(maxlen=_VIEWS)
        self._view: _View | None = None

    @property
    def motion(self) -> Motion:
        """What moved between the last two frames; after the first one nothing."""
        assert self._view is not None, "no frame was pushed"
        return self._view.motion

    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""
        done = [] if self._view is None else self._look(self._view, self._view.unexplained)
        done += _finished(self._tracks)
        self._tracks = []
        self._views.clear()
        self._view = None
        self._camera = None
        return done

    def push(self, frame: Frame) -> list[Tracklet]:
        """Take the next frame; the tracklets that have ended by now."""
        height, width = frame.image.shape[:2]
        scale = (_AREA / (height * width)) ** 0.5
        w, h = (max(8, round(side * scale)) for side in (width, height))
        # Twice linear is the cheaper of two good ways to a small picture.
        image = cv2.resize(frame.image, (2 * w, 2 * h), interpolation=cv2.INTER_LINEAR)
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2Lab)
        ended = [] if self._camera is None or self._grey.shape == grey.shape else self.end()
        if self._camera is None:
            self._camera = Camera(h, w)
            self._evidence = np.zeros((h, w), np.float32)
            motion, before = self._camera.motion(grey, grey), lab
        else:
            motion, before = self._camera.motion(self._grey, grey, frame.between), self._lab
        if self._view is not None:
            # What a mover uncovers was not there before, but the world shows it from now on.
            after = unexplained(before, lab, motion.onward)
            ended += self._look(self._view, self._view.unexplained * after)
        self._view = _View(
            frame.pts,
            frame.time_s,
            cells(lab),
            motion,
            soft(motion.residual_square, (_MOVES * motion.noise_px) ** 2),
            unexplained(lab, before, motion.camera),
        )
        self._grey: UInt8 = grey
        self._lab: UInt8 = lab
        return ended

    def _look(self, view: _View, unexplained: Float32) -> list[Tracklet]:
        """Follow every tracklet into this picture. Returns the tracklets that end here.

        `unexplained` [height, width] is how far neither the picture before nor the picture after
        explains this one.
        """
        self._views.append(view)
        now = view.moves * unexplained
        carried = cv2.remap(self._evidence, view.motion.warp, None, cv2.INTER_LINEAR)
        # Old evidence fades faster where the background is visible again: the mover has left.
        carried *= 0.3 + 0.7 * unexplained
        self._evidence = _KEEP * carried + (1 - _KEEP) * now
        detections = _regions(np.maximum(self._evidence, 0.9 * now), view.moves, view.bins)
        for track in self._tracks:
            self._predict(track, view)
        seen = [track for track in self._tracks if track.seen]
        if len(seen) > 1:
            # Each pixel belongs to one tracklet only, the likeliest.
            best = np.max([track.mask for track in seen], axis=0)
            for track in seen:
                track.mask = np.where(track.mask < best, np.minimum(track.mask, 0.5), track.mask)
        owned = _assign([track.mask > 0.5 for track in seen], detections)
        others: list[Float32] = []
        for track, mine in zip(seen, owned, strict=True):
            if mine is not None:
                for other in _others(track, mine, view.bins) if track.real else []:
                    mine = mine * (1 - other)
                    others.append(other)
                track.mask = 0.4 * track.mask + 0.6 * mine
            self._update(track, view, mine is not None)
        found = [mask for mask in others if _taken(mask, seen) <= _TAKEN_PART]
        found += [mask for mask in detections if _taken(mask, seen) <= _TAKEN]
        for track in self._tracks:
            if track.seen and (part := _parted(track)) is not None:
                found.append(part)
                # Its past boxes hold both things: trace the first thing alone.
                track.mask = track.mask - part
                colours = histogram(view.bins, track.mask)
                alone = dict(self._traced(track.mask, colours, view.pts))
                rows = zip(track.pts, track.boxes, strict=True)
                track.boxes = [alone.get(pts, box) for pts, box in rows]
        for mask in found:
            self._find(mask, view)
        alive: list[_Track] = []
        ended: list[_Track] = []
        for track in self._tracks:
            if not track.seen:
                track.missed.append(view.pts)
            patience = _PATIENCE_S if track.real else _DOUBT_S
            (alive if view.time_s - track.last_moved_s <= patience else ended).append(track)
        self._tracks = alive
        return _finished(ended)

    def _predict(self, track: _Track, view: _View) -> None:
        """Where it should be in this picture, and whether its colours are there."""
        place = view.motion.onward @ (*track.place, 1.0)
        track.place = place[:2] / place[2] + track.speed
        if track.seen:
            carried = cv2.remap(track.mask, view.motion.warp, None, cv2.INTER_LINEAR)
        else:
            # Flow there is of what hides it: it goes on by itself.
            back = np.array([[1, 0, -track.speed[0]], [0, 1, -track.speed[1]], [0, 0, 1]])
            size, flags = track.mask.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            carried = cv2.warpPerspective(track.mask, back @ view.motion.camera, size, flags=flags)
        drawn = refine(carried, view.bins, track.colours)
        # Hidden, or its outline is lost: it goes on as it was.
        track.seen = drawn is not carried and area_px(drawn) >= MIN_AREA * drawn.size / 2
        track.mask = drawn if track.seen else carried

    def _update(self, track: _Track, view: _View, moved: bool) -> None:
        """Note where it is in this picture, moving or not."""
        box = box_of(track.mask)
        if box is None:
            track.seen = False
            return
        own = -np.array(cv2.mean(view.motion.residual, (track.mask > 0.5).view(np.uint8))[:2])
        track.way += own
        track.reach_px = max(track.reach_px, float(np.hypot(*track.way)))
        track.place = (box[:2] + box[2:]) / 2 * track.mask.shape[::-1]
        track.pts.append(view.pts)
        track.boxes.append(box)
        # Nothing is learnt of a thing while it may be partly another.
        rest = (o for o in self._tracks if o is not track and o.seen)
        alone = not any(overlap(box, other.boxes[-1]) > 0 for other in rest)
        if alone:
            track.speed = 0.5 * track.speed + (0.5 * own if moved else 0)
        if moved:
            if alone:
                track.colours = 0.9 * track.colours + 0.1 * histogram(view.bins, track.mask)
            track.moved += 1
            track.last_moved_s = view.time_s
            if track.moved == _CONFIRM:
                track.earlier = list(self._traced(track.born, track.colours, track.pts[0]))

    def _find(self, mask: Float32, view: _View) -> None:
        """A region that is no tracklet's: a hidden one that comes out again, or a new one."""
        box = box_of(mask)
        if box is None:
            return
        colours = histogram(view.bins, mask)
        size = np.array(mask.shape[::-1])
        diameter, place = np.hypot(*((box[2:] - box[:2]) * size)), (box[:2] + box[2:]) / 2 * size
        for track in self._tracks:
            far = np.hypot(*(track.place - place)) > _NEAR * diameter + _DRIFT_PX * track.hidden()
            if not (track.seen or far) and alike(track.colours, colours) > _SAME:
                track.mask, track.seen = mask, True
                break
        else:
            track = _Track(mask, colours, mask)
            self._tracks.append(track)
        self._update(track, view, True)

    def _traced(self, mask: Float32, colours: Float32, pts: int) -> Iterator[tuple[int, Float32]]:
        """Times and boxes of what is at `mask` at `pts` before that, back in time."""
        views = [view for view in self._views if view.pts <= pts]
        for view, before in zip(views[:0:-1], views[-2::-1], strict=True):
            step = np.median(view.motion.flow[mask > 0.5], axis=0)
            matrix = np.array([[1, 0, step[0]], [0, 1, step[1]]])
            carried = cv2.warpAffine(mask, matrix, mask.shape[::-1])
            drawn = refine(carried, before.bins, colours)
            box = box_of(drawn)
            # Nothing doubles its size from picture to picture.
            if box is None or drawn is carried or not 0.5 < area_px(drawn) / area_px(mask) < 2:
                return
            yield before.pts, box
            mask = drawn


def _finished(tracks: list[_Track]) -> list[Tracklet]:
    """What these were, those that are real."""
    done = []
    for track in tracks:
        found, pts = np.array(track.pts, np.int64), np.array(track.pts + track.missed, np.int64)
        pts = np.sort(pts[pts <= found[-1]])
        moving = track.moved / len(pts)
        if track.real and track.reach_px >= _WAY_PX and moving >= _MOVING:
            seen = np.array(track.boxes)
            boxes = np.column_stack([np.interp(pts, found, seen[:, k]) for k in range(4)])
            before = track.earlier[::-1]
            pts = np.concatenate([np.array([at for at, _ in before], np.int64), pts])
            boxes = np.concatenate([np.reshape([box for _, box in before], (-1, 4)), boxes])
            done.append(Tracklet(pts, boxes.astype(np.float32), min(1.0, moving)))
    return done


def _taken(region: Float32, tracks: list[_Track]) -> float:
    """The largest share of a region that is a tracklet's."""
    return max((float(np.vdot(t.mask, region)) for t in tracks), default=0.0) / float(region.sum())


def _others(track: _Track, region: Float32, bins: Int64) -> list[Float32]:
    """Parts of a region that are too large and too different to be the tracklet's."""
    near = cv2.dilate(track.mask, np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8))
    beyond = ((region > 0.5) & (near < 0.5)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(beyond)
    least = max(MIN_AREA * beyond.size, _PART * (track.mask > 0.5).sum())
    parts = []
    for k in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] > least):
        part = (labels == k).astype(np.float32)
        if alike(histogram(bins, part), track.colours) < _OTHER:
            parts.append(part)
    return parts


def _parted(track: _Track) -> Float32 | None:
    """Its second part, once it has been in two for long."""
    solid = cv2.dilate((track.mask > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    x, y, w, h = cv2.boundingRect(solid)
    inside = np.s_[y : y + h, x : x + w]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid[inside])
    order = np.argsort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    areas = stats[1 + order, cv2.CC_STAT_AREA]
    two = len(areas) > 1 and areas[1] > max(_PART * areas[0], MIN_AREA * solid.size)
    track.apart = track.apart + 1 if two else 0
    if track.apart < _CONFIRM:
        return None
    track.apart = 0
    part = np.zeros_like(track.mask)
    part[inside] = np.where(labels == 1 + order[1], track.mask[inside], np.float32(0))
    return part


def _regions(evidence: Float32, moves: Float32, bins: Int64) -> list[Float32]:
    """Connected regions of evidence, each as a map [height, width]."""
    solid = (evidence > _REGION).astype(np.uint8)
    if not solid.any():
        return []
    # A flat thing changes at its edges only: they vouch for what moves between them.
    between = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((_FLAT, _FLAT), np.uint8))
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    unsure = (between > solid) & (moves > 0.5)
    if unsure.any():
        inside, outside = histogram(bins, solid), histogram(bins, 1 - between)
        solid[unsure] = likelihood(inside, outside, bins[unsure]) > _ALIKE
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    large = stats[1:, cv2.CC_STAT_AREA] >= MIN_AREA * solid.size
    found = [(labels == i + 1).astype(np.float32) for i in np.flatnonzero(large)]
    refined = [refine(region, bins) for region in found]
    return [region for region in refined if area_px(region) >= MIN_AREA * region.size / 2]


def _assign(tracks: list[NDArray[np.bool_]], detections: list[Float32]) -> list[Float32 | None]:
    """For each tracklet, given where it should be now, the part of the detections that is its.

    A detection is of every tracklet that it covers half of, or that covers half of it. Where two
    things cross, there is one detection of both: each keeps what is nearer to it alone.
    """
    owned: list[Float32 | None] = [None] * len(tracks)
    for detection in detections:
        solid = detection > 0.5
        shared = np.array([(mask & solid).sum() for mask in tracks], float)
        areas = np.array([max(1, mask.sum()) for mask in tracks], float)
        share = np.maximum(shared / areas, shared / max(1, solid.sum())) > _MATCH
        claims = [int(k) for k in np.flatnonzero(share)]
        for k in claims:
            part = detection
            for other in claims:
                if other != k:
                    part = part * (~(tracks[other] & ~tracks[k])).astype(np.float32)
            if len(claims) > 1:
                near = cv2.dilate(tracks[k].astype(np.uint8), np.ones((5, 5), np.uint8))
                part = part * near.astype(np.float32)
            mine = owned[k]
            owned[k] = part if mine is None else np.maximum(mine, part)
    return owned
