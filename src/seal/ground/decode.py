"""From scored spans to moments: spans that agree add up; those that overlap the best give way."""

from __future__ import annotations

import numpy as np

from seal.config import DecodeOptions
from seal.types import Float64, Int64, Moment, Span, pairwise_span_iou


def decode(
    spans: Float64, scores: Float64, within: Span, options: DecodeOptions, agree: bool
) -> list[Moment]:
    """At most `options.top` moments, best first, of spans [n, 2] in seconds, cut to `within`.

    Spans that have no length there are left out. With `agree` those left are pooled (`agreed`).
    """
    spans = spans.clip(within.start_s, within.end_s)
    rows = np.flatnonzero(spans[:, 1] > spans[:, 0])
    rows = rows[np.argsort(-scores[rows], kind="stable")][: options.candidates]
    spans, scores = spans[rows], scores[rows]
    if agree:
        spans, scores = agreed(spans, scores)
    rows, scores = soft_nms(spans, scores, options.sigma, options.top)
    return [
        Moment(Span(*map(float, span)), float(score))
        for span, score in zip(spans[rows], scores, strict=True)
    ]


def agreed(spans: Float64, scores: Float64) -> tuple[Float64, Float64]:
    """Spans [n, 2] that have a length and scores in (0, 1], each with what all others say of it.

    Another one of score s that overlaps by IoU o is evidence of (s o)^2, and any of them is enough.
    The score becomes the root of 1 - prod(1 - (s o)^2), which that of one alone is already. The
    span becomes the mean, weighted with the evidence (box voting; Gidaris and Komodakis 2015).
    """
    evidence = (scores * pairwise_span_iou(spans, spans)) ** 2
    pooled: Float64 = np.sqrt(1 - np.prod(1 - evidence, 1))
    return evidence @ spans / evidence.sum(1, keepdims=True), pooled


def soft_nms(spans: Float64, scores: Float64, sigma: float, top: int) -> tuple[Int64, Float64]:
    """Rows and scores of at most `top` of spans [n, 2], in the order chosen.

    Again and again the best span is taken, and the scores of those left fall by
    exp(-IoU^2 / sigma) with it (Soft-NMS with the Gaussian penalty; Bodla et al. 2017, section 3).
    """
    left = scores.astype(np.float64).copy()
    rows, kept = [], []
    for _ in range(min(top, len(spans))):
        best = int(left.argmax())
        rows.append(best)
        kept.append(left[best])
        overlap = pairwise_span_iou(spans[best : best + 1], spans)[0]
        left *= np.exp(-(overlap**2) / sigma)
        left[best] = -np.inf
    return np.array(rows, np.int64), np.array(kept, np.float64)
