"""Scene tokens: uniformly sampled whole frames, "where" (section 3.1)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from seal.config import Options, SceneOptions, deciding
from seal.decompose.draft import Draft
from seal.decompose.maker import Maker, Models, PartContext
from seal.errors import OptionError
from seal.kinds import SCENE
from seal.types import WHOLE_FRAME
from seal.video import Frame, VideoInfo
from seal.video.sampling import Grid
from seal.words import Transcript


class Scenes(Maker):
    """The first analysed frame at or after each tick of a uniform grid over the whole video.

    `rate_hz` is how often frames are analysed, `start_s` where the part begins that will be pushed:
    ticks before it belong to other parts.
    Raises OptionError if a number of frames is asked for and the video's length is not known.
    """

    def __init__(
        self, options: SceneOptions, info: VideoInfo, rate_hz: float, start_s: float
    ) -> None:
        # Counted in ticks of the analysis, for these decide which part a frame belongs to.
        self._analysed = Grid(info.start, rate_hz)
        self._first = info.start
        if options.count is None:
            self._step = Fraction(options.interval_s)
        elif info.duration_s:
            self._step = Fraction(info.duration_s) / options.count
            self._first += self._step / 2
        else:
            raise OptionError(
                f"scenes.count needs a video of known length, and {info.source} has none;"
                " set scenes.interval_s instead"
            )
        self._next = self._after(self._analysed.at_or_before(start_s) - 1)

    @classmethod
    def of(cls, part: PartContext) -> Scenes:
        options = part.options
        return cls(options.scenes, part.info, options.video.rate_hz, part.start_s)

    @classmethod
    def deciding(cls, options: Options, models: Models, subtitles: Transcript | None) -> list[Any]:
        return [deciding(options.scenes)]

    def push(self, frame: Frame, cut: bool = False) -> list[Draft]:
        """The scene token of `frame`, if it is the first one at or after a tick."""
        reached = self._analysed.before(frame.pts * frame.time_base)
        if reached < self._tick(self._next):
            return []
        self._next = self._after(reached)
        span = (frame.pts, frame.end_pts)
        return [Draft(SCENE, span, WHOLE_FRAME, 1.0, [frame.image], [frame.pts])]

    def _tick(self, scene: int) -> int:
        return self._analysed.at_or_after(self._first + scene * self._step)

    def _after(self, tick: int) -> int:
        """The first scene whose tick of the analysis is later than this one."""
        return max(0, math.floor((self._analysed.time(tick) - self._first) / self._step) + 1)
