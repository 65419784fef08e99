"""From scored spans to moments: soft suppression of those that overlap better ones."""

from __future__ import annotations

import numpy as np

from seal.config import DecodeOptions
from seal.types import Float64, Moment, Span


def decode(spans: Float64, scores: Float64, within: Span, options: DecodeOptions) -> list[Moment]:
    """At most `options.top` moments, best first, of spans [n, 2] in seconds, cut to `within`.

    Spans that have no length there are left out.
    """
    spans = spans.clip(within.start_s, within.end_s)
    rows = np.flatnonzero(spans[:, 1] > spans[:, 0])
    rows = rows[np.argsort(-scores[rows], kind="stable")][: options.candidates]
    order, kept = soft_nms(spans[rows], scores[rows], options.sigma, options.top)
    return [
        Moment(Span(*map(float, spans[row])), float(score))
        for row, score in zip(rows[order], kept, strict=True)
    ]


def soft_nms(spans: Float64, scores: Float64, sigma: float, top: int) -> tuple[Float64, Float64]:
    """Rows and scores of at most `top` of spans [n, 2], in the order chosen.

    Again and again the best span is taken, and the scores of those left fall by
    exp(-IoU^2 / sigma) with it (Soft-NMS with the Gaussian penalty; Bodla et al. 2017, section 3).
    """
    left = scores.astype(np.float64).copy()
    start, end = spans.T
    rows, kept = [], []
    for _ in range(min(top, len(spans))):
        best = int(left.argmax())
        rows.append(best)
        kept.append(left[best])
        shared = (np.minimum(end, end[best]) - np.maximum(start, start[best])).clip(0)
        iou = shared / (end - start + end[best] - start[best] - shared)
        left *= np.exp(-(iou**2) / sigma)
        left[best] = -np.inf
    return np.array(rows, np.int64), np.array(kept, np.float64)
