"""Query-aware choice of a fixed number of tokens (section 3.2 of the paper).

An objective says what a choice is worth, a solver looks for a good one. They meet at
`Objective.gains` and `Objective.add`, so either side grows alone.
"""

from __future__ import annotations

import numpy as np

from seal import registry
from seal.attention.objective import Objective
from seal.config import AttentionOptions
from seal.encode.calibration import Calibration
from seal.types import Float32, Selection, Tokens

__all__ = ["Objective", "relevance", "select"]


def relevance(tokens: Tokens, query: Float32, calibration: Calibration | None = None) -> Float32:
    """R of every token to a query embedding [d]: [n] in [-1, 1].

    Cosines, or what the encoder's `calibration` makes of them. Where the encoder gives a token
    several embeddings, the best of them counts.
    """
    direction, offset = (query, 0.0) if calibration is None else calibration.line(query)
    scores: Float32 = tokens.facets.reshape(-1, query.size) @ direction
    best = scores.reshape(len(tokens), -1).max(1) if len(tokens) else scores
    clipped: Float32 = np.clip(best + np.float32(offset), -1, 1)
    return clipped


def select(tokens: Tokens, scores: Float32, options: AttentionOptions) -> Selection:
    """At most `options.budget` of `tokens`, given their `relevance` [n] to the query.

    A budget of at least the number of tokens selects all of them, the most relevant first.
    Raises OptionError, listing the valid names, for an unknown objective or solver.
    """
    size = min(options.budget, len(tokens))
    objective = registry.resolve("objective", options.objective)(
        scores, tokens.embeddings, size, options
    )
    solver = registry.resolve("solver", options.solver)
    if size == len(tokens):
        # There is nothing to choose, so the value is its own bound.
        rows = np.argsort(-scores, kind="stable")
        value = objective.value(rows)
        return Selection(rows, scores[rows], value, value)
    rows = solver(objective)
    return Selection(
        rows=rows,
        relevance=scores[rows],
        objective=objective.value(rows),
        upper_bound=objective.upper_bound(),
    )
