"""Scene tokens: uniformly sampled whole frames, "where" (section 3.1)."""

from __future__ import annotations

import math
from fractions import Fraction

from seal.config import SceneOptions
from seal.decompose.draft import Draft
from seal.errors import OptionError
from seal.types import WHOLE_FRAME
from seal.video import Frame, VideoInfo


class Scenes:
    """The first analysed frame at or after each tick of a uniform grid over the whole video.

    `start_s` is where the part begins that will be pushed: ticks before it belong to other parts.
    Raises OptionError if a number of frames is asked for and the video's length is not known.
    """

    def __init__(self, options: SceneOptions, info: VideoInfo, start_s: float) -> None:
        first = Fraction(info.start_s)
        if options.count is None:
            self._step = Fraction(options.interval_s)
        elif info.duration_s:
            self._step = Fraction(info.duration_s) / options.count
            first += self._step / 2
        else:
            raise OptionError(
                f"scenes.count needs a video of known length, and {info.source} has none;"
                " set scenes.interval_s instead"
            )
        ahead = max(0, math.ceil((Fraction(start_s) - first) / self._step))
        self._next = first + ahead * self._step

    def push(self, frame: Frame) -> list[Draft]:
        """The scene token of `frame`, if it is the first one at or after a tick."""
        time = frame.pts * frame.time_base
        if time < self._next:
            return []
        self._next += (math.floor((time - self._next) / self._step) + 1) * self._step
        span = (frame.pts, frame.end_pts)
        return [Draft("scene", span, WHOLE_FRAME, 1.0, [frame.image], [frame.pts])]
