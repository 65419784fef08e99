"""How well action tokens follow the moving thing of each DAVIS sequence.

    python benchmarks/davis_actions.py

The figure: the share of annotated frames on which one tracklet, the sequence's best, has a box of
IoU >= 0.5 with the truth. Boxes between analysed frames are interpolated; outside its own time a
tracklet has none. Tracklets shorter than L_min are dropped, as in the index.
"""

import argparse

import cv2
import numpy as np

from data import davis
from seal import config, track
from tracking import best_shares, frames, long_enough, run


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    cv2.setNumThreads(1)
    shares = []
    print("| sequence | share of frames with IoU >= 0.5 | tracklets | ms per analysed frame |")
    print("|---|---|---|---|")
    for path, truth in davis().items():
        shown, every_pts = frames(path)
        tracklets, ms = run(track.load(config.MotionTrack(), None), shown)
        tracklets = long_enough(tracklets, float(shown[0].time_base))
        rows = [i for i, box in enumerate(truth) if box is not None]
        boxes = np.array([truth[i] for i in rows])
        share = max(best_shares(tracklets, every_pts[rows], boxes), default=0.0)
        shares.append(share)
        print(f"| {path.stem} | {share:.2f} | {len(tracklets)} | {ms:.1f} |")
    print(f"| mean | {np.mean(shares):.3f} | | |")


if __name__ == "__main__":
    main()
