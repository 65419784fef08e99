"""Back ends and a kind of token that exist for tests alone: what a package outside of SEAL adds.

`installed` makes them as visible to a Python process as an installed package is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from seal.decompose import Draft, Maker, PartContext
from seal.encode import Encoder, check_images, check_texts
from seal.errors import VideoError
from seal.kinds import Kind
from seal.segment import Masks, Segmenter
from seal.track import Tracker, Tracklet
from seal.types import WHOLE_FRAME
from seal.video import Frame

ENTRY_POINTS = """[seal.backends]
kind.caption = made_up:CAPTION
encode.made_up = made_up:ColourEncoder
segment.made_up = made_up:HalfSegmenter
track.made_up = made_up:CentreTracker
"""


def installed(folder: Path) -> dict[str, str]:
    """The environment of a process in which this module is an installed plug-in."""
    about = folder / "made_up-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    path = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


class Captions(Maker):
    """A line of words for every two seconds."""

    def __init__(self) -> None:
        self._next_s = 0.0

    @classmethod
    def of(cls, part: PartContext) -> Captions:
        made = cls()
        made._next_s = part.start_s
        return made

    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        if frame.time_s < self._next_s:
            return []
        self._next_s += 2.0
        text = f"a red ball at second {frame.time_s:.0f}"
        return [Draft(CAPTION, (frame.pts, frame.end_pts), WHOLE_FRAME, 1.0, text=text)]


CAPTION = Kind(
    "caption",
    "what somebody says at that time",
    "made_up:Captions",
    modality="text",
    has_picture=False,
    whole_frame=True,
    cost=0.25,
    color=(120, 60, 140),
    bright=(200, 140, 230),
    word="words",
)


class ColourEncoder(Encoder):
    """Pictures by their mean colour, texts by the colours that they name."""

    fingerprint = "made-up-colours-1"
    facets = 1

    @dataclass(frozen=True)
    class Options:
        """What can be set as encode.KEY."""

        backend: ClassVar[str] = "made_up"
        dimension: int = 8

    def __init__(self, options: Options | None = None) -> None:
        self.dimension = (options or self.Options()).dimension

    def encode_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        check_images(images)
        means = [image.reshape(-1, 3).mean(0) for image in images]
        return self._rows(np.array(means, np.float32).reshape(-1, 3) / 255)[:, None]

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        check_texts(texts)
        named = [[word in text for word in ("red", "green", "blue")] for text in texts]
        return self._rows(np.array(named, np.float32).reshape(-1, 3))

    def _rows(self, colours: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(colours), self.dimension), np.float32)
        rows[:, :3], rows[:, 3] = colours, 0.1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class HalfSegmenter(Segmenter):
    """The left and the right half of every picture. It has no options."""

    fingerprint = "made-up-halves-1"

    def __init__(self, options: object = None) -> None:
        pass

    def segment(self, image: np.ndarray) -> Masks:
        height, width = image.shape[:2]
        masks = np.zeros((2, height, width), bool)
        masks[0, :, : max(1, width // 2)] = True
        masks[1, :, width // 2 :] = True
        return Masks.of(masks, [0.9, 0.8])


class MoodySegmenter(HalfSegmenter):
    """In the calls of these numbers it fails, as if the video could not be read there. It kills its
    process as often as there are files in the folder `dies`."""

    def __init__(
        self, fails: Sequence[int] = (), dies: Path | None = None, pause_s: float = 0.0
    ) -> None:
        self._fails, self._calls, self._dies = set(fails), 0, dies
        self._pause_s = pause_s

    def segment(self, image: np.ndarray) -> Masks:
        time.sleep(self._pause_s)
        self._calls += 1
        if self._calls - 1 in self._fails:
            raise VideoError("the segmenter is in no mood")
        if self._dies is not None and (left := sorted(self._dies.iterdir())):
            with suppress(FileNotFoundError):
                left[0].unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().segment(image)


class MeetingSegmenter(HalfSegmenter):
    """Writes into the file PID of a folder when it began and ended each picture. It begins with the
    first picture when so many processes are at one."""

    def __init__(self, folder: Path, processes: int = 1) -> None:
        self._folder, self._processes = folder, processes

    def segment(self, image: np.ndarray) -> Masks:
        began, own = time.monotonic(), self._folder / str(os.getpid())
        own.touch()
        while len(list(self._folder.iterdir())) < self._processes:
            if time.monotonic() - began > 60:
                raise RuntimeError("no other process has come")
            time.sleep(0.01)
        masks = super().segment(image)
        with own.open("a") as file:
            file.write(f"{began} {time.monotonic()}\n")
        return masks


class CentreTracker(Tracker):
    """Follows the brightest spot of each shot. It has no options."""

    fingerprint = "made-up-centre-1"
    uses_segmenter = False

    def __init__(self, options: object = None, segmenter: Segmenter | None = None) -> None:
        self._pts: list[int] = []
        self._boxes: list[list[float]] = []

    def push(self, frame: Frame) -> list[Tracklet]:
        grey = cv2.GaussianBlur(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), (0, 0), 2)
        height, width = grey.shape
        _, _, _, (x, y) = cv2.minMaxLoc(grey)
        left, top = max(0.0, x / width - 0.1), max(0.0, y / height - 0.1)
        self._pts.append(frame.pts)
        self._boxes.append([left, top, min(1.0, left + 0.2), min(1.0, top + 0.2)])
        return []

    def end(self) -> list[Tracklet]:
        pts, boxes = np.array(self._pts, np.int64), np.array(self._boxes, np.float32)
        self._pts, self._boxes = [], []
        return [Tracklet(pts, boxes, 0.5)] if len(pts) else []
