"""Class-agnostic tracklets: one interface, several back ends (section 3.1, action tokens)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seal import backends
from seal.detect import Detector, needed
from seal.segment import Segmenter
from seal.types import Float32, Int64
from seal.video.frame import Frame


@dataclass(frozen=True, eq=False)
class Tracklet:
    """One thing followed through consecutive analysed frames."""

    pts: Int64
    """[m] presentation timestamps, strictly increasing, in ticks of the video's time base."""
    boxes: Float32
    """[m, 4] normalised x0 y0 x1 y1 at those times."""
    score: float
    """How sure the tracker is, in [0, 1]; of a thing with a name, that it is one."""
    name: str = ""
    """What a detector calls it; "" for a thing that has no name."""


class Tracker(ABC):
    """Frames in order of time to tracklets. Memory does not grow with the number of frames."""

    fingerprint: str
    """Identifies algorithm and weights; part of the key under which tokens are stored."""
    uses_segmenter: bool
    """Whether the segmenter's options decide what is tracked."""
    uses_detector: ClassVar[bool] = False
    """Whether it is made with a detector: `cls(options, segmenter, detector)`."""
    frames_ahead: int = 1
    """How many frames it gains from seeing at once, in `look_ahead`."""

    def look_ahead(self, frames: Sequence[Frame]) -> None:  # noqa: B027  most have no use for it
        """The frames that will be pushed next, in their order, for what can be done in batches."""

    @abstractmethod
    def push(self, frame: Frame) -> list[Tracklet]:
        """Take the next frame; the tracklets that have ended by now."""

    @abstractmethod
    def end(self) -> list[Tracklet]:
        """A shot cut, a gap or the end: the tracklets still alive. The next frame starts afresh."""


def load(options: Any, segmenter: Segmenter, detector: Detector | None = None) -> Tracker:
    """The tracker that these options (`seal.config.MotionTrack`, ...) describe.

    `segmenter` and `detector` find what to follow, for the back ends that follow masks or things
    with names. Raises BackendError if the back end's extra is not installed or its weights are not
    there, OptionError if it needs a detector and there is none.
    """
    chosen: type[Tracker] = backends.resolve("track", options.backend)
    uses = getattr(chosen, "uses_detector", False)
    given = needed("track", options.backend, uses, detector)
    tracker: Tracker = backends.make("track", options, Tracker, segmenter, *given)
    return tracker
