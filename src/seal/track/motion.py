"""What moves against the background, followed over time; CPU only, no weights.

Each picture, once the next is there: flow less the camera's motion says where something moves
(`camera`); the evidence is carried along the flow and adds up over time; regions of it, drawn to
the colours that set them apart, are the detections. Each tracklet carries a map of where its thing
is, along the flow and its colours, so that it survives pauses and crossings; detections correct
the map.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from seal.config import MotionTrack
from seal.segment import Segmenter
from seal.track import Tracker, Tracklet
from seal.track.camera import Camera
from seal.types import Float32, Int64, UInt8, pairwise_iou
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
_REACH_PX = 6.0
"""... and came this far by itself: noise goes to and fro. At the flow's size."""
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
    """A picture and how it came from the one before; maps are of half the flow's size."""

    pts: int
    time_s: float
    bins: Int64
    """[height, width] cells of the colour model."""
    warp: Float32
    """[height, width, 2] where each pixel was before."""
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
    pts: list[int] = field(default_factory=list)
    boxes: list[Float32] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    """Whether it was seen to move."""
    seen: bool = True
    """Whether it is where it should be, moving or not: its colours are."""
    last: int = 0
    """How many of its boxes there are up to the last in which it was seen."""
    last_moved_s: float = 0.0
    way: Float32 = field(default_factory=lambda: np.zeros(2, np.float32))
    """px it has moved by itself since it was first seen, at the flow's size."""
    reach_px: float = 0.0
    """The furthest that it was from there."""

    def add(self, pts: int, box: Float32, moved: bool) -> None:
        """Where it is at `pts`."""
        self.pts.append(pts)
        self.boxes.append(box)
        self.moved.append(moved)
        if self.seen:
            self.last = len(self.pts)


class MotionTracker(Tracker):
    """Tracklets of whatever moves by itself, from a still or moving camera."""

    fingerprint = "motion-2"
    uses_segmenter = False

    def __init__(self, options: MotionTrack, segmenter: Segmenter) -> None:
        self._camera: Camera | None = None
        self._earlier_pts = 0
        self.end()

    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""
        view = getattr(self, "_view", None)
        done = [] if view is None else self._look(view, view.unexplained)
        done += self._finish(getattr(self, "_tracks", []))
        self._tracks: list[_Track] = []
        self._grey: UInt8 | None = None
        self._view: _View | None = None
        return done

    def push(self, frame: Frame) -> list[Tracklet]:
        """Take the next frame; the tracklets that have ended by now."""
        height, width = frame.image.shape[:2]
        scale = (_AREA / (height * width)) ** 0.5
        w, h = 2 * max(8, round(width * scale / 2)), 2 * max(8, round(height * scale / 2))
        image = cv2.resize(frame.image, (w, h), interpolation=cv2.INTER_LINEAR)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        ended = self.end() if self._grey is not None and self._grey.shape != grey.shape else []
        earlier, self._grey = self._grey, grey
        half = (w // 2, h // 2)
        lab = cv2.cvtColor(cv2.resize(image, half, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2Lab)
        before, self._lab = getattr(self, "_lab", lab), lab
        if earlier is None:
            self._camera = Camera(h, w)
            x, y = np.meshgrid(
                np.arange(w // 2, dtype=np.float32), np.arange(h // 2, dtype=np.float32)
            )
            self._pixels: Float32 = np.stack([x, y], 2)
            self._evidence = np.zeros((h // 2, w // 2), np.float32)
            self._earlier_pts = frame.pts
            return ended
        assert self._camera is not None
        motion = self._camera.motion(earlier, grey)
        if self._view is not None:
            # What a mover uncovers was not there before, but the world shows it from now on.
            after = _unexplained(before, lab, motion.at(self._pixels, later=True))
            ended += self._look(self._view, self._view.unexplained * after)
        flow = cv2.resize(motion.flow, half, interpolation=cv2.INTER_AREA) / 2
        residual = flow - motion.at(self._pixels) + self._pixels
        noise_px = _MOVES * motion.noise_px / 2
        self._view = _View(
            frame.pts,
            frame.time_s,
            _bins(lab),
            self._pixels + flow,
            residual,
            _soft((residual**2).sum(2), noise_px**2),
            _unexplained(lab, before, motion.at(self._pixels)),
        )
        return ended

    def _look(self, view: _View, unexplained: Float32) -> list[Tracklet]:
        """Follow everything into this picture; the tracklets that have ended by it."""
        now = view.moves * unexplained
        carried = cv2.remap(self._evidence, view.warp, None, cv2.INTER_LINEAR)
        # Where a mover was and the world is seen again, there is none now.
        carried *= 0.3 + 0.7 * unexplained
        self._evidence = _KEEP * carried + (1 - _KEEP) * now
        detections = _regions(np.maximum(self._evidence, 0.9 * now), view.moves, view.bins)
        ended = self._associate(view, detections)
        self._earlier_pts = view.pts
        return ended

    def _associate(self, view: _View, detections: list[Float32]) -> list[Tracklet]:
        warp, bins = view.warp, view.bins
        for track in self._tracks:
            carried = cv2.remap(track.mask, warp, None, cv2.INTER_LINEAR)
            track.mask = _refine(carried, bins, track.colours)
            track.seen = _box(track.mask) is not None
            if not track.seen:
                # Hidden, or its outline is lost: it goes on as the flow does.
                track.mask = carried
        if len(self._tracks) > 1:
            # A pixel is of one thing: the likeliest.
            best = np.max([track.mask for track in self._tracks], axis=0)
            for track in self._tracks:
                track.mask = np.where(track.mask < best, np.minimum(track.mask, 0.5), track.mask)
        owned = _assign([track.mask > 0.5 for track in self._tracks], detections)
        alive: list[_Track] = []
        dead: list[_Track] = []
        for track, mine in zip(self._tracks, owned, strict=True):
            if mine is not None:
                track.mask = 0.4 * track.mask + 0.6 * mine
                track.last_moved_s, track.seen = view.time_s, True
            box = _box(track.mask)
            doubled = any(_overlap(box, other.boxes[-1]) > _ONE for other in alive)
            if box is None or doubled or view.time_s - track.last_moved_s > _PATIENCE_S:
                dead.append(track)
                continue
            inside = track.mask > 0.5
            track.way -= 2 * view.residual[inside].mean(0)
            track.reach_px = max(track.reach_px, float(np.hypot(*track.way)))
            if mine is not None:
                track.colours = 0.9 * track.colours + 0.1 * _histogram(bins, track.mask)
            track.add(view.pts, box, mine is not None)
            alive.append(track)
        for mask in detections:
            box = _box(mask)
            if box is not None and not any((t.mask * mask).sum() > 0.1 * mask.sum() for t in alive):
                track = _Track(mask, _histogram(bins, mask))
                track.last_moved_s = view.time_s
                # What moved until now was there before: where the flow says.
                height, width = mask.shape
                back = np.median((warp - self._pixels)[mask > 0.5], axis=0) / (width, height)
                before = np.clip(box + np.tile(back, 2), 0, 1).astype(np.float32)
                if (before[2:] > before[:2]).all():
                    track.add(self._earlier_pts, before, True)
                track.add(view.pts, box, True)
                alive.append(track)
        self._tracks = alive
        return self._finish(dead)

    def _finish(self, tracks: list[_Track]) -> list[Tracklet]:
        return [
            Tracklet(
                np.array(track.pts[: track.last], np.int64),
                np.array(track.boxes[: track.last], np.float32),
                float(np.mean(track.moved[: track.last])),
            )
            for track in tracks
            if np.mean(track.moved[: track.last]) >= _MOVING
            and sum(track.moved) >= _CONFIRM
            and track.reach_px >= _REACH_PX
        ]


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


def _unexplained(lab: UInt8, other: UInt8, camera: Float32) -> Float32:
    """[height, width] how far the camera's motion alone does not explain each pixel, in [0, 1].

    What the camera shows of a still world has, within a pixel, the colours that it had before.
    What moves differs at its edges at least: they vouch for the inside between them.
    """
    before = cv2.remap(other, camera, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
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
