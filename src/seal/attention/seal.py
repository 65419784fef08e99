"""Coverage that looks where much happens: the default.

    F(T) is that of `coverage`, with other weights for being there:
    w_i = focus * r_i / sum_j r_j + (1 - focus) * v_i / sum_j v_j
    v_i = (variance of the embeddings within around_s of time_i)^variety

The variance says how unlike each other tokens are around then. People who sum up hours choose
little from an hour at a table and much from the walk there, whatever the length of either (LOG,
"Choice"). In a video shorter than around_s every token matters alike.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from seal.attention.coverage import Coverage
from seal.types import Float32, Float64

_BLOCK = 256
"""Times that are looked around at once: few enough to stay in the cache."""
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
        sums = np.zeros((len(order) + 1, embeddings.shape[1] + 2))
        points = sums[1:, :-2]
        points[:] = embeddings[order]
        sums[1:, -2] = np.einsum("nd,nd->n", points, points)
        sums[1:, -1] = 1
        sums[1:] *= number_then[:, None]
        # np.cumsum goes through each column by itself, which takes four times as long.
        for before, row in pairwise(sums):
            row += before
        variance = np.empty(len(order))
        for start in range(0, len(order), _BLOCK):
            rows = slice(start, start + _BLOCK)
            around = sums[end[rows]] - sums[begin[rows]]
            points, squares, count = around[:, :-2], around[:, -2], around[:, -1]
            variance[rows] = squares / count - np.einsum("nd,nd->n", points, points) / count**2
        variance[variance < _NONE] = 0
        present = np.empty(len(order))
        present[order] = number_then * variance**self.options.variety
        total = float(present.sum())
        return present / total if total > 0 else number
