"""What moves against the background, followed over time; CPU only, no weights.

Each picture, once the next is there: flow less the camera's motion says where something moves
(`camera`); the evidence is carried along the flow and adds up over time; regions of it, drawn to
the colours that set them apart, are the detections. Each tracklet carries a map of where its thing
is, along the flow and its colours, so that it survives pauses and crossings; detections correct
the map.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from seal.config import MotionTrack
from seal.segment import Segmenter
from seal.track import Tracker, Tracklet
from seal.track.camera import Camera
from seal.types import Float32, Float64, Int64, UInt8, pairwise_iou
from seal.video.frame import Frame

_AREA = 320 * 180
"""Flow is computed on pictures of about this many pixels, whatever their shape."""
_KEEP = 0.6
"""Share of the accumulated evidence that is carried to the next picture."""
_REGION = 0.5
"""Evidence above this makes a region."""
_FLAT = 21
"""Flat insides of up to so many pixels of the map are filled where flow says that they move ..."""
_ALIKE = 0.9
"""... and this likely have the colours of what moves around them."""
_PRIOR = 0.3
"""How much the place counts against the colours, when a thing's outline is drawn."""
_THIN = 0.01
"""Share of a region that its box leaves out on each side."""
_REACH = 4
"""Pixels of the map by which flow is off from picture to picture."""
_MIN_AREA = 0.0012
"""Smaller regions are noise; a share of the picture."""
_BINS = 12
"""Levels of each of L, a, b in a colour model."""
_MATCH = 0.5
"""A detection belongs to a tracklet if they share this much of either."""
_ONE = 0.7
"""Two tracklets whose boxes overlap by this much are one."""
_CONFIRM = 3
"""A tracklet is real once it was seen to move in so many pictures."""
_REACH_PX = 3.0
"""... and came this far by itself: noise goes to and fro."""
_SAME = 0.7
"""Colour models that share this much are of one thing."""
_OTHER = 0.5
"""Colour models that share less than this are of two."""
_NEAR = 1.5
"""A thing comes out of hiding within so many of its diameters of where it should be ..."""
_DRIFT = 2.0
"""... and so many px more for each picture for which it was hidden."""
_PART = 0.3
"""A tracklet in two parts, of which one has this share of the other, is of two things."""
_VIEWS = 24
"""A new tracklet is followed back over so many pictures."""
_NOVICE = 0.3

_MOVES = 2.5
"""Residual flow of this many deviations of the background's is as likely as not a mover's."""
_EXPLAINED = 6.0
"""Levels of colour by which noise and compression change a pixel."""
_MOVING = 0.4
"""... and moved in at least this share of them."""
_TRACE = 0.02
"""A map of less than this is nothing: work is cut to the rest."""
_PATIENCE_S = 3.5
"""A thing that stands still is kept for this long."""


@dataclass(frozen=True, eq=False)
class _View:
    """A picture and how it came from the one before; maps are of the flow's size."""

    pts: int
    time_s: float
    bins: Int64
    """[height, width] cells of the colour model."""
    warp: Float32
    """[height, width, 2] where each pixel was before."""
    camera: Float64
    """[3, 3] where the camera's motion alone takes its points in the one before."""
    residual: Float32
    """[height, width, 2] px: the motion there without the camera's."""
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
    place: Float64
    """[2] px: its middle, or where that should be while it is hidden."""
    last_moved_s: float
    pts: list[int] = field(default_factory=list)
    boxes: list[Float32] = field(default_factory=list)
    """NaN while it is hidden."""
    moved: list[bool] = field(default_factory=list)
    """Whether it was seen to move."""
    seen: bool = True
    """Whether it is where it should be, moving or not: its colours are."""
    speed: Float64 = field(default_factory=lambda: np.zeros(2))
    """px from picture to picture by itself."""
    way: Float64 = field(default_factory=lambda: np.zeros(2))
    """px it has moved by itself since it was first seen."""
    reach_px: float = 0.0
    """The furthest that it was from there."""
    last: int = 0
    """How many of its boxes there are up to the last in which it was seen."""
    apart: int = 0
    """Pictures for which it has been in two parts."""
    earlier: list[tuple[int, Float32]] = field(default_factory=list)
    """Times and boxes before it was found, back in time."""

    @property
    def real(self) -> bool:
        return sum(self.moved) >= _CONFIRM


class MotionTracker(Tracker):
    """Tracklets of whatever moves by itself, from a still or moving camera."""

    fingerprint = "motion-3"
    uses_segmenter = False

    def __init__(self, options: MotionTrack, segmenter: Segmenter) -> None:
        self._camera: Camera | None = None
        self._pixels: Float32 | None = None
        self._tracks: list[_Track] = []
        self._views: deque[_View] = deque(maxlen=_VIEWS)
        self._view: _View | None = None
        self._grey: UInt8 | None = None

    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""
        done = [] if self._view is None else self._look(self._view, self._view.unexplained)
        done += self._finish(self._tracks)
        self._tracks = []
        self._views.clear()
        self._view = None
        self._grey = None
        return done

    def push(self, frame: Frame) -> list[Tracklet]:
        """Take the next frame; the tracklets that have ended by now."""
        height, width = frame.image.shape[:2]
        scale = (_AREA / (height * width)) ** 0.5
        w, h = 2 * max(8, round(width * scale / 2)), 2 * max(8, round(height * scale / 2))
        image = cv2.resize(frame.image, (w, h), interpolation=cv2.INTER_LINEAR)
        image = cv2.resize(image, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2Lab)
        ended = self.end() if self._grey is not None and self._grey.shape != grey.shape else []
        if self._grey is None:
            self._camera = Camera(h // 2, w // 2)
            self._pixels = self._camera.pixels
            self._evidence = np.zeros(grey.shape, np.float32)
            nothing = np.zeros((*grey.shape, 2), np.float32)
            zero = nothing[:, :, 0]
            self._views.append(
                _View(frame.pts, frame.time_s, _bins(lab), self._pixels, np.eye(3), nothing, zero, zero)
            )
        else:
            motion = self._camera.motion(self._grey, grey)
            if self._view is not None:
                # What a mover uncovers was not there before, but the world shows it from now on.
                after = _unexplained(self._lab, lab, np.linalg.inv(motion.camera))
                ended += self._look(self._view, self._view.unexplained * after)
            residual = motion.flow - motion.at(self._pixels) + self._pixels
            self._view = _View(
                frame.pts,
                frame.time_s,
                _bins(lab),
                self._pixels + motion.flow,
                motion.camera,
                residual,
                _soft((residual**2).sum(2), (_MOVES * motion.noise_px) ** 2),
                _unexplained(lab, self._lab, motion.camera),
            )
        self._grey, self._lab = grey, lab
        return ended

    def _look(self, view: _View, unexplained: Float32) -> list[Tracklet]:
        """Follow everything into this picture; the tracklets that have ended by it."""
        self._views.append(view)
        now = view.moves * unexplained
        carried = cv2.remap(self._evidence, view.warp, None, cv2.INTER_LINEAR)
        # Where a mover was and the world is seen again, there is none now.
        carried *= 0.3 + 0.7 * unexplained
        self._evidence = _KEEP * carried + (1 - _KEEP) * now
        detections = _regions(np.maximum(self._evidence, 0.9 * now), view.moves, view.bins)
        for track in self._tracks:
            self._predict(track, view)
        seen = [track for track in self._tracks if track.seen]
        if len(seen) > 1:
            # A pixel is of one thing: the likeliest.
            best = np.max([track.mask for track in seen], axis=0)
            for track in seen:
                track.mask = np.where(track.mask < best, np.minimum(track.mask, 0.5), track.mask)
        claimed = _assign([track.mask > 0.5 for track in seen], detections)
        found: list[Float32] = []
        for track, mine in zip(seen, claimed, strict=True):
            if mine is not None:
                for other in _others(track, mine, view.bins) if track.real else []:
                    mine = mine * (1 - other)
                    found.append(other)
                track.mask = 0.4 * track.mask + 0.6 * mine
                track.last_moved_s = view.time_s
            self._update(track, view, mine is not None)
        self._hide_doubled()
        found = [m for m in found if not any((t.mask * m).sum() > 0.5 * m.sum() for t in seen)]
        found += [m for m in detections if not any((t.mask * m).sum() > 0.1 * m.sum() for t in seen)]
        found += [part for track in seen if (part := _split(track)) is not None]
        for mask in found:
            self._find(mask, view)
        dead = []
        for track in self._tracks:
            if not track.seen:
                track.pts.append(view.pts)
                track.boxes.append(np.full(4, np.nan, np.float32))
                track.moved.append(False)
            if len(track.moved) and sum(track.moved) == _CONFIRM and track.moved[-1]:
                self._trace_back(track)
            patience = _PATIENCE_S if track.real else _PATIENCE_S * _NOVICE
            if view.time_s - track.last_moved_s > patience:
                dead.append(track)
        self._tracks = [track for track in self._tracks if track not in dead]
        return self._finish(dead)

    def _predict(self, track: _Track, view: _View) -> None:
        """Where it should be in this picture, and whether its colours are there."""
        was = np.array([*track.place, 1.0])
        place = np.linalg.solve(view.camera, was)
        track.place = place[:2] / place[2] + track.speed
        if track.seen:
            carried = cv2.remap(track.mask, view.warp, None, cv2.INTER_LINEAR)
        else:
            # Flow there is of what hides it: it goes on by itself.
            back = np.array([[1, 0, -track.speed[0]], [0, 1, -track.speed[1]], [0, 0, 1]])
            height, width = track.mask.shape
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            carried = cv2.warpPerspective(
                track.mask, back @ view.camera, (width, height), flags=flags
            )
        drawn = _refine(carried, view.bins, track.colours)
        track.seen = drawn is not carried and _box(drawn) is not None
        track.mask = drawn if track.seen else carried

    def _update(self, track: _Track, view: _View, moved: bool) -> None:
        """Where it is in this picture."""
        box = _box(track.mask)
        if box is None:
            track.seen = False
            return
        inside = track.mask > 0.5
        own = -view.residual[inside].mean(0)
        track.way += own
        track.reach_px = max(track.reach_px, float(np.hypot(*track.way)))
        height, width = inside.shape
        track.place = (box[:2] + box[2:]) / 2 * (width, height)
        others = (o.boxes[-1] for o in self._tracks if o is not track and o.seen and o.boxes)
        if not any(_overlap(box, other) > 0 for other in others):
            track.speed = 0.5 * track.speed + (0.5 * own if moved else 0)
            if moved:
                track.colours = 0.9 * track.colours + 0.1 * _histogram(view.bins, track.mask)
        track.pts.append(view.pts)
        track.boxes.append(box)
        track.moved.append(moved)
        track.last = len(track.pts)

    def _hide_doubled(self) -> None:
        """Of two tracklets in one place, the later is hidden by the other, or is the same thing."""
        kept: list[_Track] = []
        for track in self._tracks:
            over = [o for o in kept if track.seen and o.seen and _overlap(track.boxes[-1], o.boxes[-1]) > _ONE]
            if over:
                if not track.real or any(_alike(track.colours, o.colours) > _SAME for o in over):
                                        continue
                track.seen = False
                for things in (track.pts, track.boxes, track.moved):
                    things.pop()
                track.last -= 1
            kept.append(track)
        self._tracks = kept

    def _find(self, mask: Float32, view: _View) -> None:
        """A region that is no tracklet's: a hidden one that comes out again, or a new one."""
        box = _box(mask)
        if box is None:
            return
        colours = _histogram(view.bins, mask)
        height, width = mask.shape
        size = (box[2:] - box[:2]) * (width, height)
        place = (box[:2] + box[2:]) / 2 * (width, height)
        for track in self._tracks:
            hidden = len(track.pts) - track.last
            near = np.hypot(*(track.place - place)) < _NEAR * np.hypot(*size) + _DRIFT * hidden
            if not track.seen and near and _alike(track.colours, colours) > _SAME:
                track.mask, track.seen = mask, True
                track.last_moved_s = view.time_s
                self._update(track, view, True)
                return
        track = _Track(mask, colours, mask, place, view.time_s)
        self._update(track, view, True)
        self._tracks.append(track)

    def _trace_back(self, track: _Track) -> None:
        """Follow it back in time from where it was found."""
        views = list(self._views)
        while views and views[-1].pts > track.pts[0]:
            views.pop()
        mask = track.born
        for view, before in zip(views[:0:-1], views[-2::-1], strict=True):
            inside = mask > 0.5
            step = np.median((view.warp - self._pixels)[inside], axis=0)
            matrix = np.array([[1, 0, step[0]], [0, 1, step[1]]])
            carried = cv2.warpAffine(mask, matrix, mask.shape[::-1])
            drawn = _refine(carried, before.bins, track.colours)
            box = _box(drawn)
            areas = [float((m > 0.5).sum()) for m in (drawn, mask)]
            if box is None or drawn is carried or not 0.5 < areas[0] / areas[1] < 2:
                break
            track.earlier.append((before.pts, box))
            mask = drawn

    def _finish(self, tracks: list[_Track]) -> list[Tracklet]:
        done = []
        for track in tracks:
            boxes = np.array(track.boxes, np.float32)
            seen = np.flatnonzero(~np.isnan(boxes[:, 0]))
            end = seen[-1] + 1
            if not (np.mean(track.moved[:end]) >= _MOVING and track.real and track.reach_px >= _REACH_PX):
                continue
            pts = np.array(track.pts[:end], np.int64)
            earlier = track.earlier[::-1]
            filled = [np.interp(pts, pts[seen], boxes[seen, k]) for k in range(4)]
            before = np.array([box for _, box in earlier], np.float32).reshape(-1, 4)
            done.append(
                Tracklet(
                    np.concatenate([np.array([p for p, _ in earlier], np.int64), pts]),
                    np.concatenate([before, np.column_stack(filled)]).astype(np.float32),
                    float(np.mean(track.moved[:end])),
                )
            )
        return done


def _bins(lab: UInt8) -> Int64:
    """[height, width] the cell of a colour model that each pixel falls into."""
    level = lab.astype(np.int64)
    lightness = level[:, :, 0] * _BINS // 256
    # a and b of real pictures fill the middle half of their range.
    a = np.clip((level[:, :, 1] - 64) * _BINS // 128, 0, _BINS - 1)
    b = np.clip((level[:, :, 2] - 64) * _BINS // 128, 0, _BINS - 1)
    return (lightness * _BINS + a) * _BINS + b


def _soft(x: Float32, half: float) -> Float32:
    """x in [0, inf) to [0, 1): a half at `half`."""
    return x / (x + np.float32(half))


def _unexplained(lab: UInt8, other: UInt8, camera: Float64) -> Float32:
    """[height, width] how far the camera's motion alone does not explain each pixel, in [0, 1].

    What the camera shows of a still world has, within a pixel, the colours that it had before.
    What moves differs at its edges at least: they vouch for the inside between them.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = lab.shape[1::-1]
    before = cv2.warpPerspective(other, camera, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    square = np.ones((3, 3), np.uint8)
    above = cv2.subtract(lab, cv2.dilate(before, square))
    below = cv2.subtract(cv2.erode(before, square), lab)
    change = cv2.max(above, below).astype(np.float32).sum(2)
    # Of the whole picture, a moving camera's errors at sharp edges are the usual change.
    change = _soft(change**2, _EXPLAINED**2 + float((change**2).mean()) / 4)
    change = cv2.blur(change, (3, 3))
    return np.asarray(np.minimum(2 * cv2.dilate(change, np.ones((7, 7), np.uint8)), 1), np.float32)


def _histogram(bins: Int64, weights: Float32) -> Float32:
    """[bins ** 3] shares of the colours, smoothed by a bin."""
    counts = np.bincount(bins.ravel(), weights.ravel(), _BINS**3).astype(np.float32)
    cube = np.zeros((_BINS + 2, _BINS + 2, _BINS + 2), np.float32)
    cube[1:-1, 1:-1, 1:-1] = counts.reshape(_BINS, _BINS, _BINS)
    cube = cube[2:] + 2 * cube[1:-1] + cube[:-2]
    cube = cube[:, 2:] + 2 * cube[:, 1:-1] + cube[:, :-2]
    cube = cube[:, :, 2:] + 2 * cube[:, :, 1:-1] + cube[:, :, :-2]
    return np.asarray(cube.ravel() / max(float(cube.sum()), 1e-6), np.float32)


def _alike(a: Float32, b: Float32) -> float:
    """How much two colour models share, in [0, 1]: Bhattacharyya's coefficient."""
    return float(np.sqrt(a * b).sum())


def _others(track: _Track, region: Float32, bins: Int64) -> list[Float32]:
    """Parts of a region that are too large and too different to be the tracklet's."""
    near = cv2.dilate(track.mask, np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8))
    beyond = ((region > 0.5) & (near < 0.5)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(beyond)
    least = max(_MIN_AREA * beyond.size, _PART * (track.mask > 0.5).sum())
    parts = []
    for k in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] > least):
        part = (labels == k).astype(np.float32)
        if _alike(_histogram(bins, part), track.colours) < _OTHER:
            parts.append(part)
    return parts


def _split(track: _Track) -> Float32 | None:
    """Its second part, once it has been in two for long; it goes on as the other."""
    if not track.seen:
        return None
    solid = cv2.dilate((track.mask > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    two = count > 2 and areas[1] > max(_PART * areas[0], _MIN_AREA * solid.size)
    track.apart = track.apart + 1 if two else 0
    if track.apart < _CONFIRM:
        return None
    second = 1 + int(np.argsort(stats[1:, cv2.CC_STAT_AREA])[-2])
    part = np.where(labels == second, track.mask, 0).astype(np.float32)
    track.mask = track.mask - part
    track.apart = 0
    return part


def _likelihood(inside: Float32, outside: Float32, bins: Int64) -> Float32:
    """[height, width] how likely each pixel's colour is one of `inside`'s, in [0, 1]."""
    floor = 1e-4
    a, b = (inside + floor) ** 2, (outside + floor) ** 2
    ratio = a / (a + b)
    return np.asarray(ratio[bins], np.float32)


def _refine(mask: Float32, bins: Int64, colours: Float32 | None = None) -> Float32:
    """A map of a thing, drawn to the colours that set it apart from what surrounds it.

    Flow spills over edges by the size of its blocks, so that a region has background in it; but
    its ring has nothing else, and what the ring has much of is background inside too.
    """
    if not mask.any():
        return mask
    reach = int(np.clip(0.35 * np.sqrt(mask.sum()), 3, 15)) if colours is None else _REACH
    x, y, w, h = cv2.boundingRect((mask > _TRACE).astype(np.uint8))
    rows = slice(max(0, y - 2 * reach), y + h + 2 * reach)
    columns = slice(max(0, x - 2 * reach), x + w + 2 * reach)
    whole, mask, bins = mask, mask[rows, columns], bins[rows, columns]
    near = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    for _ in range(2):
        outside = _histogram(bins, near * (1 - mask) + 1e-4)
        inside = _histogram(bins, mask) if colours is None else colours
        likely = cv2.blur(_likelihood(inside, outside, bins), (3, 3))
        refined = cv2.GaussianBlur(near * (_PRIOR * mask + (1 - _PRIOR) * likely), (3, 3), 0)
        # Nothing sets it apart: the region as it is says more.
        if (refined > 0.5).sum() < 0.15 * (mask > 0.5).sum():
            return whole
        mask = np.asarray(refined > 0.5, np.float32) if colours is None else refined
    drawn = np.zeros_like(whole)
    drawn[rows, columns] = mask
    return drawn


def _regions(evidence: Float32, moves: Float32, bins: Int64) -> list[Float32]:
    """Connected regions of evidence, each as a map [height, width]."""
    solid = (evidence > _REGION).astype(np.uint8)
    # A flat thing changes at its edges only: they vouch for what moves between them.
    between = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((_FLAT, _FLAT), np.uint8))
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    inside = _histogram(bins, solid.astype(np.float32))
    outside = _histogram(bins, 1 - between.astype(np.float32))
    solid |= between & (moves > 0.5) & (_likelihood(inside, outside, bins) > _ALIKE)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    large = stats[1:, cv2.CC_STAT_AREA] >= _MIN_AREA * solid.size
    found = [(labels == i + 1).astype(np.float32) for i in np.flatnonzero(large)]
    refined = [_refine(region, bins) for region in found]
    return [region for region in refined if _box(region) is not None]


def _box(mask: Float32) -> Float32 | None:
    """Normalised box of the largest part of a map above a half; None if there is none."""
    solid = (mask > 0.5).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(solid)
    if not w:
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid[y : y + h, x : x + w])
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    area = stats[largest, cv2.CC_STAT_AREA]
    if area < _MIN_AREA * mask.size / 2:
        return None
    part = labels == largest
    edges = []
    for axis, start in ((0, x), (1, y)):
        along = np.cumsum(part.sum(axis)) / area
        # Thin ends are spill more often than limbs.
        first, last = start + np.searchsorted(along, [_THIN, 1 - _THIN])
        edges.append((first / mask.shape[1 - axis], (last + 1) / mask.shape[1 - axis]))
    (x0, x1), (y0, y1) = edges
    return np.array([x0, y0, x1, y1], np.float32)


def _overlap(a: Float32 | None, b: Float32 | None) -> float:
    """Intersection over union of two boxes; 0 where one is missing."""
    return 0.0 if a is None or b is None else float(pairwise_iou(a[None], b[None])[0, 0])


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
