"""Means with the range that chance explains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from seal.types import Float64

RESAMPLES = 10_000
_LEVEL = 0.95
_SEED = 0
_DRAWN_AT_ONCE = 10**6


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap(scores: ArrayLike, units: ArrayLike | None = None) -> Estimate:
    """The mean of `scores` [n], n >= 1.

    The interval is the percentile bootstrap's (Efron 1979) of 10,000 resamples with a fixed seed:
    scores of one length are resampled alike, so that a mean of differences is a paired comparison.
    What is drawn are independent units: each score by itself, or all those together that have the
    same name in `units` [n], such as the video that they are about.
    """
    values: Float64 = np.asarray(scores, np.float64)
    unit = np.arange(len(values)) if units is None else np.unique(units, return_inverse=True)[1]
    sums, sizes = np.bincount(unit, values), np.bincount(unit)
    return _estimate(sums.astype(np.float64), sizes.astype(np.float64))


def ratio(scores: ArrayLike, reference: ArrayLike) -> Estimate:
    """The mean of `scores` [n] divided by that of `reference` [n], both of the same n units.

    The interval is that of `bootstrap`: a resample draws the same units for both.
    """
    return _estimate(np.asarray(scores, np.float64), np.asarray(reference, np.float64))


def _estimate(above: Float64, below: Float64) -> Estimate:
    """sum(above) / sum(below), of resampled units [n]."""
    rng = np.random.default_rng(_SEED)
    # In pieces, which draw the same as all at once would: memory stays small.
    rows = max(1, _DRAWN_AT_ONCE // len(above))
    values = []
    for begin in range(0, RESAMPLES, rows):
        draws = rng.integers(0, len(above), (min(rows, RESAMPLES - begin), len(above)))
        values.append(above[draws].sum(1) / below[draws].sum(1))
    tail = 50 * (1 - _LEVEL)
    low, high = np.percentile(np.concatenate(values), (tail, 100 - tail))
    return Estimate(float(above.sum() / below.sum()), float(low), float(high))
