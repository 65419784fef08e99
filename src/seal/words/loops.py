"""Loops: a recogniser that has lost its way says the same few words again and again."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 12
"""The most words of a loop."""
# People do say a word or a phrase three times; a chorus has longer lines.
_REPEATS, _REPEATS_OF_ONE = 4, 8
"""How often in a row a phrase, and a single word, is a loop."""


def first_loop(words: Sequence[str]) -> int | None:
    """How many words to keep: those up to the end of the first round of the first loop.

    None where nothing is repeated so often. Case and punctuation are not looked at.
    """
    plain = ["".join(filter(str.isalnum, word.casefold())) for word in words]
    for start in range(len(plain)):
        for length in range(1, min(_LONGEST, len(plain) - start) + 1):
            needed = _REPEATS_OF_ONE if length == 1 else _REPEATS
            if start + needed * length > len(plain):
                break
            phrase = plain[start : start + length]
            rounds = (plain[start + i * length : start + (i + 1) * length] for i in range(needed))
            if all(each == phrase for each in rounds):
                return start + length
    return None
