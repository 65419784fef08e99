"""Moments from the relevance of tokens over time, without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain

import numpy as np

from seal.config import FindOptions
from seal.types import Float32, Float64, Int64, Mask, Moment, Span, Tokens

# Bins per standard deviation of the smoothing: the curve's own resolution is finer than what it
# shows.
_BINS_PER_SIGMA = 4

_GAUSSIAN = np.exp(
    -0.5 * (np.arange(-4 * _BINS_PER_SIGMA, 4 * _BINS_PER_SIGMA + 1) / _BINS_PER_SIGMA) ** 2
)

# A moment reaches as far as the curve stays above this share of its peak's height over the
# video's median: full width at half maximum.
_EDGE = 0.5

# Peaks lower than this share of the highest one are ripples; so is a curve that rises less than
# rounding errors do.
_RIPPLE = 0.1
_FLAT = 1e-6

_FEW = 64
"""Of many values the largest are sorted first: hardly a query looks at more."""

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


@dataclass(frozen=True, eq=False)
class Instants:
    """The evenly spaced instants of a video, and which of its tokens each shows.

    They follow from the times of the tokens alone, so that every query shares them.
    """

    start_s: float
    end_s: float
    step_s: float
    token: Int64
    """[m] a token, once for each instant that shows it."""
    instant: Int64
    """[m] the instant."""
    is_seen: Mask
    """[n] whether an instant shows a token."""
    weight: Float64
    """[n] how much is seen at an instant and around it."""

    @staticmethod
    def of(starts_s: Float64, ends_s: Float64, smoothing_s: float) -> Instants:
        """Of the times [n] of tokens, with a Gaussian of this standard deviation around each
        instant."""
        step_s = smoothing_s / _BINS_PER_SIGMA
        if not len(starts_s):
            none = np.empty(0, np.int64)
            return Instants(0.0, 0.0, step_s, none, none, np.empty(0, bool), np.empty(0))
        start_s, end_s = float(starts_s.min()), float(ends_s.max())
        count = max(1, int(np.ceil((end_s - start_s) / step_s)))
        first = np.minimum((starts_s - start_s) / step_s, count - 1).astype(int)
        last = np.minimum((ends_s - start_s) / step_s, count - 1).astype(int)
        lengths = last - first + 1
        covered = np.repeat(first, lengths) + _ranges(lengths)
        token = np.repeat(np.arange(len(lengths)), lengths)
        is_seen = np.zeros(count, bool)
        is_seen[covered] = True
        weight = _smooth(is_seen.astype(float))
        return Instants(start_s, end_s, step_s, token, covered, is_seen, weight)

    def curve(self, scores: Float32) -> Curve:
        """The relevance over time, given that of the tokens [n]: see `relevance_curve`."""
        count = len(self.is_seen)
        if not count:
            return Curve(0.0, np.empty(0), np.empty(0), 0.0)
        best = np.full(count, -np.inf)
        np.maximum.at(best, self.instant, scores.astype(np.float64)[self.token])
        least = best[self.is_seen].min()
        best[~self.is_seen] = 0
        # Where no token is near, nothing speaks for the query: the video's least relevance.
        smooth: Float64 = np.divide(
            _smooth(best), self.weight, out=np.full(count, least), where=self.weight > 1e-3
        )
        times_s = self.start_s + (np.arange(count, dtype=np.float64) + 0.5) * self.step_s
        return Curve(self.start_s, times_s, smooth, self.end_s)


@dataclass(frozen=True, eq=False)
class TimedTokens:
    """The tokens of a video with their times, ready to be searched by one query after another."""

    tokens: Tokens
    seen: Int64
    """The rows of the tokens that are pictures."""
    said: Int64
    """The rows of those that are words."""
    instants: Instants
    """Those of the pictures."""
    start_s: Float64
    end_s: Float64

    @staticmethod
    def of(tokens: Tokens, smoothing_s: float) -> TimedTokens:
        """Of the tokens of one video; `smoothing_s` is that of `FindOptions`."""
        is_words = tokens.where(lambda kind: kind.modality == "text")
        seen, said = np.flatnonzero(~is_words), np.flatnonzero(is_words)
        start_s, end_s = tokens.start_s, tokens.end_s
        instants = Instants.of(start_s[seen], end_s[seen], smoothing_s)
        return TimedTokens(tokens, seen, said, instants, start_s, end_s)

    def moments(
        self, scores: Float32, options: FindOptions, unlikely: float = -np.inf
    ) -> list[tuple[Moment, int | None]]:
        """As `locate`, and the row of the token of each moment; None where it names no token."""
        pictures = self.pictures(scores, options)
        if not len(self.said):
            return [(moment, None) for moment in pictures]
        shown: list[tuple[Moment, int | None]] = []
        for moment in pictures:
            row = self._most_relevant(scores, moment.span)
            named = moment if row is None else replace(moment, token=str(self.tokens.ids[row]))
            shown.append((named, row))
        # One after the other: of ten thousand sentences few are looked at.
        sentences = (
            self._sentence(int(self.said[i]), scores) for i in best_first(scores[self.said])
        )
        first = shown[:1] if scores[self.said].max() < unlikely else []
        kept: list[tuple[Moment, int | None]] = []
        for one in chain(first, merge(shown, sentences, key=lambda one: -one[0].score)):
            if len(kept) == options.top:
                break
            if not any(_is_same(one[0].span, other.span) for other, _ in kept):
                kept.append(one)
        return kept

    def pictures(self, scores: Float32, options: FindOptions) -> list[Moment]:
        """The moments of the pictures alone, given the relevance [n] of all tokens."""
        return find_moments(self.instants.curve(scores[self.seen]), options)

    def _most_relevant(self, scores: Float32, span: Span) -> int | None:
        """The row of the most relevant picture in a span."""
        shown = (self.end_s[self.seen] > span.start_s) & (self.start_s[self.seen] < span.end_s)
        rows = self.seen[shown]
        return int(rows[np.argmax(scores[rows])]) if len(rows) else None

    def _sentence(self, row: int, scores: Float32) -> tuple[Moment, int | None]:
        span = Span(float(self.start_s[row]), float(self.end_s[row]))
        return Moment(span, float(scores[row]), token=str(self.tokens.ids[row])), row


def locate(
    tokens: Tokens, scores: Float32, options: FindOptions, unlikely: float = -np.inf
) -> list[Moment]:
    """At most `options.top` moments of a video, the most relevant first, given the relevance [n].

    Pictures are samples of what lasts, and have the moments of their curve over time. A token that
    is words says itself when it begins and ends, and is a moment. Of two moments of the same time
    the more relevant one stays. The best picture comes before words whose relevance is below
    `unlikely`: what nobody is likely to have said is no answer to what is to be seen.
    """
    timed = TimedTokens.of(tokens, options.smoothing_s)
    return [moment for moment, _ in timed.moments(scores, options, unlikely)]


def best_first(values: Float32 | Float64) -> Iterator[int]:
    """The places of values, the largest first, and equal values in order."""
    rest = np.arange(len(values))
    if len(values) > _FEW:
        least = np.partition(values, -_FEW)[-_FEW]
        best = np.flatnonzero(values >= least)
        yield from best[np.argsort(-values[best], kind="stable")].tolist()
        rest = np.flatnonzero(values < least)
    yield from rest[np.argsort(-values[rest], kind="stable")].tolist()


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
    return Instants.of(tokens.start_s, tokens.end_s, options.smoothing_s).curve(scores)


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
    taken = np.zeros(len(relevance), bool)
    half_s = float(curve.times_s[0] - curve.start_s)
    moments: list[Moment] = []
    for place in best_first(relevance[peaks]):
        peak = peaks[place]
        if len(moments) == options.top:
            break
        if taken[peak]:
            continue
        outside = taken | (relevance < floor + _EDGE * (relevance[peak] - floor))
        left, right = outside[:peak][::-1], outside[peak:]
        first = peak - (int(left.argmax()) if left.any() else peak)
        last = peak + (int(right.argmax()) if right.any() else len(right)) - 1
        taken[first : last + 1] = True
        end_s = min(float(curve.times_s[last]) + half_s, curve.end_s)
        span = Span(float(curve.times_s[first]) - half_s, end_s)
        moments.append(Moment(span, float(relevance[peak])))
    return moments


def _smooth(values: Float64) -> Float64:
    """Convolution with the Gaussian, of the same length as `values`."""
    reach = len(_GAUSSIAN) // 2
    smooth: Float64 = np.convolve(values, _GAUSSIAN)[reach : reach + len(values)]
    return smooth


def _ranges(lengths: Int64) -> Int64:
    """0 .. length - 1 for each of `lengths`, one after the other."""
    ends = np.cumsum(lengths)
    ranges: Int64 = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    return ranges
