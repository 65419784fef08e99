"""SAM 2 as a class-agnostic tracker: masks of keyframes, propagated frame by frame.

Section 3.1 of the SEAL paper takes its tracklets from SAM 2 (Ravi et al., *SAM 2: Segment Anything
in Images and Videos*, 2024). Every `prompt_interval_s` the segmenter's masks that are followed by
no object yet become new objects. The video processor of the library needs torchvision; what it
would do is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seal.config import Sam2Track
from seal.devices import Runtime
from seal.pixels import IMAGENET
from seal.segment import Masks, Segmenter, mask_boxes
from seal.segment.embedder import ImageEmbedder
from seal.segment.sam import HALF, resize
from seal.track import Tracker, Tracklet
from seal.track.propagation import Propagator
from seal.types import Float32
from seal.video.frame import Frame
from seal.weights import locate, require


@dataclass
class Track:
    """An object that is being followed."""

    pts: list[int] = field(default_factory=list)
    boxes: list[Float32] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, pts: int, box: Float32, score: float) -> None:
        """Add the box of one picture, at its presentation time in units of the stream."""
        self.pts.append(pts)
        self.boxes.append(box)
        self.scores.append(score)

    def tracklet(self, last_pts: int | None = None) -> Tracklet:
        """What was seen, until `last_pts` if it is given."""
        rows = [i for i, pts in enumerate(self.pts) if last_pts is None or pts <= last_pts]
        return Tracklet(
            np.array([self.pts[i] for i in rows], np.int64),
            np.stack([self.boxes[i] for i in rows]),
            float(np.mean([self.scores[i] for i in rows])),
        )


class Sam2Tracker(Tracker):
    """Follows what `segmenter` finds. An object out of sight is waited for until the next keyframe;
    its tracklet has no rows for the time between.

    A tracklet's score is the mean of the network's probability that the object is there, and on
    the frame where it was found of the mask's stability.

    Raises BackendError if the extra is not installed or the weights are not there.
    """

    uses_segmenter = True
    model_class: ClassVar[str] = "Sam2VideoModel"
    propagator_class: ClassVar[type[Propagator]] = Propagator
    mean_std: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = IMAGENET
    """What pictures are normalised with if the weights come without a preprocessor file."""

    def __init__(self, options: Sam2Track, segmenter: Segmenter) -> None:
        weights = locate(options.weights, options.revision)
        self._options = options
        self._segmenter = segmenter
        self.frames_ahead = options.frames_per_batch
        runtime = Runtime.of(options)
        model = runtime.load(self.model_class, weights)
        self._embedder = ImageEmbedder(model, runtime, weights, self.mean_std)
        shared = segmenter.embedder
        if shared is not None and self._embedder.is_like(shared):
            # One network looks at pictures for both, and its copy here is not needed.
            self._embedder, model.vision_encoder = shared, None
        self._propagator = self.propagator_class(
            model, runtime, self._embedder, options.objects_per_batch
        )
        self.fingerprint = f"{options.backend}-2:{weights.fingerprint}+{segmenter.fingerprint}"
        self._found = 0
        self._reset()

    def _reset(self) -> None:
        self._tracks: dict[int, Track] = {}  # the oldest first
        self._propagator.forget()
        self._due_s = -np.inf
        self._checked_pts = 0

    def look_ahead(self, frames: Sequence[Frame]) -> None:
        """Embed frames in one batch, from the first one on that something is looked for."""
        needed = [f.image for f in frames if self._tracks or f.time_s >= self._due_s]
        if len(needed) > 1:
            self._embedder.look_ahead(needed)

    def push(self, frame: Frame) -> list[Tracklet]:
        """Take the next frame; the tracklets that have ended by now."""
        masks = self._propagate(frame) if self._tracks else {}
        if frame.time_s < self._due_s:
            return []
        ended = self._end_lost(masks)
        self._checked_pts = frame.pts
        self._due_s = next_time(self._due_s, frame.time_s, self._options.prompt_interval_s)
        if found := self._find(frame, masks):
            prompts = {key: self._as_prompt(mask) for key, mask in found.items()}
            self._propagator.prompt(frame.image, prompts)
        return ended

    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""
        ended = [track.tracklet() for track in self._tracks.values()]
        self._reset()
        return ended

    def _end_lost(self, masks: dict[int, NDArray[np.bool_]]) -> list[Tracklet]:
        """Drop the objects out of sight, and those that have become one with an older object."""
        lost = [key for key in self._tracks if key not in masks]
        ended = [self._tracks.pop(key).tracklet() for key in lost]
        keys = [*self._tracks]
        rows = duplicates([masks[key] for key in keys], self._options.duplicate_iou)
        merged = [keys[row] for row in rows]
        # The younger one was a thing of its own when last checked, and not since.
        ended += [self._tracks.pop(key).tracklet(self._checked_pts) for key in merged]
        self._propagator.forget([*lost, *merged])
        return ended

    def _find(
        self, frame: Frame, masks: dict[int, NDArray[np.bool_]]
    ) -> dict[int, NDArray[np.bool_]]:
        """Start a track for each thing on this keyframe that is not followed yet."""
        candidates = self._segmenter.segment(frame.image)
        followed = [masks[key] for key in self._tracks]
        found = {}
        for row in newcomers(candidates, followed, self._options):
            self._found += 1
            found[self._found] = candidates.masks[row]
            self._tracks[self._found] = Track()
            self._tracks[self._found].add(
                frame.pts, candidates.boxes[row], float(candidates.stability[row])
            )
        return found

    def _propagate(self, frame: Frame) -> dict[int, NDArray[np.bool_]]:
        """Find the objects on the next frame: the masks of those in sight, by their keys."""
        found = self._propagator.follow(frame.image)
        logits = resize(found.logits.flatten(0, 1), frame.image.shape[:2])
        masks = (logits > 0).cpu().numpy()
        boxes = mask_boxes(masks)
        seen = {}
        scores = found.scores.tolist()
        for key, mask, box, score in zip(found.keys, masks, boxes, scores, strict=True):
            if mask.any():
                self._tracks[key].add(frame.pts, box, score)
                seen[key] = mask
        return seen

    def _as_prompt(self, mask: NDArray[np.bool_]) -> Any:
        """A mask at the network's size [1, 1, side, side], as `Sam2VideoProcessor` makes it."""
        torch = require("torch")
        resized = torch.nn.functional.interpolate(
            torch.from_numpy(mask.astype(np.float32))[None, None],
            (self._embedder.side,) * 2,
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        return (resized >= 0.5).float()


class Sam3Tracker(Sam2Tracker):
    """The tracker of SAM 3, which works as SAM 2 does on another network for pictures."""

    model_class = "Sam3TrackerVideoModel"
    mean_std = HALF


def next_time(due_s: float, now_s: float, interval_s: float) -> float:
    """The first multiple of the interval after `due_s`, the last due time, that lies after now.

    Counting from the last due time keeps the mean interval right where frames come late. An
    infinite `due_s` starts counting now.
    """
    if np.isinf(due_s):
        return now_s + interval_s
    return float(due_s + interval_s * (1 + (now_s - due_s) // interval_s))


def overlaps(
    a: NDArray[np.bool_] | list[NDArray[np.bool_]], b: NDArray[np.bool_] | list[NDArray[np.bool_]]
) -> Float32:
    """How many pixels [n, m] each of the masks `a` [n, h, w] shares with each of `b` [m, h, w]."""
    rows, columns = (np.asarray(m, np.float32).reshape(len(m), -1) for m in (a, b))
    shared: Float32 = rows @ columns.T
    return shared


def duplicates(masks: list[NDArray[np.bool_]], max_iou: float) -> list[int]:
    """The rows of `masks` (the oldest object first) that overlap an older one that stays."""
    if not masks:
        return []
    shared = overlaps(masks, masks)
    areas = np.diag(shared)
    iou = shared / (areas[:, None] + areas - shared)
    kept: list[int] = []
    dropped: list[int] = []
    for row in range(len(masks)):
        (dropped if (iou[row, kept] > max_iou).any() else kept).append(row)
    return dropped


def newcomers(
    candidates: Masks, followed: list[NDArray[np.bool_]], options: Sam2Track
) -> list[int]:
    """The rows of `candidates` to follow from now on, the largest first.

    Whole things come before their parts: a mask counts as new if no more than `new_coverage` of it
    lies in masks that are followed, or were taken before it.
    """
    sized = (candidates.areas >= options.min_area) & (candidates.areas <= options.max_area)
    covered = np.zeros(candidates.masks.shape[1:], bool)
    for mask in followed:
        covered |= mask
    taken: list[int] = []
    for row in np.argsort(-candidates.areas, kind="stable"):
        if len(taken) >= options.max_objects - len(followed):
            break
        mask = candidates.masks[row]
        if sized[row] and covered[mask].mean() <= options.new_coverage:
            taken.append(int(row))
            covered |= mask
    return taken
