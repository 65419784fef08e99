"""Whether two readings are of the same text."""

from __future__ import annotations

import re
from itertools import pairwise

_CONFUSED = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "!": "l", "5": "s", "8": "b"})
"""What readers take for each other."""
_ALIKE = 0.8
_LONG = 6
"""Shorter texts are the same only if they are equal: one letter is much of them."""
_SHARED, _SHARE = 6, 0.25
"""Windows of a text that runs through the picture share at least so many letters, and this share
of the shorter one."""
_RIM = 2
"""Letters that are cut by the picture's edge, and misread."""


def plain(text: str) -> str:
    """Without case, space and signs, and without what readers take for each other."""
    return re.sub(r"[\W_]+", "", text.casefold()).translate(_CONFUSED)


def distance(a: str, b: str) -> int:
    """The fewest letters to insert, delete or replace to make one of the other (Levenshtein)."""
    costs = list(range(len(b) + 1))
    for row, letter in enumerate(a, 1):
        corner, costs[0] = costs[0], row
        for column, other in enumerate(b, 1):
            least = min(costs[column] + 1, costs[column - 1] + 1, corner + (letter != other))
            corner, costs[column] = costs[column], least
    return costs[-1]


def similarity(a: str, b: str) -> float:
    """1 for the same letters, 0 for no letter in common."""
    a, b = plain(a), plain(b)
    longer = max(len(a), len(b))
    return 1 - distance(a, b) / longer if longer else float(a == b)


def is_same(a: str, b: str) -> bool:
    """Whether two readings of one place can be of one text.

    Digits must be equal: "page 3" is not "page 4", though they have nearly all letters in common.
    """
    if plain(a) == plain(b):
        return True
    if _numbers(a) != _numbers(b) or min(len(plain(a)), len(plain(b))) < _LONG:
        return False
    return similarity(a, b) >= _ALIKE


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def run_on(before: str, after: str) -> str | None:
    """Two windows of a text that runs from right to left, as one text; None if they are not.

    The end of `before` must be the beginning of `after`, but for a few letters that the picture's
    edges cut.
    """
    a, b = before.casefold(), after.casefold()
    shared = _longest_shared(a, b)
    if shared is None:
        return None
    at, start, length = shared
    left, right = len(a) - at - length, len(b) - start - length
    if length < max(_SHARED, _SHARE * min(len(a), len(b))) or left > _RIM or start > _RIM:
        return None
    # Two texts that differ at the end are two texts: letters must have come or gone.
    if at <= start + _RIM and right <= left + _RIM:
        return None
    return before[: at + length] + after[start + length :]


def _longest_shared(a: str, b: str) -> tuple[int, int, int] | None:
    """Where the longest piece that two texts share begins in each, and its length."""
    best: tuple[int, int, int] | None = None
    lengths = [0] * (len(b) + 1)
    for i, letter in enumerate(a):
        row = [0] * (len(b) + 1)
        for j, other in enumerate(b):
            if letter == other:
                row[j + 1] = lengths[j] + 1
                if best is None or row[j + 1] > best[2]:
                    best = i - row[j + 1] + 1, j - row[j + 1] + 1, row[j + 1]
        lengths = row
    return best


def joined(texts: list[str]) -> str:
    """Lines as one text; a word that is divided at the end of a line is made whole."""
    text = texts[0] if texts else ""
    for last, line in pairwise(texts):
        is_divided = last[-2:-1].isalpha() and last.endswith("-") and line[:1].islower()
        text = text[:-1] + line if is_divided else f"{text} {line}"
    return text
