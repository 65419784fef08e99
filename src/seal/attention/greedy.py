"""The paper's solver: the token with the largest gain joins, again and again (section 3.2)."""

from __future__ import annotations

import numpy as np

from seal.attention.objective import Objective
from seal.types import Int64


def greedy(objective: Objective) -> Int64:
    """[objective.size] rows in the order chosen; of equal gains the first row wins."""
    rows = np.empty(objective.size, np.int64)
    for i in range(objective.size):
        rows[i] = np.argmax(objective.gains())
        objective.add(rows[i])
    return rows
