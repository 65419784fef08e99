"""Solvers look for a good choice. They know an objective by its values and gains alone.

Each solver takes an objective with nothing chosen yet and a budget, and returns rows in the order
chosen; the rows that the budget includes come first. Where all tokens cost the same, the size of
the choice is fixed; where they differ in cost, a choice ends where its value is largest. Values
that differ by no more than `tolerance` are equal. Of equal tokens the more relevant one is chosen,
then the earlier one, then that of the lower row (`Candidates.ranked`).
"""

from __future__ import annotations

import numpy as np

from seal.attention.candidates import Budget
from seal.attention.objective import Objective, tolerance
from seal.config import AttentionOptions
from seal.types import Float64, Int64

_EPSILON = 0.1
"""Stochastic greedy is within 1 - 1/e - _EPSILON of the best, in expectation."""
_AHEAD = 32
"""So many gains are computed again at once."""
_POOL = 256
"""So many tokens are tried for an exchange."""
_SMALL = 1000
"""Up to so many tokens times those chosen a choice is made anew, which takes some milliseconds."""
_NODE_S = 0.01
"""A tighter bound at a node saves more nodes than it costs time."""
LOOSE = 3
"""`exact` is exact up to this many times the tolerance. Bounds add one tolerance for rounding and
stop one above the best value; the third makes a value equal."""


def _begin(objective: Objective, budget: Budget) -> list[int]:
    chosen: list[int] = budget.include.tolist()
    for row in chosen:
        objective.add(row)
    return chosen


def _affordable(budget: Budget, chosen: list[int]) -> Int64:
    """Rows that can join `chosen`."""
    free = budget.free[~np.isin(budget.free, chosen)]
    left = budget.left(np.array(chosen, np.int64))
    rows: Int64 = free[budget.costs[free] <= left]
    return rows


def _best(objective: Objective, rows: Int64, gains: Float64, costs: Float64) -> int:
    """The one of `rows` with the largest gain for its cost.

    A gain is known up to half the tolerance of the largest gain. The tolerance of the value would
    not do, because the value of hundreds of tokens is larger by so much that its tolerance would
    hide all relevance. Tokens are equal where the intervals of their gains for their costs overlap
    that of the best, and then the first of them is returned.
    """
    half = tolerance(abs(float(gains.max()))) / 2
    worth = gains / costs
    # Most tokens are far from the best.
    near = np.flatnonzero(worth >= worth.max() - 2 * half / costs.min())
    worth, slack = worth[near], half / costs[near]
    return objective.candidates.first(rows[near[worth + slack >= (worth - slack).max()]])


def _worth_most(
    objective: Objective, budget: Budget, chosen: list[int], gains: list[float]
) -> Int64:
    """The beginning of `chosen` that is worth most, of equals the longest, or all of it if the size
    is fixed. `gains` are those of the tokens that `budget` does not include."""
    rows = np.array(chosen, np.int64)
    if budget.uniform:
        return rows
    first = len(budget.include)
    falls = np.array([0.0, *gains]) < -tolerance(objective.value(rows)) / 2
    # Among these ends is the best: the value rises or stays on the way to each, and falls after.
    ends = [first + i for i in np.flatnonzero(falls[1:] & ~falls[:-1]).tolist()] + [len(rows)]
    values = np.array([objective.value(rows[:end]) for end in ends])
    best = np.flatnonzero(values >= values.max() - tolerance(values.max()))[-1]
    return rows[: ends[best]]


def naive(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """The paper's solver as written, the reference for the others: every gain is a difference of
    two values computed afresh (section 3.2). O(n k) values."""
    chosen: list[int] = budget.include.tolist()
    taken: list[float] = []
    while len(rows := _affordable(budget, chosen)):
        row, gain = _best_next(objective, budget, chosen, rows)
        chosen.append(row)
        taken.append(gain)
    return _worth_most(objective, budget, chosen, taken)


def _best_next(
    objective: Objective, budget: Budget, chosen: list[int], rows: Int64
) -> tuple[int, float]:
    """The one of `rows` that adds most to `chosen` for its cost, by values computed afresh, and how
    much it adds."""
    value = objective.value(np.array(chosen, np.int64))
    gains = np.array([objective.value(np.array([*chosen, row])) for row in rows.tolist()]) - value
    row = _best(objective, rows, gains, budget.costs[rows])
    return row, float(gains[rows == row][0])


def greedy(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """The token with the largest gain for its cost joins, again and again.

    Gains are kept up to date as tokens join. Those of submodular objectives only where they may
    have become the largest, and those of modular ones not at all: the choice is the same.
    """
    if objective.modular and budget.uniform:
        more = objective.candidates.ranked(budget.free)[: budget.size - len(budget.include)]
        rows = np.concatenate([budget.include, more])
        for row in rows.tolist():
            objective.add(row)
        return rows
    if objective.submodular:
        return _lazy(objective, budget)
    chosen = _begin(objective, budget)
    taken: list[float] = []
    every = np.arange(len(budget.costs))
    open_ = np.zeros(len(every), bool)
    open_[budget.free] = True
    left = budget.left(budget.include)
    while (open_ := open_ & (budget.costs <= left)).any():
        gains = np.where(open_, objective.gains(), -np.inf)
        row = _best(objective, every, gains, budget.costs)
        objective.add(row)
        chosen.append(row)
        taken.append(float(gains[row]))
        open_[row] = False
        left -= budget.costs[row]
    kept = _worth_most(objective, budget, chosen, taken)
    for row in chosen[len(kept) :]:
        objective.remove(row)
    return kept


def _lazy(objective: Objective, budget: Budget) -> Int64:
    """Lazy greedy: where gains never rise, a gain computed earlier is a bound, and tokens whose
    bound is below the best gain need no look (Minoux 1978)."""
    chosen, value = _begin(objective, budget), objective.value(budget.include)
    costs, left = budget.costs, budget.left(budget.include)
    bound = np.full(len(costs), -np.inf)
    """At least the gain for its cost of each token that can join."""
    bound[budget.free] = (objective.gains() / costs)[budget.free]
    fresh = np.ones(len(costs), bool)
    """Whether `bound` is that gain, for the present choice."""
    ahead = min(_AHEAD, len(costs))
    while True:
        bound[costs > left] = -np.inf
        if bound.max(initial=-np.inf) == -np.inf:
            return np.array(chosen, np.int64)
        slack = tolerance(value) / 2 / costs
        # As in `_best`, with as few gains as that takes.
        while True:
            best = (bound - slack)[fresh].max(initial=-np.inf)
            equal = (bound > -np.inf) & (bound + slack >= best)
            if fresh[equal].all():
                break
            # Many at once cost little more than one.
            stale = np.where(fresh, -np.inf, bound)
            rows = np.argpartition(stale, -ahead)[-ahead:]
            rows = rows[stale[rows] > -np.inf]
            bound[rows] = objective.gains(rows) / costs[rows]
            fresh[rows] = True
        row = objective.candidates.first(np.flatnonzero(equal))
        gain = float(bound[row] * costs[row])
        if not budget.uniform and gain < -tolerance(value) / 2:
            # No gain will ever rise above this one, the largest for its cost.
            return np.array(chosen, np.int64)
        objective.add(row)
        chosen.append(row)
        value += gain
        left -= costs[row]
        bound[row] = -np.inf
        fresh[:] = False


def stochastic(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """Greedy that looks at a random sample for each pick, O(n log(1 / epsilon)) gains in all,
    whatever the budget (Mirzasoleiman et al. 2015). The same sample for the same instance."""
    rng = np.random.default_rng(0)
    chosen = _begin(objective, budget)
    n = len(budget.costs)
    sample = int(np.ceil(n / max(budget.size, 1) * np.log(1 / _EPSILON)))
    taken: list[float] = []
    while len(rows := _affordable(budget, chosen)):
        rows = np.sort(rng.choice(rows, min(sample, len(rows)), replace=False))
        gains = objective.gains(rows)
        row = _best(objective, rows, gains, budget.costs[rows])
        objective.add(row)
        chosen.append(row)
        taken.append(float(gains[rows == row][0]))
    return _worth_most(objective, budget, chosen, taken)


def swaps(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """Greedy, then the best exchange of one token for another, again and again, until there is
    none or `options.exchanges` were looked for.

    Small choices, where one token makes a difference, are made anew without each of their tokens in
    turn, and the best is kept; of equals that of greedy.
    """
    best = greedy(objective, budget, options)
    _exchange(objective, budget, best, options.exchanges)
    first, chosen = best[len(budget.include) :], best
    if len(budget.costs) * len(first) > _SMALL:
        return best
    for row in first.tolist():
        for known in chosen.tolist():
            objective.remove(known)
        rest = budget.branch(budget.include, np.append(budget.exclude, row))
        chosen = greedy(objective, rest, options)
        _exchange(objective, budget, chosen, options.exchanges)
        complete = len(chosen) == len(best) or not budget.uniform
        if complete and _better(objective.value(chosen), objective.value(best)):
            best = chosen
    return best


def _better(value: float, known: float) -> bool:
    return value - known > tolerance(known)


def _exchange(objective: Objective, budget: Budget, chosen: Int64, looks: int) -> None:
    """Improves `chosen` in place. Tokens that gain most beside the choice are tried."""
    mine = np.arange(len(budget.include), len(chosen))
    improved = len(mine) > 0
    while improved and looks:
        improved = False
        pool = _pool(objective, budget, chosen)
        while len(pool) and looks:
            looks -= 1
            change = objective.exchanges(chosen[mine], pool)
            room = budget.left(chosen) + budget.costs[chosen[mine]]
            change[budget.costs[pool] > room[:, None]] = -np.inf
            slack = tolerance(objective.value(chosen))
            if change.max() <= slack:
                break
            equal = (change > slack) & (change >= change.max() - slack)
            # The first of equals joins, and the last of equals leaves.
            row = objective.candidates.first(pool[equal.any(0)])
            (j,) = np.flatnonzero(pool == row)
            out = int(objective.candidates.ranked(chosen[mine][equal[:, j]])[-1])
            objective.remove(out)
            objective.add(row)
            chosen[chosen == out], pool[j] = row, out
            improved = True


def _pool(objective: Objective, budget: Budget, chosen: Int64) -> Int64:
    """The _POOL tokens that gain most beside `chosen`, or all if there are fewer."""
    rows = budget.free[~np.isin(budget.free, chosen)]
    if len(rows) <= _POOL:
        return rows
    gains = objective.gains()[rows]
    last = np.partition(gains, -_POOL)[-_POOL]
    slack = tolerance(objective.value(chosen))
    more = rows[gains > last + slack]
    equal = objective.candidates.ranked(rows[np.abs(gains - last) <= slack])
    return np.concatenate([more, equal])[:_POOL]


def exact(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """The best choice, by branch and bound: for some tens of tokens.

    A node has tokens that are in and tokens that are out; its bound is the objective's. Depth
    first, the likelier branch first; a node that cannot beat the best known is not looked into.
    """
    best = swaps(objective, budget, options)
    value = objective.value(best)
    nodes = [(budget.include, budget.exclude)]
    while nodes:
        include, exclude = nodes.pop()
        node = budget.branch(include, exclude)
        if budget.uniform and node.size < budget.size:
            continue
        bound = objective.upper_bound(best, node, _NODE_S)
        if bound <= value + LOOSE * tolerance(value):
            continue
        rows = _affordable(node, include.tolist())
        if len(include) == budget.size or not len(rows):
            continue
        row, _ = _best_next(objective, budget, include.tolist(), rows)
        found = np.append(include, row)
        if not budget.uniform or len(found) == budget.size:
            worth = objective.value(found)
            if _better(worth, value):
                best, value = found, worth
        nodes.append((include, np.append(exclude, row)))
        nodes.append((found, exclude))
    return best
