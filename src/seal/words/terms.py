"""Texts to the words by which they are found.

Case, punctuation and accents make no difference, and a word counts by its stem in the language of
its text (Snowball). "don't" is one word, and so are "3.5" and "12,000". Chinese, Japanese and
Korean have no stems and, mostly, no spaces: each character is a word, and so is each pair of
neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from threading import Lock
from typing import Any

ALGORITHMS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""Snowball's stemmer of each language, by ISO 639-1. A word of any other language is its stem."""

_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i", "’": "'"})
"""Letters that Unicode does not take apart."""
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w{1,2}\b)")
"""Of "don't" and "Bob's"; the one of "l'homme" parts two words."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
# The vowel signs of Hebrew, Arabic and the scripts of South Asia are no word characters to `re`.
_SIGNS = "\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u109f\u1780-\u17d3"
_WORD = re.compile(rf"\n|\d+(?:[.,:]\d+)+(?!\w)|[\w{_SIGNS}]+")
_WORD_OR_RUN = re.compile(rf"\n|\d+(?:[.,:]\d+)+(?!\w)|[{_CJK}]+|(?:(?![{_CJK}])[\w{_SIGNS}])+")
_HAS_CJK = re.compile(f"[{_CJK}]")


def fold(text: str) -> str:
    """A text without case, accents and ligatures."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text).casefold().translate(_LETTERS)
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", apart))


# The words of many hours; to stem them takes longer than all else of an index.
_REMEMBERED = 100_000


def split(texts: Sequence[str]) -> tuple[list[str], list[int], list[bool]]:
    """The words of n texts, one text after another. The first array is [m] folded and without their
    stems taken. The others are [n] how many each text has, [m] whether a word is a character with
    the next one right behind it.
    """
    joined = fold("\n".join(" ".join(text.split("\n")) for text in texts))
    joined = _THOUSANDS.sub("", _APOSTROPHE.sub("", joined))
    has_runs = _HAS_CJK.search(joined) is not None
    words: list[str] = []
    counts: list[int] = []
    is_joined: list[bool] = []
    found = (_WORD_OR_RUN if has_runs else _WORD).findall(joined)
    begin = 0
    for each in [*found, "\n"] if texts else []:
        if each == "\n":
            counts.append(len(words) - begin)
            begin = len(words)
        elif has_runs and _HAS_CJK.match(each):
            words.extend(each)
            is_joined.extend([True] * (len(each) - 1) + [False])
        else:
            words.append(each)
            is_joined.append(False)
    return words, counts, is_joined


def terms(text: str, language: str) -> list[str]:
    """What a text is found by, in order: the stems of its words in a language, and of Chinese,
    Japanese and Korean the characters and the pairs of neighbours. No term has a space."""
    words, _, joined = split([text])
    found = []
    for at, word in enumerate(words):
        found.append(stem(word, language))
        if joined[at]:
            found.append(word + words[at + 1])
    return found


def asked_terms(query: str, languages: Iterable[str]) -> list[str]:
    """The different terms that ask for the words of a query in texts of these languages.

    A character that has a neighbour is asked for by the pair alone.
    """
    words, _, joined = split([query])
    found: dict[str, None] = {}
    for at, word in enumerate(words):
        if joined[at]:
            found[word + words[at + 1]] = None
        elif not (at and joined[at - 1]):
            found |= dict.fromkeys(stem(word, language) for language in languages)
    return list(found)


_STEMMING = Lock()
"""A stemmer keeps the word that it is at, so that one thread at a time may use it."""


@lru_cache(maxsize=_REMEMBERED)
def stem(word: str, language: str) -> str:
    """The stem of a folded word in a language (ISO 639-1, such as "en" or "en-GB")."""
    stemmer = _stemmer(language[:2].lower())
    if stemmer is None:
        return word
    with _STEMMING:
        stemmed: str = stemmer.stemWord(word)
    # Some stemmers put accents back.
    return fold(stemmed)


@cache
def _stemmer(language: str) -> Any:
    """What stems words of a language; None where nothing does."""
    # Not at the top: a library in which nothing is said has no use for it.
    import snowballstemmer

    name = ALGORITHMS.get(language)
    return None if name is None else snowballstemmer.stemmer(name)
