"""Step 10: the trained detector as ONNX in 8 bits, what that costs, and how fast it runs."""

from __future__ import annotations

import time

import torch
from detect import UNSEEN, Batches, score
from detector import Detector
from detector_onnx import build
from export import quantise
from loop import averaged
from scenes import SIZES

from data import CACHE, WEIGHTS, Pictures, arguments
from seal.dependencies import onnx_session
from seal.detect.mini import fitted

CALIBRATION = 32
"""Scenes that set the ranges of the 8-bit activations."""
FRESH = 10**6
"""Scenes from this number on were in no step of the training."""


def load(run: str) -> tuple[Detector, int]:
    """The averaged detector of a run and the step that it is from."""
    weights, step = averaged(CACHE / f"train_{run}.pt")
    net = Detector()
    net.load_state_dict(weights)
    return net.eval(), step


def main() -> None:
    options = arguments(__doc__, run="detector")
    torch.set_num_threads(1)
    net, step = load(options.run)
    batches, frames = Batches(1), Pictures.load("frames")
    scenes = [batches.scenes(FRESH + i, SIZES[0]) for i in range(CALIBRATION)]
    model = build(net)
    # Quantising takes the weights out of the model.
    floats = model.SerializeToString()
    file = WEIGHTS / "detector.onnx"
    quantise(model, [scene[None] for scene in scenes], file, "picture")

    unseen = [batches.unseen(i, SIZES[0]) for i in range(UNSEEN)]
    wanted = [batches.teacher(scene)["raw"] for scene in unseen]
    for name, content in (
        ("in floats", floats),
        ("in 8 bits", file.read_bytes()),
    ):
        run = onnx_session(content).run
        said = [run(None, {"picture": scene[None]})[0][0] for scene in unseen]
        figures = score(said, wanted, *SIZES[0])
        frame, seconds = fitted(frames[0])[0][None], []
        for _ in range(20):
            start = time.perf_counter()
            run(None, {"picture": frame})
            seconds.append(time.perf_counter() - start)
        print(
            f"step {step}, {name}: {len(content) / 1e6:.2f} MB,"
            f" {min(seconds) * 1e3:.1f} ms for {frame.shape[2]} x {frame.shape[1]} px,"
            + "".join(f" {key} {value:.3f}" for key, value in figures.items())
        )


if __name__ == "__main__":
    main()
