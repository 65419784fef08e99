"""Moments from the relevance of tokens over time, without training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain

import numpy as np

from seal.config import FindOptions
from seal.types import Float32, Float64, Int64, Moment, Span, Tokens

# Bins per standard deviation of the smoothing: the curve's own resolution is finer than what it
# shows.
_BINS_PER_SIGMA = 4

# A moment reaches as far as the curve stays above this share of its peak's height over the
# video's median: full width at half maximum.
_EDGE = 0.5

# Peaks lower than this share of the highest one are ripples; so is a curve that rises less than
# rounding errors do.
_RIPPLE = 0.1
_FLAT = 1e-6

_SAME = 0.5
"""Moments with a larger intersection over union in time are one."""


@dataclass(frozen=True, eq=False)
class Curve:
    """How relevant each instant of a video is to a query."""

    start_s: float
    """Where the first of the evenly spaced instants begins."""
    times_s: Float64
    """[n] the middle of each instant."""
    relevance: Float64
    """[n] that of the best token of each instant, smoothed over time."""
    end_s: float
    """Where the last instant ends, which may be shorter than the others."""


def locate(
    tokens: Tokens, scores: Float32, options: FindOptions, unlikely: float = -np.inf
) -> list[Moment]:
    """At most `options.top` moments of a video, the most relevant first, given the relevance [n].

    Pictures are samples of what lasts, and have the moments of their curve over time. A token that
    is words says itself when it begins and ends, and is a moment. Of two moments of the same time
    the more relevant one stays. The best picture comes before words whose relevance is below
    `unlikely`: what nobody is likely to have said is no answer to what is to be seen.
    """
    is_words = tokens.where(lambda kind: kind.modality == "text")
    seen, said = np.flatnonzero(~is_words), np.flatnonzero(is_words)
    pictures = tokens.take(seen)
    moments = find_moments(relevance_curve(pictures, scores[seen], options), options)
    if not len(said):
        return moments
    for i, moment in enumerate(moments):
        row = most_relevant(pictures, scores[seen], moment.span)
        moments[i] = moment if row is None else replace(moment, token=str(pictures.ids[row]))
    said = said[np.argsort(-scores[said], kind="stable")]
    first = moments[:1] if scores[said[0]] < unlikely else []
    start_s, end_s = tokens.start_s, tokens.end_s
    # One after the other: of ten thousand sentences few are looked at.
    sentences = (
        Moment(
            Span(float(start_s[row]), float(end_s[row])),
            float(scores[row]),
            token=str(tokens.ids[row]),
        )
        for row in said
    )
    kept: list[Moment] = []
    for moment in chain(first, merge(moments, sentences, key=lambda moment: -moment.score)):
        if len(kept) == options.top:
            break
        if not any(_is_same(moment.span, one.span) for one in kept):
            kept.append(moment)
    return kept


def most_relevant(tokens: Tokens, scores: Float32, span: Span) -> int | None:
    """The row of the most relevant token on the screen in a span, given the relevance [n]; None
    where there is none."""
    rows = np.flatnonzero((tokens.end_s > span.start_s) & (tokens.start_s < span.end_s))
    return int(rows[np.argmax(scores[rows])]) if len(rows) else None


def _is_same(a: Span, b: Span) -> bool:
    return a == b or a.iou(b) > _SAME


def relevance_curve(tokens: Tokens, scores: Float32, options: FindOptions) -> Curve:
    """The relevance [n] of tokens as a function of time.

    An instant is as relevant as the best token that covers it, for a query names one thing among
    all that is on the screen. A Gaussian (`options.smoothing_s`) then bridges the time between
    sampled frames and makes neighbours support each other.
    """
    if not len(tokens):
        return Curve(0.0, np.empty(0), np.empty(0), 0.0)
    step_s = options.smoothing_s / _BINS_PER_SIGMA
    starts_s, ends_s = tokens.start_s, tokens.end_s
    start_s, end_s = float(starts_s.min()), float(ends_s.max())
    bins = max(1, int(np.ceil((end_s - start_s) / step_s)))
    first = np.minimum((starts_s - start_s) / step_s, bins - 1).astype(int)
    last = np.minimum((ends_s - start_s) / step_s, bins - 1).astype(int)
    best = np.full(bins, -np.inf)
    lengths = last - first + 1
    covered = np.repeat(first, lengths) + _ranges(lengths)
    np.maximum.at(best, covered, np.repeat(scores.astype(np.float64), lengths))
    seen = np.isfinite(best)
    reach = np.arange(-4 * _BINS_PER_SIGMA, 4 * _BINS_PER_SIGMA + 1) / _BINS_PER_SIGMA
    kernel = np.exp(-0.5 * reach**2)
    weight = _smooth(seen.astype(float), kernel)
    total = _smooth(np.where(seen, best, 0.0), kernel)
    # Where no token is near, nothing speaks for the query: the video's least relevance.
    smooth: Float64 = np.divide(
        total, weight, out=np.full(bins, best[seen].min()), where=weight > 1e-3
    )
    times_s = start_s + (np.arange(bins, dtype=np.float64) + 0.5) * step_s
    return Curve(start_s, times_s, smooth, end_s)


def find_moments(curve: Curve, options: FindOptions) -> list[Moment]:
    """At most `options.top` moments that do not overlap, the most relevant first.

    A moment is a peak of the curve as wide as its half height above the video's median. Its score
    is the relevance at the peak, which the moments are ordered by. A flat curve has none.
    """
    if not len(curve.times_s):
        return []
    relevance = curve.relevance
    floor = float(np.median(relevance))
    padded = np.concatenate([[-np.inf], relevance, [-np.inf]])
    peaks = np.flatnonzero((relevance > padded[:-2]) & (relevance >= padded[2:]))
    lowest = floor + max(_RIPPLE * (float(relevance.max()) - floor), _FLAT)
    peaks = peaks[relevance[peaks] >= lowest]
    free = np.ones(len(relevance), bool)
    half_s = float(curve.times_s[0] - curve.start_s)
    moments: list[Moment] = []
    for peak in peaks[np.argsort(-relevance[peaks], kind="stable")]:
        if len(moments) == options.top:
            break
        if not free[peak]:
            continue
        inside = free & (relevance >= floor + _EDGE * (relevance[peak] - floor))
        outside = np.flatnonzero(~inside)
        right = np.searchsorted(outside, peak)
        first = outside[right - 1] + 1 if right else 0
        last = outside[right] - 1 if right < len(outside) else len(relevance) - 1
        free[first : last + 1] = False
        end_s = min(float(curve.times_s[last]) + half_s, curve.end_s)
        span = Span(float(curve.times_s[first]) - half_s, end_s)
        moments.append(Moment(span, float(relevance[peak])))
    return moments


def _smooth(values: Float64, kernel: Float64) -> Float64:
    """Convolution of the same length as `values`, whichever is longer."""
    reach = len(kernel) // 2
    smooth: Float64 = np.convolve(values, kernel)[reach : reach + len(values)]
    return smooth


def _ranges(lengths: Int64) -> Int64:
    """0 .. length - 1 for each of `lengths`, one after the other."""
    ends = np.cumsum(lengths)
    ranges: Int64 = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    return ranges
