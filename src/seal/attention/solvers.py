"""Who looks for a good choice: solvers know objectives by their gains alone.

Each takes an objective with nothing chosen yet and a budget, and gives the rows in the order
chosen, those that the budget includes first.
"""

from __future__ import annotations

import numpy as np

from seal.attention.candidates import Budget
from seal.attention.objective import Objective
from seal.config import AttentionOptions
from seal.types import Int64

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
_TOLERANCE = 1e-6
"""An exchange has to gain this share of the value: rounding would exchange for ever."""
_ROUNDING = 3e-6
"""What bounds leave for rounding, and a little more: `exact` is exact up to this share."""


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


def naive(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """The paper's solver as written, the reference for the others: every gain is a difference of
    two values computed afresh (section 3.2). O(n k) values."""
    chosen: list[int] = budget.include.tolist()
    while len(rows := _affordable(budget, chosen)):
        value = objective.value(np.array(chosen, np.int64))
        gains = [objective.value(np.array([*chosen, row])) - value for row in rows.tolist()]
        chosen.append(int(rows[np.argmax(np.array(gains) / budget.costs[rows])]))
    return np.array(chosen, np.int64)


def greedy(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """The token with the largest gain for its cost joins, again and again; of equals the first.

    Gains are kept up to date as tokens join; those of submodular objectives only where they may
    have become the largest: the choice is the same.
    """
    if objective.submodular:
        return _lazy(objective, budget)
    chosen = _begin(objective, budget)
    open_ = np.zeros(len(budget.costs), bool)
    open_[budget.free] = True
    left = budget.left(budget.include)
    while (open_ := open_ & (budget.costs <= left)).any():
        row = int(np.argmax(np.where(open_, objective.gains() / budget.costs, -np.inf)))
        objective.add(row)
        chosen.append(row)
        open_[row] = False
        left -= budget.costs[row]
    return np.array(chosen, np.int64)


def _lazy(objective: Objective, budget: Budget) -> Int64:
    """Lazy greedy: where gains never rise, one that was the largest once and still is the largest
    when computed again needs no look at the others (Minoux 1978)."""
    chosen = _begin(objective, budget)
    worth = np.full(len(budget.costs), -np.inf)
    """At least the gain for its cost of each token that can join."""
    worth[budget.free] = (objective.gains() / budget.costs)[budget.free]
    left = budget.left(budget.include)
    ahead = min(_AHEAD, len(worth))
    while True:
        worth[budget.costs > left] = -np.inf
        fresh = np.zeros(len(worth), bool)
        while not fresh[row := int(np.argmax(worth))]:
            if worth[row] == -np.inf:
                return np.array(chosen, np.int64)
            # Many at once cost little more than one.
            stale = np.where(fresh, -np.inf, worth)
            rows = np.argpartition(stale, -ahead)[-ahead:]
            rows = rows[stale[rows] > -np.inf]
            worth[rows] = objective.gains(rows) / budget.costs[rows]
            fresh[rows] = True
        objective.add(row)
        chosen.append(row)
        worth[row] = -np.inf
        left -= budget.costs[row]


def stochastic(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """Greedy that looks at a random sample for each pick, O(n log(1 / epsilon)) gains in all,
    whatever the budget (Mirzasoleiman et al. 2015). The same sample for the same instance."""
    rng = np.random.default_rng(0)
    chosen = _begin(objective, budget)
    n = len(budget.costs)
    sample = int(np.ceil(n / max(budget.size, 1) * np.log(1 / _EPSILON)))
    while len(rows := _affordable(budget, chosen)):
        rows = np.sort(rng.choice(rows, min(sample, len(rows)), replace=False))
        gains = objective.gains(rows) / budget.costs[rows]
        chosen.append(int(rows[np.argmax(gains)]))
        objective.add(chosen[-1])
    return np.array(chosen, np.int64)


def swaps(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """Greedy, then the best exchange of one token for another, again and again, until there is
    none or `options.exchanges` were looked for.

    Small choices, where one token makes a difference, are made anew without each of their tokens in
    turn, and the best is kept.
    """
    best = greedy(objective, budget, options)
    _exchange(objective, budget, best, options.exchanges)
    first, chosen = best[len(budget.include) :], best
    if len(budget.costs) * len(first) > _SMALL:
        return best
    for row in first.tolist():
        for known in chosen.tolist():
            objective.remove(known)
        rest = Budget(budget.amount, budget.costs, budget.include, np.append(budget.exclude, row))
        chosen = greedy(objective, rest, options)
        _exchange(objective, budget, chosen, options.exchanges)
        complete = len(chosen) == len(best) or not budget.uniform
        if complete and objective.value(chosen) > objective.value(best):
            best = chosen
    return best


def _exchange(objective: Objective, budget: Budget, chosen: Int64, looks: int) -> None:
    """Improves `chosen` in place. Tokens that gain most beside the choice are tried."""
    mine = np.arange(len(budget.include), len(chosen))
    improved = len(mine) > 0
    while improved and looks:
        improved = False
        rows = budget.free[~np.isin(budget.free, chosen)]
        order = np.argsort(-objective.gains()[rows], kind="stable")
        pool = rows[order[:_POOL]]
        while len(pool) and looks:
            looks -= 1
            change = objective.exchanges(chosen[mine], pool)
            room = budget.left(chosen) + budget.costs[chosen[mine]]
            change[budget.costs[pool] > room[:, None]] = -np.inf
            i, j = np.unravel_index(int(np.argmax(change)), change.shape)
            if change[i, j] <= _TOLERANCE * (1 + abs(objective.value(chosen))):
                break
            out, row = int(chosen[mine[i]]), int(pool[j])
            objective.remove(out)
            objective.add(row)
            chosen[mine[i]], pool[j] = row, out
            improved = True


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
        node = Budget(budget.amount, budget.costs, include, exclude)
        if budget.uniform and node.size < budget.size:
            continue
        bound = objective.upper_bound(best, node, _NODE_S)
        if bound <= value + _ROUNDING * (1 + abs(value)):
            continue
        rows = _affordable(node, include.tolist())
        if len(include) == budget.size or not len(rows):
            continue
        gains = [objective.value(np.append(include, row)) for row in rows.tolist()]
        row = rows[int(np.argmax(gains / budget.costs[rows]))]
        found = np.append(include, row)
        if not budget.uniform or len(found) == budget.size:
            worth = objective.value(found)
            if worth > value:
                best, value = found, worth
        nodes.append((include, np.append(exclude, row)))
        nodes.append((found, exclude))
    return best
