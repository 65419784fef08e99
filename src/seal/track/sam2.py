"""SAM 2 as a class-agnostic tracker: masks of keyframes, propagated frame by frame.

Section 3.1 of the SEAL paper takes its tracklets from SAM 2 (Ravi et al., *SAM 2: Segment Anything
in Images and Videos*, 2024). Every `prompt_interval_s` the segmenter's masks that are followed by
no object yet become new objects. Every `chunk_frames` the network's memory is dropped, and a new
one starts with the last masks as its prompts, so an object stays one tracklet and memory does not
grow. The video processor of the library needs torchvision; what it would do is done here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal.config import Sam2Track
from seal.pixels import IMAGENET, normalisation, to_pixels
from seal.segment import Masks, Segmenter, mask_boxes
from seal.segment.sam import resize
from seal.track import Tracker, Tracklet
from seal.types import Float32
from seal.video.frame import Frame
from seal.weights import library_class, load_model, locate, require, resolve_device


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
    """Follows what `segmenter` finds. An object out of sight is waited for until the next keyframe,
    or the end of the chunk if that comes first. Its tracklet has no rows for the time between.

    A tracklet's score is the mean of the network's probability that the object is there, and on
    the frame where it was found of the mask's stability.

    Raises BackendError if the extra is not installed or the weights are not there.
    """

    uses_segmenter = True

    def __init__(self, options: Sam2Track, segmenter: Segmenter) -> None:
        weights = locate(options.weights, options.revision)
        self._options = options
        self._segmenter = segmenter
        self._device = resolve_device(options.device)
        self._model = load_model("Sam2VideoModel", weights, self._device)
        self._side: int = self._model.prompt_encoder.input_image_size
        self._mean_std = normalisation(weights, IMAGENET)
        self.fingerprint = f"sam2-1:{weights.fingerprint}+{segmenter.fingerprint}"
        self._found = 0
        self._reset()

    def _reset(self) -> None:
        self._tracks: dict[int, Track] = {}  # the oldest first
        self._session: Any = None
        self._steps = 0
        self._due_s = -np.inf
        self._checked_pts = 0

    def push(self, frame: Frame) -> list[Tracklet]:
        """Take the next frame; the tracklets that have ended by now."""
        due = frame.time_s >= self._due_s
        if not due and self._session is None:
            return []
        pixels = to_pixels(frame.image, (self._side, self._side), self._side, *self._mean_std)
        masks = {} if self._session is None else self._propagate(frame, pixels)
        full = self._steps >= self._options.chunk_frames
        if not (due or full):
            return []
        ended = self._end_lost(masks)
        self._checked_pts = frame.pts
        found = {}
        if due:
            self._due_s = next_time(self._due_s, frame.time_s, self._options.prompt_interval_s)
            found = self._find(frame, masks)
        if full or not masks or self._is_crowded(len(found)):
            found = {key: masks[key] for key in self._tracks if key in masks} | found
            self._session, self._steps = None, 0
        if found:
            self._prompt(pixels, found)
        return ended

    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""
        ended = [track.tracklet() for track in self._tracks.values()]
        self._reset()
        return ended

    def _end_lost(self, masks: dict[int, NDArray[np.bool_]]) -> list[Tracklet]:
        """Drop the objects out of sight, and those that have become one with an older object."""
        ended = [self._tracks.pop(key).tracklet() for key in [*self._tracks] if key not in masks]
        keys = [*self._tracks]
        merged = duplicates([masks[key] for key in keys], self._options.duplicate_iou)
        # The younger one was a thing of its own when last checked, and not since.
        return ended + [self._tracks.pop(keys[i]).tracklet(self._checked_pts) for i in merged]

    def _is_crowded(self, more: int) -> bool:
        """No room for more objects in the network's memory, where those that have ended stay."""
        return len(self._session.obj_ids) + more > self._options.max_objects

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

    def _propagate(self, frame: Frame, pixels: Any) -> dict[int, NDArray[np.bool_]]:
        """Find the objects on the next frame: the masks of those in sight, by their keys."""
        torch = require("torch")
        output = self._step(pixels, self._steps)
        self._steps += 1
        logits = resize(output.pred_masks.flatten(0, 1), frame.image.shape[:2])
        masks = (logits > 0).cpu().numpy()
        boxes = mask_boxes(masks)
        scores = torch.sigmoid(output.object_score_logits.flatten()).tolist()
        seen = {}
        for key, mask, box, score in zip(output.object_ids, masks, boxes, scores, strict=True):
            if key in self._tracks and mask.any():
                self._tracks[key].add(frame.pts, box, score)
                seen[key] = mask
        return seen

    def _prompt(self, pixels: Any, masks: dict[int, NDArray[np.bool_]]) -> None:
        """Tell the network to follow these masks from the frame that it saw last, or from the
        first frame of a new memory."""
        torch = require("torch")
        if self._session is None:
            self._session = library_class("Sam2VideoInferenceSession")(
                inference_device=self._device,
                inference_state_device=self._device,
                video_storage_device=self._device,
                dtype=torch.float32,
            )
            self._steps = 1
        step = self._steps - 1
        for key, mask in masks.items():
            index = self._session.obj_id_to_idx(key)
            self._session.add_mask_inputs(index, step, self._as_prompt(mask))
        self._session.obj_with_new_inputs = list(masks)
        self._step(pixels, step)

    def _step(self, pixels: Any, step: int) -> Any:
        """Run the network on a frame, and keep of it only what later frames look at."""
        with require("torch").inference_mode():
            output = self._model(self._session, frame=pixels, frame_idx=step)
        self._session.processed_frames.clear()
        for outputs in self._session.output_dict_per_obj.values():
            for by_step in outputs.values():
                by_step.get(step, {}).pop("high_res_masks", None)
        return output

    def _as_prompt(self, mask: NDArray[np.bool_]) -> Any:
        """A mask at the network's size [1, 1, side, side], as `Sam2VideoProcessor` makes it."""
        torch = require("torch")
        resized = torch.nn.functional.interpolate(
            torch.from_numpy(mask.astype(np.float32))[None, None],
            (self._side, self._side),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        return (resized >= 0.5).float()


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
