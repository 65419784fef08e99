"""What a query has to do with the names that a detector gives things.

Names are compared with the query, and with each of its words, by the text tower of `mini`. General
words and words for kinds of people mean several names, which the tower does not know well enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from seal.detect.coco import COCO
from seal.encode.mini import WEIGHTS, TextTower
from seal.types import Float32

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


def matches(query: str, names: Sequence[str]) -> Float32:
    """[n] how far the query asks for things of each of these names, in [0, 1].

    Raises OptionError for a query without a single word or sign.
    """
    words = [word.strip(".,;:!?") for word in query.lower().split()]
    found = _matches(query, names)
    if found.max(initial=0) < 1:
        for word in set(words) - _EMPTY - {""}:
            found = np.maximum(found, _WORD * _matches(word, names))
    people = max((_PEOPLE.get(word, 0.0) for word in words), default=0.0)
    persons = np.array([name == _PERSON for name in names], bool)
    found[persons] = np.maximum(found[persons], people)
    return found


def known(query: str, names: Sequence[str] = COCO) -> float:
    """How far the query asks for something that a detector of these names knows, in [0, 1].

    Raises OptionError for a query without a single word or sign.
    """
    return float(matches(query, names).max())


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
