"""What moves against the background, followed over time; CPU only, no weights.

Each picture: flow less the camera's motion says where something moves (`camera`); the evidence is
carried along the flow and adds up over time; regions of it, drawn to the colours that set them
apart, are the detections. Each tracklet carries a map of where its thing is, along the flow and
its colours, so that it survives pauses and crossings; detections correct the map.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

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
_PRIOR = 0.3
"""How much the place counts against the colours, when a thing's outline is drawn."""
_MIN_AREA = 0.0012
"""Smaller regions are noise; a share of the picture."""
_BINS = 12
"""Levels of each of L, a, b in a colour model."""
_MATCH = 0.3
"""A detection belongs to a tracklet if their boxes overlap by this much."""
_CONFIRM = 3
"""A tracklet is real once it was seen to move in so many pictures."""
_REACH_PX = 6.0
"""... and came this far by itself: noise goes to and fro. At the flow's size."""
_MOVES = 2.5
"""Residual flow of this many deviations of the background's is as likely as not a mover's."""
_EXPLAINED = 6.0
"""Levels of colour by which noise and compression change a pixel."""
_PATIENCE_S = 3.5
"""A thing that stands still is kept for this long."""


@dataclass(eq=False)
class _Track:
    """One thing that is followed."""

    mask: Float32
    """[height, width] how likely each pixel is part of it, now."""
    colours: Float32
    """[bins ** 3] its colours, shares."""
    pts: list[int] = field(default_factory=list)
    boxes: list[Float32] = field(default_factory=list)
    supported: list[bool] = field(default_factory=list)
    """Whether a detection agreed."""
    last_moved_s: float = 0.0
    way: Float32 = field(default_factory=lambda: np.zeros(2, np.float32))
    """px it has moved by itself since it was first seen, at the flow's size."""
    reach_px: float = 0.0
    """The furthest that it was from there."""


class MotionTracker(Tracker):
    """Tracklets of whatever moves by itself, from a still or moving camera."""

    fingerprint = "motion-1"

    def __init__(self, options: MotionTrack, segmenter: Segmenter) -> None:
        self._camera: Camera | None = None
        self.end()

    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""
        done = self._finish(getattr(self, "_tracks", []))
        self._tracks: list[_Track] = []
        self._grey: UInt8 | None = None
        self._evidence: Float32 | None = None
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
        lab = cv2.cvtColor(
            cv2.resize(image, (w // 2, h // 2), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2Lab
        )
        if earlier is None:
            self._camera = Camera(h, w)
            x, y = np.meshgrid(
                np.arange(w // 2, dtype=np.float32), np.arange(h // 2, dtype=np.float32)
            )
            self._pixels: Float32 = np.stack([x, y], 2)
            self._evidence = np.zeros((h // 2, w // 2), np.float32)
            self._lab = lab
            return ended
        assert self._camera is not None
        motion = self._camera.motion(earlier, grey)
        half = (w // 2, h // 2)
        flow = cv2.resize(motion.flow, half, interpolation=cv2.INTER_AREA) / 2
        residual = cv2.resize(motion.residual, half, interpolation=cv2.INTER_AREA)
        camera = cv2.resize(motion.camera, half, interpolation=cv2.INTER_AREA) / 2
        warp = self._pixels + flow
        bins = _bins(lab)
        moves = _soft((residual**2).sum(2), (_MOVES * motion.noise_px) ** 2)
        now = moves * _unexplained(lab, self._lab, self._pixels + camera)
        carried = cv2.remap(self._evidence, warp, None, cv2.INTER_LINEAR)
        evidence = _KEEP * carried + (1 - _KEEP) * now
        self._evidence, self._lab = evidence, lab
        detections = _regions(np.maximum(evidence, 0.9 * now), bins)
        return ended + self._associate(frame, detections, warp, bins, residual)

    def _associate(
        self,
        frame: Frame,
        detections: list[Float32],
        warp: Float32,
        bins: Int64,
        residual: Float32,
    ) -> list[Tracklet]:
        for track in self._tracks:
            prior = cv2.remap(track.mask, warp, None, cv2.INTER_LINEAR)
            track.mask = _refine(prior, bins, track.colours)
        boxes = [_box(track.mask) for track in self._tracks]
        found = [_box(mask) for mask in detections]
        owner = _match(boxes, found)
        alive: list[_Track] = []
        dead: list[_Track] = []
        for k, track in enumerate(self._tracks):
            box = boxes[k]
            mine = [i for i, o in enumerate(owner) if o == k]
            if mine:
                union = np.max([detections[i] for i in mine], axis=0)
                track.mask = 0.5 * track.mask + 0.5 * union
                box = _box(track.mask)
                track.last_moved_s = frame.time_s
            if box is None or frame.time_s - track.last_moved_s > _PATIENCE_S:
                dead.append(track)
                continue
            inside = track.mask > 0.5
            track.way -= residual[inside].mean(0)
            track.reach_px = max(track.reach_px, float(np.hypot(*track.way)))
            track.colours = 0.9 * track.colours + 0.1 * _histogram(bins, track.mask)
            track.pts.append(frame.pts)
            track.boxes.append(box)
            track.supported.append(bool(mine))
            alive.append(track)
        taken = (
            np.max([t.mask for t in alive], axis=0) if alive else np.zeros_like(bins, np.float32)
        )
        for i, o in enumerate(owner):
            fresh = detections[i] > 0.5
            if o is None and (taken[fresh] > 0.5).mean() < 0.3:
                track = _Track(detections[i], _histogram(bins, detections[i]))
                track.pts, track.boxes = [frame.pts], [_box(detections[i])]
                track.supported, track.last_moved_s = [True], frame.time_s
                alive.append(track)
        self._tracks = alive
        return self._finish(dead)

    def _finish(self, tracks: list[_Track]) -> list[Tracklet]:
        return [
            Tracklet(
                np.array(track.pts, np.int64),
                np.array(track.boxes, np.float32),
                float(np.mean(track.supported)),
            )
            for track in tracks
            if sum(track.supported) >= _CONFIRM and track.reach_px >= _REACH_PX
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


def _unexplained(lab: UInt8, earlier: UInt8, camera: Float32) -> Float32:
    """[height, width] how far the camera's motion alone does not explain each pixel, in [0, 1].

    What the camera shows of a still world has, within a pixel, the colours that it had before.
    What moves differs at its edges at least: they vouch for the inside between them.
    """
    before = cv2.remap(earlier, camera, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
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
    cube = counts.reshape(_BINS, _BINS, _BINS)
    for axis in range(3):
        cube = np.moveaxis(cube, axis, 0)
        smooth = 2 * cube
        smooth[1:] += cube[:-1]
        smooth[:-1] += cube[1:]
        cube = np.moveaxis(smooth, 0, axis)
    return np.asarray(cube.ravel() / max(float(cube.sum()), 1e-6), np.float32)


def _likelihood(inside: Float32, outside: Float32, bins: Int64) -> Float32:
    """[height, width] how likely each pixel's colour is one of `inside`'s, in [0, 1]."""
    floor = 1e-4
    a, b = (inside + floor) ** 2, (outside + floor) ** 2
    ratio: Float32 = a / (a + b)
    return ratio[bins]


def _refine(mask: Float32, bins: Int64, colours: Float32 | None = None) -> Float32:
    """A map of a thing, drawn to the colours that set it apart from what surrounds it.

    Flow spills over edges by the size of its blocks, so that a region has background in it; but
    its ring has nothing else, and what the ring has much of is background inside too.
    """
    reach = int(np.clip(0.35 * np.sqrt(mask.sum()), 3, 15))
    near = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    for _ in range(2):
        outside = _histogram(bins, near * (1 - mask) + 1e-4)
        inside = _histogram(bins, mask) if colours is None else colours
        likely = cv2.blur(_likelihood(inside, outside, bins), (3, 3))
        refined = cv2.GaussianBlur(near * (_PRIOR * mask + (1 - _PRIOR) * likely), (3, 3), 0)
        # Nothing sets it apart: the region as it is says more.
        if (refined > 0.5).sum() < 0.15 * (mask > 0.5).sum():
            return mask
        mask = np.asarray(refined > 0.5, np.float32) if colours is None else refined
    return mask


def _regions(evidence: Float32, bins: Int64) -> list[Float32]:
    """Connected regions of evidence, each as a map [height, width]."""
    solid = (evidence > _REGION).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    large = stats[1:, cv2.CC_STAT_AREA] >= _MIN_AREA * solid.size
    found = [(labels == i + 1).astype(np.float32) for i in np.flatnonzero(large)]
    refined = [_refine(region, bins) for region in found]
    return [region for region in refined if _box(region) is not None]


def _box(mask: Float32) -> Float32 | None:
    """Normalised box of the largest part of a map above a half; None if there is none."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count < 2:
        return None
    x, y, w, h, area = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())]
    if area < _MIN_AREA * mask.size / 2:
        return None
    height, width = mask.shape
    return np.array([x / width, y / height, (x + w) / width, (y + h) / height], np.float32)


def _match(boxes: list[Float32 | None], found: list[Float32 | None]) -> list[int | None]:
    """For each detection the tracklet it belongs to, if any."""
    nothing = np.zeros(4, np.float32)
    owner: list[int | None] = [None] * len(found)
    if not boxes or not found:
        return owner
    iou = pairwise_iou(
        np.array([nothing if b is None else b for b in boxes]),
        np.array([nothing if b is None else b for b in found]),
    )
    taken: set[int] = set()
    for k, i in zip(*np.unravel_index(np.argsort(-iou, axis=None), iou.shape), strict=True):
        if iou[k, i] < _MATCH:
            break
        if owner[i] is None and k not in taken:
            owner[i] = int(k)
            taken.add(int(k))
    return owner
