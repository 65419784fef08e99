"""Frame rates, and times as frames and as SMPTE timecode (ST 12-1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from seal.errors import OptionError
from seal.store import VideoRecord
from seal.types import Span

_NTSC = Fraction(1000, 1001)
# Whole rates and those of NTSC are a thousandth apart: this decides between them.
_TOLERANCE = 4e-4
# ST 12-1 and ST 12-3; those of NTSC are counted as these.
_WITH_TIMECODE = (24, 25, 30, 48, 50, 60)
_DROPS_AT = 30
# Containers round times to milliseconds. A time so close to a frame, in frames, is that frame's.
_ROUNDING = 0.05
_DAY_S = 24 * 3600


@dataclass(frozen=True)
class FrameRate:
    """A frame rate that does not vary."""

    hz: Fraction
    """Exact: a whole number, or 1000/1001 of a whole number."""

    @property
    def counted(self) -> int:
        """How many frames a second of timecode counts."""
        return round(self.hz)

    @property
    def has_timecode(self) -> bool:
        """Whether a timecode is defined for this rate."""
        return self.counted in _WITH_TIMECODE

    @property
    def drops(self) -> int:
        """How many numbers drop-frame timecode leaves out at the start of nine minutes of ten; 0
        for a rate that has no drop-frame timecode."""
        is_drop = self.hz.denominator > 1 and self.counted % _DROPS_AT == 0
        return self.counted // 15 if is_drop else 0

    def frames(self, span: Span, start_s: float) -> tuple[int, int]:
        """The frames on the screen in a span, at least one: the first, and the first after it.

        `start_s` is the presentation time of frame 0.
        """
        first = math.floor((span.start_s - start_s) * self.hz + _ROUNDING)
        end = math.ceil((span.end_s - start_s) * self.hz - _ROUNDING)
        first = max(first, 0)
        return first, max(end, first + 1)

    def timecode(self, frame: int) -> str:
        """The timecode of a frame, such as 01:00:00:00; with a semicolon where it is drop-frame.

        Raises OptionError for a frame that has none, a day or more after the first.
        """
        if self.drops:
            minute = 60 * self.counted - self.drops
            tens, rest = divmod(frame, 10 * minute + self.drops)
            # The first minute of ten keeps all of its numbers.
            minutes = max(0, rest - self.drops) // minute
            frame += self.drops * (9 * tens + minutes)
        seconds, frames = divmod(frame, self.counted)
        if seconds >= _DAY_S:
            raise OptionError(
                "timecode ends after 24 hours, and this list goes on: export fewer moments, or as"
                " .otio or .csv"
            )
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        point = ";" if self.drops else ":"
        return f"{hour:02d}:{minute:02d}:{second:02d}{point}{frames:02d}"


def rate_of(record: VideoRecord) -> FrameRate | None:
    """The frame rate of a video; None where it varies or is not known.

    A container states the mean. Cameras have whole rates or those of NTSC. The rate is taken for
    the nearest of them if the two differ by no more than one frame over the whole video.
    """
    mean_hz = record.rate_hz
    if mean_hz is None:
        return None
    whole = Fraction(max(1, round(mean_hz)))
    # Only frame rates that come from NTSC are used at 1000/1001.
    rates = [whole] if whole % 6 else [whole, whole * _NTSC]
    nearest = min(rates, key=lambda rate: abs(rate - mean_hz))
    off = abs(float(nearest) - mean_hz)
    allowed = min(1 / max(record.duration_s, 1), _TOLERANCE * mean_hz)
    return FrameRate(nearest) if off <= allowed else None
