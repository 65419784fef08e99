"""Which of several options a text chooses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# What may stand before the letter of an answer: brackets, quotes, mark-up.
_OPEN = r"""(?:[\s(\[{<"'`*_$]|\\(?:boxed|text|mathrm)\{)*"""


def extract(output: str, options: Mapping[str, str]) -> str:
    """The letter, of `options` by letter, that an output means, or "" where it does not say.

    The first of these that there is: what it last calls the answer; the letter that it begins with;
    the only letter in brackets or called an option; the only option whose text is there; the only
    letter that stands alone. What comes before "</think>" does not count, nor does "A" as a word.
    """
    text = output.rpartition("</think>")[2].strip()
    letter = _letter(options)
    stated = re.findall(rf"(?i:answer(?:\s+(?:is|would\s+be))?)\W{{0,12}}?{_OPEN}{letter}", text)
    whole = re.fullmatch(r"\W*([a-z])\W*", text)
    if stated:
        return str(stated[-1])
    if whole and whole[1].upper() in options:
        return whole[1].upper()
    begins = re.match(_OPEN + letter, text)
    if begins:
        return begins[1]
    marked = re.findall(rf"(?:[(\[{{*]|(?i:option|choice)\s+){letter}", text)
    alone = re.findall(rf"\b{letter}", text)
    return _only(marked) or _only(_quoted(text, options)) or _only(alone)


def _letter(options: Mapping[str, str]) -> str:
    """A pattern for one of the letters, but not for an article: "A" before another word, unless
    that word begins the option."""
    letters = "".join(map(re.escape, options)) or "A-D"
    option = re.escape(options.get("A", ""))
    not_article = rf"(?:(?<!A)|(?=\s+{option}\b)|(?!\s+\w))" if option else r"(?:(?<!A)|(?!\s+\w))"
    return rf"([{letters}])(?![\w'’]){not_article}"


def _quoted(text: str, options: Mapping[str, str]) -> list[str]:
    """The options whose words are in `text`, but for those that are part of another one there."""
    there = {letter: _words(option) for letter, option in options.items()}
    there = {
        letter: words for letter, words in there.items() if words.strip() and words in _words(text)
    }
    return [
        letter
        for letter, words in there.items()
        if not any(words != other and words in other for other in there.values())
    ]


def _words(text: str) -> str:
    """Lower case, without punctuation, a space around each word."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "


def _only(letters: Iterable[str]) -> str:
    found = set(letters)
    return found.pop() if len(found) == 1 else ""
