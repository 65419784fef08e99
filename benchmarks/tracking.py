"""What the benchmarks of tracking share: frames as the index analyses them, and overlaps."""

import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from seal.config import ActionOptions, Options
from seal.track import Tracker, Tracklet
from seal.video import Frame, open_video

MATCH_IOU = 0.5


def frames(path: Path, options: Options) -> tuple[list[Frame], np.ndarray]:
    """The analysed frames of a video, and the presentation timestamps of all its frames."""
    with open_video(path, options.video, threads=1) as video:
        # Decoded pictures between them would fill the memory.
        shown = [
            replace(frame, between=tuple(frame.between), enlarge=None) for frame in video.frames()
        ]
    with av.open(str(path)) as container:
        every = [picture.pts for picture in container.decode(video=0)]
    return shown, np.array(every)


def run(
    tracker: Tracker, shown: list[Frame], starts: set[int] | None = None
) -> tuple[list[Tracklet], float]:
    """The tracklets of these frames, shots starting at the pts `starts`; CPU ms per frame."""
    began = time.process_time()
    tracklets: list[Tracklet] = []
    for frame in shown:
        if starts and frame.pts in starts:
            tracklets += tracker.end()
        tracklets += tracker.push(frame)
    tracklets += tracker.end()
    return tracklets, (time.process_time() - began) / len(shown) * 1000


def long_enough(tracklets: list[Tracklet], tick_s: float) -> list[Tracklet]:
    """Those of at least L_min."""
    shortest = ActionOptions().min_length_s
    return [t for t in tracklets if (t.pts[-1] - t.pts[0]) * tick_s >= shortest]


def row_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of row i of `a` with row i of `b`, both [n, 4]: [n]."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    union = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1) - shared
    return shared / np.maximum(union, 1e-12)


def interpolated(times: np.ndarray, boxes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """[len(at), 4] boxes at other times, linearly between those known."""
    return np.column_stack([np.interp(at, times, boxes[:, k]) for k in range(4)])


def best_shares(tracklets: list[Tracklet], pts: np.ndarray, boxes: np.ndarray) -> list[float]:
    """For each tracklet the share of the true boxes [n, 4] at `pts` that it matches."""
    shares = []
    for tracklet in tracklets:
        inside = (pts >= tracklet.pts[0]) & (pts <= tracklet.pts[-1])
        mine = interpolated(tracklet.pts, tracklet.boxes, pts)
        shares.append(float(np.mean((row_iou(mine, boxes) >= MATCH_IOU) & inside)))
    return shares
