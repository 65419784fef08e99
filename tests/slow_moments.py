"""A slow, obvious reference for `seal.ground.moments`."""

from dataclasses import replace

import numpy as np

from seal.config import FindOptions
from seal.types import Float32, Moment, Span, Tokens

BINS, EDGE, RIPPLE, FLAT, SAME = 4, 0.5, 0.1, 1e-6, 0.5


def curve(tokens: Tokens, scores: Float32, options: FindOptions) -> list[float]:
    """The relevance of each instant, by one token and one instant after another."""
    step_s = options.smoothing_s / BINS
    begin_s = tokens.start_s.min()
    count = max(1, int(np.ceil((tokens.end_s.max() - begin_s) / step_s)))
    best = [-np.inf] * count
    for start_s, end_s, score in zip(tokens.start_s, tokens.end_s, scores, strict=True):
        first, last = (min(int((t - begin_s) / step_s), count - 1) for t in (start_s, end_s))
        for i in range(first, last + 1):
            best[i] = max(best[i], float(score))
    least = min(each for each in best if each > -np.inf)
    smooth = []
    for i in range(count):
        near = [j for j in range(i - 4 * BINS, i + 4 * BINS + 1) if 0 <= j < count]
        seen = [(np.exp(-0.5 * ((i - j) / BINS) ** 2), best[j]) for j in near if best[j] > -np.inf]
        weight = sum(share for share, _ in seen)
        smooth.append(sum(s * b for s, b in seen) / weight if weight > 1e-3 else least)
    return smooth


def pictures(tokens: Tokens, scores: Float32, options: FindOptions) -> list[Moment]:
    """The moments of tokens that are all pictures."""
    values = curve(tokens, scores, options)
    floor, n = float(np.median(values)), len(values)
    lowest = floor + max(RIPPLE * (max(values) - floor), FLAT)
    step_s, begin_s = options.smoothing_s / BINS, float(tokens.start_s.min())
    free, found = [True] * n, list[Moment]()
    for peak in sorted(range(n), key=lambda i: -values[i]):
        before = values[peak - 1] if peak else -np.inf
        after = values[peak + 1] if peak + 1 < n else -np.inf
        is_peak = values[peak] > before and values[peak] >= after and values[peak] >= lowest
        if not (is_peak and free[peak]) or len(found) == options.top:
            continue
        edge = floor + EDGE * (values[peak] - floor)
        first = last = peak
        while first and free[first - 1] and values[first - 1] >= edge:
            first -= 1
        while last + 1 < n and free[last + 1] and values[last + 1] >= edge:
            last += 1
        free[first : last + 1] = [False] * (last + 1 - first)
        end_s = min(begin_s + (last + 1) * step_s, float(tokens.end_s.max()))
        found.append(Moment(Span(begin_s + first * step_s, end_s), values[peak]))
    return found


def locate(
    tokens: Tokens, scores: Float32, options: FindOptions, unlikely: float = -np.inf
) -> list[Moment]:
    """As `seal.ground.locate`, for a video that has pictures and words."""
    is_words = tokens.where(lambda kind: kind.modality == "text")
    seen, said = tokens.take(~is_words), tokens.take(is_words)
    shown = []
    for moment in pictures(seen, scores[~is_words], options):
        on = (seen.end_s > moment.span.start_s) & (seen.start_s < moment.span.end_s)
        rows = sorted(np.flatnonzero(on).tolist(), key=lambda i: -scores[~is_words][i])
        shown.append(replace(moment, token=str(seen.ids[rows[0]]) if rows else ""))
    sentences = [
        Moment(
            Span(float(said.start_s[i]), float(said.end_s[i])), float(score), token=str(said.ids[i])
        )
        for i, score in enumerate(scores[is_words].tolist())
    ]
    ranked = sorted([*shown, *sentences], key=lambda moment: -moment.score)
    if scores[is_words].max() < unlikely:
        ranked = [*shown[:1], *ranked]
    kept = list[Moment]()
    for moment in ranked:
        same = (moment.span == one.span or moment.span.iou(one.span) > SAME for one in kept)
        if len(kept) < options.top and not any(same):
            kept.append(moment)
    return kept
