"""Who looks for a good choice: solvers know objectives by their gains alone.

Each takes an objective with nothing chosen yet and a budget, and gives the rows in the order
chosen, those that the budget includes first.
"""

from __future__ import annotations

import heapq
import time

import numpy as np

from seal.attention.candidates import Budget
from seal.attention.objective import Objective
from seal.config import AttentionOptions
from seal.types import Float64, Int64

_EPSILON = 0.1
"""Stochastic greedy is within 1 - 1/e - _EPSILON of the best, in expectation."""
_TOLERANCE = 1e-9
"""A swap has to gain more: rounding would swap for ever."""


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
    """The token with the largest gain for its cost joins, again and again; of equals the first."""
    if objective.submodular:
        return lazy(objective, budget, options)
    chosen = _begin(objective, budget)
    while len(rows := _affordable(budget, chosen)):
        # All gains cost an objective that keeps them up to date no more than some.
        gains = objective.gains()[rows] / budget.costs[rows]
        chosen.append(int(rows[np.argmax(gains)]))
        objective.add(chosen[-1])
    return np.array(chosen, np.int64)


def lazy(objective: Objective, budget: Budget, options: AttentionOptions) -> Int64:
    """The same choice, for submodular objectives: a gain that was the largest once and still is
    the largest when computed again needs no look at the others (Minoux 1978)."""
    chosen = _begin(objective, budget)
    rows = _affordable(budget, chosen)
    worth = objective.gains(rows) / budget.costs[rows]
    queue = [(-gain, row, 0) for gain, row in zip(worth.tolist(), rows.tolist(), strict=True)]
    heapq.heapify(queue)
    left = budget.left(np.array(chosen, np.int64))
    while queue:
        _, row, known_at = heapq.heappop(queue)
        if budget.costs[row] > left:
            continue
        if known_at == len(chosen):
            chosen.append(row)
            objective.add(row)
            left -= budget.costs[row]
        else:
            gain = float(objective.gains(np.array([row]))[0] / budget.costs[row])
            heapq.heappush(queue, (-gain, row, len(chosen)))
    return np.array(chosen, np.int64)


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
    """Greedy, then each chosen token in turn gives way to a better one, until none does or
    `options.improve_s` are over."""
    deadline = time.monotonic() + options.improve_s
    chosen = greedy(objective, budget, options).tolist()
    fixed = len(budget.include)
    since = 0
    while since < len(chosen) - fixed and time.monotonic() < deadline:
        # The place of the first chosen is looked at last: it has had the least choice since.
        row = chosen.pop(fixed)
        objective.remove(row)
        gains = _masked(objective.gains(), _affordable(budget, chosen))
        best = int(np.argmax(gains))
        if gains[best] > gains[row] + _TOLERANCE * (1 + abs(gains[row])):
            row, since = best, 0
        else:
            since += 1
        objective.add(row)
        chosen.append(row)
    return np.array(chosen, np.int64)


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
        bound = objective.upper_bound(best, node, seconds=0)
        if bound <= value + 1e-6 * (1 + abs(value)):
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


def _masked(gains: Float64, rows: Int64) -> Float64:
    """The gains of `rows`, -inf for all others."""
    masked = np.full(len(gains), -np.inf)
    masked[rows] = gains[rows]
    return masked
