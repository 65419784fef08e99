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
from seal.types import Float32, UInt8, pairwise_iou
from seal.video.frame import Frame

_AREA = 320 * 180
"""Flow is computed on pictures of about this many pixels, whatever their shape."""
_KEEP = 0.6
"""Share of the accumulated evidence that is carried to the next picture."""
_REGION = 0.5
"""Evidence above this makes a region."""
_MIN_AREA = 0.0012
"""Smaller regions are noise; a share of the picture."""
_BINS = 12
"""Levels of each of L, a, b in a colour model."""
_MATCH = 0.3
"""A detection belongs to a tracklet if their boxes overlap by this much."""
_CONFIRM = 3
"""A tracklet is real once it was seen to move in so many pictures."""
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
            return ended
        assert self._camera is not None
        motion = self._camera.motion(earlier, grey)
        flow = cv2.resize(motion.flow, (w // 2, h // 2), interpolation=cv2.INTER_AREA) / 2
        length = cv2.resize(
            np.linalg.norm(motion.residual, axis=2), (w // 2, h // 2), interpolation=cv2.INTER_AREA
        )
        warp = self._pixels + flow
        bins = _bins(lab)
        now = length**2 / (length**2 + (3 * motion.noise_px) ** 2)
        carried = cv2.remap(self._evidence, warp, None, cv2.INTER_LINEAR)
        evidence = _KEEP * carried + (1 - _KEEP) * now
        self._evidence = evidence
        detections = _regions(_sharpen(evidence, bins))
        return ended + self._associate(frame, detections, warp, bins, now)

    def _associate(
        self,
        frame: Frame,
        detections: list[Float32],
        warp: Float32,
        bins: np.ndarray,
        now: Float32,
    ) -> list[Tracklet]:
        for track in self._tracks:
            prior = cv2.remap(track.mask, warp, None, cv2.INTER_LINEAR)
            near = cv2.dilate(prior, np.ones((9, 9), np.uint8))
            ring = near * (1 - prior)
            likely = _likelihood(track.colours, _histogram(bins, ring + 1e-3), bins)
            track.mask = cv2.GaussianBlur(near * (0.6 * prior + 0.4 * likely), (5, 5), 0)
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
            track.colours = 0.9 * track.colours + 0.1 * _histogram(bins, track.mask)
            track.pts.append(frame.pts)
            track.boxes.append(box)
            track.supported.append(bool(mine))
            alive.append(track)
        for i, o in enumerate(owner):
            if o is None and found[i] is not None:
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
            if sum(track.supported) >= _CONFIRM
        ]


def _bins(lab: UInt8) -> np.ndarray:
    """[height, width] the cell of a colour model that each pixel falls into."""
    level = lab.astype(np.int32)
    lightness = level[:, :, 0] * _BINS // 256
    # a and b of real pictures fill the middle half of their range.
    a = np.clip((level[:, :, 1] - 64) * _BINS // 128, 0, _BINS - 1)
    b = np.clip((level[:, :, 2] - 64) * _BINS // 128, 0, _BINS - 1)
    return (lightness * _BINS + a) * _BINS + b


def _histogram(bins: np.ndarray, weights: Float32) -> Float32:
    counts = np.bincount(bins.ravel(), weights.ravel(), _BINS**3).astype(np.float32)
    cube = counts.reshape(_BINS, _BINS, _BINS)
    cube = cv2.blur(cube.reshape(_BINS, -1), (1, 3)).reshape(_BINS, _BINS, _BINS)
    return cube.ravel() / max(float(cube.sum()), 1e-6)


def _likelihood(inside: Float32, outside: Float32, bins: np.ndarray) -> Float32:
    """[height, width] how likely each pixel's colour is one of `inside`'s, in [0, 1]."""
    floor = 1e-4
    ratio: Float32 = (inside + floor) / (inside + outside + 2 * floor)
    return ratio[bins]


def _sharpen(evidence: Float32, bins: np.ndarray) -> Float32:
    """The evidence, drawn to the colours that set what moves apart from what does not."""
    inside = _histogram(bins, evidence**2)
    outside = _histogram(bins, (1 - evidence) ** 2)
    likely = cv2.blur(_likelihood(inside, outside, bins), (3, 3))
    odds = evidence * likely / (evidence * likely + (1 - evidence) * (1 - likely) + 1e-6)
    return cv2.GaussianBlur(odds, (5, 5), 0)


def _regions(evidence: Float32) -> list[Float32]:
    """Connected regions of evidence, each as a map [height, width]."""
    solid = (evidence > _REGION).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    large = stats[1:, cv2.CC_STAT_AREA] >= _MIN_AREA * solid.size
    return [(labels == i + 1).astype(np.float32) for i in np.flatnonzero(large)]


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
