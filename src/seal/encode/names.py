"""What a query has to do with the names that a detector gives things.

Names are compared with the query, and with each of its words, by the text tower of `mini`. General
words and words for kinds of people mean several names, which the tower does not know well enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from seal.detect.coco import COCO
from seal.encode.mini import WEIGHTS, TextTower
from seal.types import Float32, Float64, Mask, Tokens

_GENERAL = {
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "animal": (
        "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
    ),
    "food": (
        "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
        "cake",
    ),
    "furniture": ("chair", "couch", "bed", "dining table"),
}  # fmt: skip
"""A general word -> names that it covers: supercategories of COCO."""
_PERSON = "person"
_PEOPLE = dict.fromkeys(("adult", "human", "humans", "people", "somebody", "someone"), 1.0)
_PEOPLE |= dict.fromkeys(
    ("baby", "boy", "child", "children", "girl", "kid", "kids", "man", "men", "woman", "women"), 0.4
)
"""A word for people -> how likely a person is one of them."""
_EMPTY = frozenset(("a", "an", "the", "of", "in", "on", "and", "some", "any"))
_NONE, _FULL = 0.6, 0.8
"""Cosines up to the first are of other things, and from the second on of the same thing."""
_RIVAL = 0.1
"""A name counts less by a factor of e for each such step by which another one is nearer."""
_WORD = 0.5
"""What a word of a longer query counts."""
_PLURAL = re.compile(r"(?:people|humans|children|men|women|.*[^su\W]s)")
"""A word for several things, as far as it is one for things with names: "bus" is none."""
_LONE = 0.5
"""What a thing counts that is alone where the query asks for several."""


def matches(query: str, names: Sequence[str]) -> Float32:
    """[n] how far the query asks for things of each of these names, in [0, 1].

    Raises OptionError for a query without a single word or sign.
    """
    words = _words(query)
    found = _matches(query, names)
    if found.max(initial=0) < 1:
        for word in words:
            found = np.maximum(found, _WORD * _matches(word, names))
    people = max((_PEOPLE.get(word, 0.0) for word in words), default=0.0)
    persons = np.array([name == _PERSON for name in names], bool)
    found[persons] = np.maximum(found[persons], people)
    return found


def several(query: str, names: Sequence[str]) -> Mask:
    """[n] whether the query asks for more than one thing of each of these names.

    The query asks so for "dogs" and "people" and not for "a dog": the word that asks most for the
    name decides.
    """
    words = _words(query)
    asked = np.array([matches(word, names) for word in words]).reshape(len(words), len(names))
    plural = np.array([_PLURAL.fullmatch(word) and word not in COCO for word in words], bool)
    most = asked.max(0, initial=0)
    return np.asarray((most > 0) & ~((asked == most) & ~plural[:, None]).any(0), bool)


def evidence(tokens: Tokens, query: str) -> Float32:
    """[n] how far each token, by its name, is what the query asks for, in [0, 1]:

        (how likely the thing has its name * how far the query asks for that name) ^ 2

    The square is there because detectors are wrong more often where they are unsure than they say.
    Where the query asks for several things, a thing counts as far as the next likeliest one that is
    seen at the same time does. Alone it counts by half. Tokens without a name have 0.

    Raises OptionError for a query without a single word or sign.
    """
    found = np.zeros(len(tokens), np.float32)
    rows = tokens.named
    names, place = np.unique(tokens.text[rows], return_inverse=True)
    found[rows] = tokens.scores[rows] * matches(query, names.tolist())[place]
    rows = rows[several(query, names.tolist())[place]]
    for video in np.unique(tokens.video_ids[rows]):
        mine = rows[tokens.video_ids[rows] == video]
        found[mine] = _in_company(tokens.take(mine), found[mine])
    return np.square(found)


def _in_company(tokens: Tokens, likely: Float32) -> Float32:
    """[n] what things of one video count, each so `likely`, where several are asked for.

    Objects tell how many there are at once: they are looked for in the same pictures.
    """
    instant = np.flatnonzero(tokens.where(lambda kind: kind.instant))
    instant = instant[np.lexsort((-likely[instant], tokens.start_s[instant]))]
    times: Float64 = tokens.start_s[instant]
    # The second one of each picture: as late as the one before, and later than that before it.
    is_second = (times[1:] == times[:-1]) & (times[1:] != np.append(np.nan, times[:-2]))
    times, seconds = times[1:][is_second], likely[instant][1:][is_second]
    most = np.zeros(len(tokens), np.float32)
    spans = np.searchsorted(times, tokens.start_s), np.searchsorted(times, tokens.end_s, "right")
    for row, (first, end) in enumerate(zip(*spans, strict=True)):
        most[row] = seconds[first:end].max(initial=0)
    together: Float32 = np.maximum(_LONE * likely, np.minimum(likely, most))
    return together


def known(query: str, names: Sequence[str] = COCO) -> float:
    """How far the query asks for something that a detector of these names knows, in [0, 1].

    Raises OptionError for a query without a single word or sign.
    """
    return float(matches(query, names).max())


def _words(query: str) -> list[str]:
    """The words that may name a thing, each once."""
    words = [word.strip(".,;:!?") for word in query.lower().split()]
    return sorted(set(words) - _EMPTY - {""})


def _matches(text: str, names: Sequence[str]) -> Float32:
    tower = _tower()
    query = tower([text])[0]
    cosines, general, rivals = (
        _embedded(tuple(texts)) @ query for texts in (names, _GENERAL, (*COCO, *_GENERAL))
    )
    nearest = max(rivals.max(), cosines.max(initial=-1))

    def certain(cosine: Float32) -> Float32:
        alike = np.clip((cosine - _NONE) / (_FULL - _NONE), 0, 1)
        return np.asarray(alike * np.exp((cosine - nearest) / _RIVAL), np.float32)

    found = certain(cosines)
    for word, value in zip(_GENERAL, certain(general), strict=True):
        covered = np.array([name in _GENERAL[word] for name in names], bool)
        found[covered] = np.maximum(found[covered], value)
    return found


@cache
def _tower() -> TextTower:
    return TextTower(WEIGHTS)


@cache
def _embedded(texts: tuple[str, ...]) -> Float32:
    return _tower()(texts)
