"""Which numbers are missing in a folder of numbered images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

# Where more is missing than this for each image that is there, as from one card of a camera to the
# next, the numbers do not count time.
_MOST_MISSING = 10


def places(names: Sequence[str]) -> list[int]:
    """The place of each image in its sequence, from 0 on, for file names in their order.

    Names that differ in one number count by this number, in steps of the most common difference:
    of 001, 002 and 004 the last one is at 3, and of 0, 10, 20 and 40 at 4. Where names differ
    otherwise, or the numbers do not keep to such steps (times of day, two series in one folder),
    the images follow each other.
    """
    plain = list(range(len(names)))
    numbers = _numbers(names)
    if numbers is None:
        return plain
    steps = Counter(later - earlier for earlier, later in pairwise(numbers))
    # The smaller one of two that are equally common.
    step, times = min(steps.items(), key=lambda item: (-item[1], item[0]))
    keeps_step = min(steps) > 0 and all(other % step == 0 for other in steps)
    if not keeps_step or 2 * times < len(names) - 1:
        return plain
    counted = [(number - numbers[0]) // step for number in numbers]
    missing = counted[-1] + 1 - len(names)
    return counted if missing <= _MOST_MISSING * len(names) else plain


def _numbers(names: Sequence[str]) -> list[int] | None:
    """The one number in which names differ; None where they differ in anything else."""
    parts = [re.split(r"(\d+)", name.lower()) for name in names]
    if len(names) < 2 or len({len(each) for each in parts}) > 1:
        return None
    differ = [i for i, column in enumerate(zip(*parts, strict=True)) if len({*column}) > 1]
    # Numbers are the odd parts.
    if len(differ) != 1 or differ[0] % 2 == 0:
        return None
    return [int(each[differ[0]]) for each in parts]
