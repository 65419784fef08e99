"""Coverage with more weight where more happens: the default.

F is that of `coverage` with other weights:

    w_i = f * r_i / sum_j r_j + (1 - f) * v_i / sum_j v_j
    v_i = (variance of the embeddings within variance_window_s of time_i)^variance_exponent

The variance says how unlike each other the tokens around a time are. People who sum up hours choose
little from an hour at a table and much from the walk there, whatever the length of either (LOG,
"Selection"). In a video shorter than variance_window_s every token has the same weight.
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

    def _presence(self, multiplicity: Float64, embeddings: Float32, times_s: Float64) -> Float64:
        order = np.argsort(times_s, kind="stable")
        times_s, multiplicity_then = times_s[order], multiplicity[order]
        variance_window_s = self.options.variance_window_s
        begin = np.searchsorted(times_s, times_s - variance_window_s, side="left")
        end = np.searchsorted(times_s, times_s + variance_window_s, side="right")
        sums = np.zeros((len(order) + 1, embeddings.shape[1] + 2))
        points = sums[1:, :-2]
        points[:] = embeddings[order]
        sums[1:, -2] = np.einsum("nd,nd->n", points, points)
        sums[1:, -1] = 1
        sums[1:] *= multiplicity_then[:, None]
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
        present[order] = multiplicity_then * variance**self.options.variance_exponent
        total = float(present.sum())
        return present / total if total > 0 else multiplicity
