"""Lines of text on a page: their reading order, and which of them are one paragraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from seal.types import Box, union_box

_SAME_ROW = 0.5
"""Two lines are in one row if they share at least this much of the lower one's height."""
_LEADING = 1.0
"""Lines of a paragraph are at most this many line heights apart."""
_SAME_SIZE = 1.8
"""Lines of a paragraph differ at most by this factor in height."""


class Placed(Protocol):
    """Anything with a box."""

    @property
    def box(self) -> Box:
        """Where it is in the picture."""


P = TypeVar("P", bound=Placed)


def overlap(a0: float, a1: float, b0: float, b1: float) -> float:
    """How much of the shorter of two stretches the two share, in [0, 1]."""
    shorter = min(a1 - a0, b1 - b0)
    return max(0.0, min(a1, b1) - max(a0, b0)) / shorter if shorter > 0 else 0.0


def contained(a: Box, b: Box) -> float:
    """How much of the smaller of two boxes the two share, in [0, 1]."""
    return overlap(a.x0, a.x1, b.x0, b.x1) * overlap(a.y0, a.y1, b.y0, b.y1)


def reading_order(lines: Sequence[P]) -> list[P]:
    """Row by row from the top, each from left to right."""
    rows: list[list[P]] = []
    for line in sorted(lines, key=lambda line: line.box.y0 + line.box.y1):
        box = line.box
        for row in rows[-1:]:
            last = row[-1].box
            if overlap(box.y0, box.y1, last.y0, last.y1) >= _SAME_ROW:
                row.append(line)
                break
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box.x0)]


def paragraphs(lines: Sequence[P], aspect: float) -> list[list[P]]:
    """Lines that follow each other closely, each group in reading order.

    `aspect` is the picture's width by its height: boxes are shares of each.
    """
    groups: list[list[P]] = []
    for line in lines:
        near = [group for group in groups if any(_adjoin(line.box, m.box, aspect) for m in group)]
        groups = [group for group in groups if group not in near]
        groups.append([line, *(member for group in near for member in group)])
    ordered = {id(line): place for place, line in enumerate(reading_order(lines))}
    groups.sort(key=lambda group: min(ordered[id(line)] for line in group))
    return [reading_order(group) for group in groups]


def _adjoin(a: Box, b: Box, aspect: float) -> bool:
    heights = sorted([a.y1 - a.y0, b.y1 - b.y0])
    if heights[1] > _SAME_SIZE * heights[0]:
        return False
    apart_y = max(a.y0, b.y0) - min(a.y1, b.y1)
    apart_x = (max(a.x0, b.x0) - min(a.x1, b.x1)) * aspect
    if overlap(a.y0, a.y1, b.y0, b.y1) >= _SAME_ROW:
        return apart_x <= _LEADING * heights[0]
    return apart_y <= _LEADING * heights[0] and apart_x < 0


def around(lines: Sequence[Placed]) -> Box:
    """The box around all of them."""
    return union_box(np.array([line.box for line in lines], np.float32))
