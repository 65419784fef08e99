"""How well action tokens follow what moves: DAVIS, and sequences of other data sets.

    python benchmarks/tracks.py [--half report] [--damage blurred] [--set track.backend=mini]

The figure: the share of annotated frames on which one tracklet, the thing's best, has a box of
IoU >= 0.5 with the truth, averaged over the things of a sequence. Boxes between analysed frames are
interpolated; outside its own time a tracklet has none. Shots are cut and tracklets shorter than
L_min are dropped, as in the index. The mean over other sequences is of those that show whole things
that move; the others have a row each, in brackets.

A blurred copy of a video is smeared by a hundredth of its width; in an occluded copy a grey post of
an eighth of the width stands in the middle.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from data import Sequence, half, sequences
from seal.config import Options
from seal.decompose import Models
from seal.decompose.shots import Shots
from seal.types import UInt8
from seal.video import Frame
from tracking import best_shares, frames, long_enough, run

_BLUR, _POST = 1 / 100, 1 / 8


def blurred(image: UInt8) -> UInt8:
    return cv2.GaussianBlur(image, None, _BLUR * image.shape[1])


def occluded(image: UInt8) -> UInt8:
    image = image.copy()
    width = image.shape[1]
    image[:, round(width * (0.5 - _POST / 2)) : round(width * (0.5 + _POST / 2))] = 128
    return image


DAMAGES: dict[str, Callable[[UInt8], UInt8]] = {"blurred": blurred, "occluded": occluded}


def damaged(frame: Frame, how: str | None) -> Frame:
    if how is None:
        return frame
    damage = DAMAGES[how]
    return replace(frame, image=damage(frame.image), between=tuple(map(damage, frame.between)))


def measure(sequence: Sequence, options: Options, damage: str | None) -> tuple[float, int, float]:
    """The figure of a sequence, how many tracklets there were, CPU ms per analysed frame."""
    shown, every_pts = frames(sequence.path, options)
    shown = [damaged(frame, damage) for frame in shown]
    shots = Shots()
    starts = {frame.pts for frame in shown if shots.push(frame)}
    tracklets, ms = run(Models.load(options).tracker, shown, starts)
    tracklets = long_enough(tracklets, float(shown[0].time_base))
    shares = []
    for truth in sequence.objects:
        rows = [i for i, box in enumerate(truth) if box is not None]
        boxes = np.array([truth[i] for i in rows])
        shares.append(max(best_shares(tracklets, every_pts[rows], boxes), default=0.0))
    return float(np.mean(shares)), len(tracklets), ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    half(parser)
    parser.add_argument("--damage", choices=DAMAGES)
    parser.add_argument("--set", action="append", default=[], help="an option of seal index")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    options = Options.load(settings=given.set)
    print("| sequence | share of frames with IoU >= 0.5 | tracklets | ms per analysed frame |")
    print("|---|---|---|---|")
    for folder in ("davis", "footage/tracks"):
        shares = []
        for sequence in sequences(folder, given.half):
            share, tracklets, ms = measure(sequence, options, given.damage)
            said = f"{share:.2f}" if sequence.is_motion else f"({share:.2f})"
            print(f"| {sequence.path.stem} | {said} | {tracklets} | {ms:.1f} |", flush=True)
            if sequence.is_motion:
                shares.append(share)
        print(f"| **{folder}**, {len(shares)} | **{np.mean(shares):.3f}** | | |", flush=True)


if __name__ == "__main__":
    main()
