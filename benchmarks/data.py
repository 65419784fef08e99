"""Where the real footage lies, and its ground truth."""

import json
import os
from pathlib import Path

import numpy as np

ROOT = Path(os.environ.get("SEAL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def davis() -> dict[Path, list[np.ndarray | None]]:
    """Each DAVIS sequence with the box of its moving foreground on every frame.

    Boxes are normalised x0 y0 x1 y1, or None where nothing is annotated.
    """
    sequences = json.loads((ROOT / "davis" / "boxes.json").read_text())
    truth = {}
    for name, entry in sequences.items():
        scale = np.array([entry["width"], entry["height"]] * 2)
        rows = [None if box is None else np.array(box) / scale for box in entry["boxes_xyxy"]]
        truth[ROOT / "davis" / f"{name}.mp4"] = rows
    return truth
