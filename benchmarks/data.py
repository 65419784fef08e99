"""Where the real footage lies, its ground truth, and which half of it a number is from."""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(os.environ.get("SEAL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
HALVES = ("all", "choose", "report")


@dataclass(frozen=True)
class Sequence:
    """A video with the boxes of what moves in it."""

    path: Path
    objects: list[list[np.ndarray | None]]
    """For each thing a box on every frame: normalised x0 y0 x1 y1, or None where none is known."""
    is_motion: bool
    """The boxes are of whole things that move and are large enough to be seen."""


def half(parser: argparse.ArgumentParser) -> None:
    """The option that says which videos of `split.json` a number is from."""
    parser.add_argument("--half", choices=HALVES, default="all", help="videos of split.json")


def in_half(path: Path, name: str) -> bool:
    split = json.loads((Path(__file__).parent / "split.json").read_text())
    return name == "all" or str(path.relative_to(ROOT)) in split[name]


def sequences(folder: str, name: str = "all") -> Iterator[Sequence]:
    """The labelled sequences in "davis" or "footage/tracks" that are in this half."""
    info_path = ROOT / folder / "info.json"
    info = json.loads(info_path.read_text()) if info_path.exists() else {}
    for title, entry in json.loads((ROOT / folder / "boxes.json").read_text()).items():
        path = ROOT / folder / f"{title}.mp4"
        if in_half(path, name):
            scale = np.array([entry["width"], entry["height"]] * 2)
            objects = entry.get("objects", {"": entry["boxes_xyxy"]}).values()
            rows = [[None if box is None else np.array(box) / scale for box in o] for o in objects]
            yield Sequence(path, rows, info.get(title, {"use": "motion"})["use"] == "motion")
