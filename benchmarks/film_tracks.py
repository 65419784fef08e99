"""Tracklets against a generated film's exact truth: recall and false alarms.

    python benchmarks/film_tracks.py [--seeds 0 1 2] [--duration-s 120] [--set track.backend=mini]

Found: a thing's presence of at least L_min within a shot that one tracklet matches (IoU >= 0.5) on
more than half of its analysed frames. False: a tracklet of at least L_min that matches no one
presence on more than half of the tracklet's own frames. Shots are those that `Shots` finds.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from seal.config import ActionOptions, Options
from seal.decompose import Models
from seal.decompose.shots import Shots
from seal.evaluate.film import Event, write_film
from seal.track import Tracklet
from seal.video.frame import Frame
from tracking import MATCH_IOU, best_shares, frames, interpolated, long_enough, row_iou, run


def found(event: Event, tracklets: list[Tracklet], shown: list[Frame], tick_s: float) -> bool:
    pts = np.array([f.pts for f in shown if event.span.start_s <= f.time_s <= event.span.end_s])
    truth = interpolated(event.track[:, 0], event.track[:, 1:], pts * tick_s)
    return max(best_shares(tracklets, pts, truth), default=0.0) > 0.5


def is_true(tracklet: Tracklet, events: list[Event], tick_s: float) -> bool:
    times = tracklet.pts * tick_s
    for event in events:
        truth = interpolated(event.track[:, 0], event.track[:, 1:], times)
        inside = (times >= event.span.start_s) & (times <= event.span.end_s)
        if np.mean((row_iou(tracklet.boxes, truth) >= MATCH_IOU) & inside) > 0.5:
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--duration-s", type=float, default=120.0)
    parser.add_argument("--set", action="append", default=[], help="an option of seal index")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    options = Options.load(settings=given.set)
    shortest = ActionOptions().min_length_s
    print("| seed | things | recall | false per minute | cuts found | false cuts | ms per frame |")
    print("|---|---|---|---|---|---|---|")
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            film = Path(folder) / "film.mp4"
            events = write_film(film, seed, given.duration_s)
            shown, _ = frames(film, options)
        tick_s = float(shown[0].time_base)
        shots = Shots()
        starts = {frame.pts for frame in shown if shots.push(frame)}
        tracklets, ms = run(Models.load(options).tracker, shown, starts)
        tracklets = long_enough(tracklets, tick_s)
        things = [e for e in events if e.kind == "object"]
        wanted = [e for e in things if e.span.duration_s >= shortest]
        recall = np.mean([found(e, tracklets, shown, tick_s) for e in wanted])
        false = sum(not is_true(t, things, tick_s) for t in tracklets)
        cuts = [e.span.start_s for e in events if e.kind == "cut"]
        # The first analysed frame of each shot.
        true_starts = {min(f.pts for f in shown if f.time_s >= cut - 1e-6) for cut in cuts}
        print(
            f"| {seed} | {len(wanted)} | {recall:.3f} | {false / given.duration_s * 60:.2f}"
            f" | {len(starts & true_starts)}/{len(true_starts)} | {len(starts - true_starts)}"
            f" | {ms:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
