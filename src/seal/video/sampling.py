"""Which frames are analysed: the first one at or after each tick of a grid.

The grid belongs to the video, not to the pass over it: tick i lies at start + i / rate. So a pass
that begins in the middle takes the very same frames there as a pass from the start.
"""

from __future__ import annotations

from fractions import Fraction

REORDERED = 32
"""No codec lets a picture overtake more others than this."""


class Grid:
    """Ticks at start + i / rate_hz seconds, exact; `rate_hz` is read as the decimal it prints as,
    so that 0.6 is 3/5."""

    def __init__(self, start: Fraction, rate_hz: float) -> None:
        self.start = start
        self.rate = Fraction(str(rate_hz))

    def time(self, tick: int) -> Fraction:
        """When this tick is, in seconds."""
        return self.start + tick / self.rate

    def before(self, time: Fraction) -> int:
        """The last tick at or before `time`."""
        return (time - self.start) * self.rate // 1

    def at_or_after(self, time: Fraction) -> int:
        """The first tick at or after `time`."""
        return -((self.start - time) * self.rate // 1)

    def at_or_before(self, seconds: float) -> int:
        """The last tick at or before `seconds`, where a tick counts as its float value."""
        tick = self.before(Fraction(seconds)) + 1
        return tick if float(self.time(tick)) <= seconds else tick - 1


class _Timestamps:
    """The ticks of a grid among timestamps of a time base, in integers: there are thousands."""

    def __init__(self, grid: Grid, time_base: Fraction) -> None:
        step, offset = time_base * grid.rate, grid.start * grid.rate
        self._divisor = step.denominator * offset.denominator
        self._factor = step.numerator * offset.denominator
        self._offset = offset.numerator * step.denominator

    def tick(self, pts: int) -> int:
        """The last tick at or before a timestamp."""
        return (pts * self._factor - self._offset) // self._divisor

    def first(self, tick: int) -> int:
        """The first timestamp at or after a tick."""
        return -((-tick * self._divisor - self._offset) // self._factor)


class Sampler:
    """Says of each frame in turn whether it is the first at or after some tick.

    A frame that is the first after several ticks is taken once.
    """

    def __init__(self, grid: Grid, time_base: Fraction, first_tick: int = 0) -> None:
        """Frames are pushed from at or before tick `first_tick` of the grid on."""
        self._timestamps = _Timestamps(grid, time_base)
        self._due = self._timestamps.first(first_tick)

    def takes(self, pts: int) -> bool:
        """Whether the frame at `pts` (later than all before it) is analysed."""
        if pts < self._due:
            return False
        self._due = self._timestamps.first(self._timestamps.tick(pts) + 1)
        return True


class FrameCandidates:
    """Says of packets, in the order in which they are decoded, whose picture may be analysed.

    The picture is not wanted if an earlier one is at or after the same tick.
    """

    def __init__(self, grid: Grid, time_base: Fraction) -> None:
        self._timestamps = _Timestamps(grid, time_base)
        self._first: dict[int, int] = {}

    def __call__(self, pts: int) -> bool:
        """Whether the picture at `pts` may be the first at or after some tick."""
        tick = self._timestamps.tick(pts)
        if pts > self._first.get(tick, pts):
            return False
        self._first[tick] = pts
        if len(self._first) > REORDERED:
            del self._first[next(iter(self._first))]
        return True
