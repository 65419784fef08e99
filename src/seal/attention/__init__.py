"""Query-aware choice of a fixed number of tokens (section 3.2 of the paper).

An objective says what a choice is worth, a solver looks for a good one, and the objective says how
far any other could be ahead of it. They meet at `Objective`, so that either side grows alone.

candidates    what is chosen from, and what it may cost
objective     what a choice is worth: the interface
paper, normalised   the published objective, as written and with its two sums made comparable
coverage      what the query is about and what happens, represented
seal, question   the default: what answers the query beside that, and how much of each
words, worded   the relevance of words, by themselves and by their meaning
solvers       greedy, swaps, stochastic, exact
streaming     a window at a time, in fixed memory
baselines, determinantal   published ways to choose, to compare with
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from seal import backends
from seal.attention.candidates import Budget, Candidates
from seal.attention.objective import Objective, tolerance
from seal.attention.solvers import LOOSE, exact
from seal.config import AttentionOptions
from seal.encode.calibration import Calibration
from seal.errors import OptionError
from seal.types import Choice, Float32, Int64, Tokens, check_finite

NAMED = 0.5
"""What the name of a thing adds to a relevance at most that is a mere cosine."""
_FEW = 1000
"""So many choices are all looked at, which takes some 20 ms."""

__all__ = ["Budget", "Candidates", "Objective", "choose", "pick", "relevance", "select"]


def relevance(
    tokens: Tokens, query: Float32, calibration: Calibration | None = None, text: str = ""
) -> Float32:
    """R of every token to a query embedding [d]: [n] in [-1, 1].

    Cosines, or what the encoder's `calibration` makes of them. Where the encoder gives a token
    several embeddings, the best of them counts. A token without an embedding has R = -1.

    Where the query's `text` is given, a thing that a detector has named counts by its name as well:

        R + named * `seal.encode.names.evidence`

    where `named` is that of the calibration, or `NAMED`.

    Raises OptionError if an embedding is not finite.
    """
    direction, offset = (query, 0.0) if calibration is None else calibration.line(query)
    scores: Float32 = tokens.facets.reshape(-1, query.size) @ direction
    best = scores.reshape(len(tokens), -1).max(1) if len(tokens) else scores
    check_finite("the relevance to a query", best)
    scores = best + np.float32(offset)
    if text and len(tokens.named):
        # Not at the top: this loads ONNX Runtime, which not every encoder needs.
        from seal.encode.names import evidence

        most = NAMED if calibration is None else calibration.named
        scores = scores + np.float32(most) * evidence(tokens, text)
    clipped: Float32 = np.clip(scores, -1, 1)
    clipped[tokens.without_embedding] = -1
    return clipped


def select(
    tokens: Tokens,
    scores: Float32,
    options: AttentionOptions,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> Choice:
    """The tokens of a video worth looking at within `options.budget`, given their `relevance` [n].

    Tokens take of the budget what their kind costs. Those with the ids `include` are among them,
    and those with the ids `exclude` are not. Raises OptionError for an id that no token has, and if
    what is included does not fit into the budget.
    """
    budget = Budget.of_tokens(tokens, options, include, exclude)
    return choose(Candidates.of(tokens, scores), options, budget)


def choose(
    candidates: Candidates, options: AttentionOptions, budget: Budget | None = None
) -> Choice:
    """The candidates worth looking at within `options.budget`, or another `budget`.

    Where all candidates cost the same, the size of the choice is fixed, as in the paper: as many as
    fit. Where they differ in cost, fewer may be worth more, and the choice may be any that fits,
    even none. The bound is one over all choices that are allowed.

    A budget for at least all candidates selects all of them, the most relevant first, unless they
    differ in cost and some of them lower the value. Objectives that look at all pairs choose from a
    sample of about `options.candidates` (`Candidates.sample`), and their value and its bound are
    those of a choice among these.
    Raises OptionError, listing the valid names, for an unknown objective or solver, and if what the
    budget includes does not fit into it.
    """
    problem = _Problem.of(candidates, options, budget)
    rows, bound = problem.solve()
    objective = problem.objective
    if bound is None:
        bound = problem.best(rows)
    if bound is None:
        bound = objective.upper_bound(rows, problem.budget, options.certify_s)
    chosen = problem.rows[rows]
    return Choice(chosen, candidates.relevance[chosen], objective.value(rows), bound)


def pick(candidates: Candidates, options: AttentionOptions, budget: Budget | None = None) -> Int64:
    """The rows that `choose` returns, in the order chosen, without their value and its upper bound.

    The bound of a choice of hundreds of tokens takes longer than the choice. Raises as `choose`.
    """
    problem = _Problem.of(candidates, options, budget)
    return problem.rows[problem.solve()[0]]


class _Problem(NamedTuple):
    """A choice to be made: from which rows, within which budget, and by what."""

    rows: Int64
    """The candidates of `objective`, as rows of those that were given."""
    objective: Objective
    budget: Budget
    options: AttentionOptions

    @staticmethod
    def of(candidates: Candidates, options: AttentionOptions, budget: Budget | None) -> _Problem:
        n = len(candidates)
        budget = budget or Budget.of(options.budget, n)
        if budget.left(budget.include) < 0:
            raise OptionError(
                f"the tokens to include cost more than the budget of {budget.amount:g}"
            )
        make: type[Objective] = backends.resolve("objective", options.objective)
        backends.complete(f"objective {options.objective!r}", make, Objective)
        rows, most = np.arange(n), max(options.candidates, 4 * budget.size)
        candidates = make.seen(candidates, options)
        if make.pairwise and n > most:
            rows, candidates = candidates.sample(most, budget.include)
            budget = budget.take(rows)
        size = budget.usual_size if make.averaged else budget.size
        return _Problem(rows, make(candidates, size, options), budget, options)

    def solve(self) -> tuple[Int64, float | None]:
        """The chosen rows of the objective's candidates, and the bound if it is known already."""
        objective, budget, options = self.objective, self.budget, self.options
        solver = backends.resolve("solver", options.solver)
        if budget.size == len(objective.candidates):
            rows = objective.candidates.ranked()
            value = objective.value(rows)
            # Of one size there is only one choice, whose value is its own bound.
            bound = (
                value if budget.uniform else objective.upper_bound(rows, budget, options.certify_s)
            )
            if bound - value <= 2 * tolerance(value):
                return rows, bound
        return solver(objective, budget, options), None

    def best(self, rows: Int64) -> float | None:
        """The value of the best choice, given the solver's choice; None where it is not known.

        `exact` proves it, and where few choices are allowed each of them is looked at.
        """
        objective, budget = self.objective, self.budget
        if backends.resolve("solver", self.options.solver) is exact:
            value = objective.value(rows)
            return value + LOOSE * tolerance(value)
        more = budget.size - len(budget.include)
        if not budget.uniform or math.comb(len(budget.free), more) > _FEW:
            return None
        every = combinations(budget.free.tolist(), more)
        return max(objective.value(np.array([*budget.include, *one], np.int64)) for one in every)
