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
        points = embeddings[order].astype(np.float64)
        squares = np.einsum("nd,nd->n", points, points)
        terms = np.column_stack([points, squares, np.ones(len(order))])
        sums = np.zeros((len(order) + 1, terms.shape[1]))
        np.cumsum(number_then[:, None] * terms, axis=0, out=sums[1:])
        around = sums[end] - sums[begin]
        means = around[:, :-1] / around[:, -1:]
        variance = means[:, -1] - np.einsum("nd,nd->n", means[:, :-1], means[:, :-1])
        variance[variance < _NONE] = 0
        present = np.empty(len(order))
        present[order] = number_then * variance**self.options.variety
        total = float(present.sum())
        return present / total if total > 0 else number
