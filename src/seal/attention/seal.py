"""Coverage that looks where much happens: the default.

    F(T) is that of `coverage`, with other weights for being there:
    w_i = focus * r_i / sum_j r_j + (1 - focus) * v_i / sum_j v_j
    v_i = (variance of the embeddings within around_s of time_i)^variety

The variance says how unlike each other tokens are around then. People who sum up hours choose
little from an hour at a table and much from the walk there, whatever the length of either (LOG,
"Selection"). In a video shorter than around_s every token matters alike.
"""

from __future__ import annotations

import numpy as np

from seal.attention.coverage import Coverage
from seal.types import Float32, Float64

_NONE = 1e-9
"""Less variance than this is what rounding leaves."""


class Seal(Coverage):
    """Query-weighted facility location, weighted by what happens as well."""

    def _presence(self, number: Float64, embeddings: Float32, times_s: Float64) -> Float64:
        order = np.argsort(times_s, kind="stable")
        times_s, number_then = times_s[order], number[order]
        around_s = self.options.around_s
        begin = np.searchsorted(times_s, times_s - around_s, side="left")
        end = np.searchsorted(times_s, times_s + around_s, side="right")

        def mean_around(values: Float64) -> Float64:
            sums = np.pad(np.cumsum(number_then[:, None] * values, axis=0), ((1, 0), (0, 0)))
            return (sums[end] - sums[begin]) / (count[end] - count[begin])[:, None]

        count = np.pad(np.cumsum(number_then), (1, 0))
        points = embeddings[order].astype(np.float64)
        squares = (points**2).sum(1, keepdims=True)
        variance = mean_around(squares)[:, 0] - (mean_around(points) ** 2).sum(1)
        variance[variance < _NONE] = 0
        present = np.empty(len(order))
        present[order] = number_then * variance**self.options.variety
        total = float(present.sum())
        return present / total if total > 0 else number
