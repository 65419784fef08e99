"""Which texts have the words of a query: an inverted index, built once for the texts of a video.

A text scores by Okapi BM25 with the inverse document frequency of Lucene, which is never negative
(Robertson and Zaragoza 2009). It is the sum over the words w of the query, each once, of

    weight(w) * f (k1 + 1) / (f + k1 (1 - b + b length / mean length))
    weight(w) = log(1 + (n - n_w + 0.5) / (n_w + 0.5))

where f is how often w is in the text and n_w in how many of the n texts it is. Beside the texts of
the video, which may be few, GENERAL others count, in which words have the shares of COMMON. Words
that ask, such as "discuss" in "What did they discuss?", have ASKED times this weight.

A sentence is understood with its neighbours. So the same sum is taken over the passage around each
text. It has frequencies and lengths of the texts j places away weighted by exp(-|j| / REACH), as
in a positional language model (Lv and Zhai 2009).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from seal.errors import OptionError
from seal.types import Float32, Int64, Mask
from seal.words.terms import split, stem

K1, B = 1.2, 0.75
REACH = 5.0
"""Texts so many places away count e times less in a passage than the one in its middle."""
ASKED = 0.3
GENERAL = 100
_STEPS = 5
"""A passage ends 2^5 places away, where a text counts for a 600th."""
ASKING = frozenset((resources.files("seal.words") / "asking_words.txt").read_text("utf-8").split())
"""Words of English that say nothing of what is asked for."""
COMMON = {
    word: float(share)
    for word, share in re.findall(
        r"(\S+) (\S+)", (resources.files("seal.words") / "common_words.txt").read_text("utf-8")
    )
}
"""The stems of words that hold English sentences together -> the share of 50,000 texts of 15 words
that have them, in the training meetings of QMSum."""
# Inches follow a number.
_QUOTED = re.compile(r'(?<!\w)"([^"]*)"|“([^”]*)”|«([^»]*)»|„([^“”]*)[“”]')


@dataclass(frozen=True, eq=False)
class Matches:
    """What n texts have of the words of a query."""

    own: Float32
    """[n] BM25 of each text."""
    passage: Float32
    """[n] BM25 of the passage around each text."""
    information: float
    """The sum of the weights of the words, those that no text has included."""
    absent: float
    """The part of it that is of words that no text has."""
    tells: Mask
    """[n] whether a text has a word of the query that tells something: one that neither asks nor
    holds sentences together."""


class WordIndex:
    """The words of n texts, in order; neighbours are next to each other in the same group.

    `groups` names the video and the kind of each text, where there are several. `languages` is
    ISO 639-1, of all texts or of each, and is empty where it is not known. Raises OptionError if
    there are not as many of either as texts.
    """

    def __init__(
        self,
        texts: Sequence[str],
        groups: Sequence[Hashable] | None = None,
        languages: str | Sequence[str] = "en",
    ) -> None:
        n = len(texts)
        each = [languages] * n if isinstance(languages, str) else list(languages)
        for name, given in (("groups", groups), ("languages", each)):
            if given is not None and len(given) != n:
                raise OptionError(f"{n} texts need {n} {name}, got {len(given)}")
        numbers: dict[Hashable, int] = {}
        number = np.array([numbers.setdefault(one, len(numbers)) for one in groups or [0] * n], int)
        order = np.argsort(number, kind="stable")
        # Places so far from those of the next group that no passage reaches over.
        self._place: Int64 = np.empty(n, np.int64)
        self._place[order] = np.arange(n) + number[order] * 2**_STEPS
        self._size = n + max(len(numbers), 1) * 2**_STEPS

        words, counts, joined = split([texts[row] for row in order])
        ids: dict[str, int] = {}
        self._word = np.array([ids.setdefault(word, len(ids)) for word in words], np.int64)
        self._ids = ids
        self._row: Int64 = np.repeat(order, np.array(counts, np.int64))
        self._group: Int64 = number[self._row]
        self.lengths: Float32 = np.zeros(n, np.float32)
        """[n] the number of words of each text."""
        self.lengths[order] = counts
        self._by_word = np.argsort(self._word, kind="stable")
        self._starts = np.searchsorted(self._word[self._by_word], np.arange(len(ids) + 1))
        self._index(each, np.array(joined, bool))

        self._mean = max(float(self.lengths.mean()), 1e-9) if n else 1.0
        self._around = self._passages(self._spread(self.lengths))
        self._mean_around = max(float(self._around.mean()), 1e-9) if n else 1.0

    def _index(self, languages: Sequence[str], joined: Mask) -> None:
        """Which terms, stems and pairs of characters, are in which texts, and how often."""
        terms: dict[str, int] = {}
        names = list(self._ids)
        language = np.array(languages, object)[self._row]
        term = np.empty(len(self._word), np.int64)
        self._languages = tuple(dict.fromkeys(languages))
        for one in self._languages:
            mine = np.flatnonzero(language == one)
            used = np.unique(self._word[mine])
            stems = np.zeros(len(names), np.int64)
            stems[used] = [terms.setdefault(stem(names[i], one), len(terms)) for i in used]
            term[mine] = stems[self._word[mine]]
        first = np.flatnonzero(joined)
        pairs = zip(self._word[first], self._word[first + 1], strict=True)
        pair = [terms.setdefault(names[a] + names[b], len(terms)) for a, b in pairs]
        n = max(len(self.lengths), 1)
        keys = np.concatenate([term, np.array(pair, np.int64)]) * n
        keys += np.concatenate([self._row, self._row[first]])
        found, often = np.unique(keys, return_counts=True)
        self._terms = terms
        self._texts, self._often = found % n, often.astype(np.float32)
        self._first = np.searchsorted(found, np.arange(len(terms) + 1) * n)

    def __len__(self) -> int:
        return len(self.lengths)

    def matches(self, query: str, asked: float = ASKED) -> Matches:
        """What the texts have of a query; `asked` is the weight of words that ask."""
        n = len(self)
        own, passage = np.zeros(n, np.float32), np.zeros(n, np.float32)
        information, absent, tells = 0.0, 0.0, np.zeros(n, bool)
        own_norm = K1 * (1 - B + B * self.lengths / self._mean)
        around_norm = K1 * (1 - B + B * self._around / self._mean_around)
        for often, weight, telling in self._asked(query, asked):
            information += weight
            tells |= telling & (often > 0)
            if not often.any():
                absent += weight
                continue
            own += weight * (K1 + 1) * often / (often + own_norm)
            near = self._passages(self._spread(often))
            passage += weight * (K1 + 1) * near / (near + around_norm)
        return Matches(own, passage, information, absent, tells)

    def bm25(self, query: str) -> Float32:
        """[n] BM25 of each text, as published: all words count alike, and these texts alone."""
        norm = K1 * (1 - B + B * self.lengths / self._mean)
        scores = np.zeros(len(self), np.float32)
        for often, weight, _ in self._asked(query, 1.0, general=0):
            scores += weight * (K1 + 1) * often / (often + norm)
        return scores

    def says(self, query: str) -> Mask:
        """[n] whether a text has a query word for word, but for what stands at both ends of the
        query and tells nothing, such as an article."""
        words = split([query])[0]
        telling = [i for i, word in enumerate(words) if _tells(word)]
        if not telling:
            return np.zeros(len(self), bool)
        whole: Mask = self.phrase(" ".join(words[telling[0] : telling[-1] + 1])) == 1
        return whole

    def phrase(self, words: str) -> Float32:
        """[n] the share of these words, in this order and with nothing between them, in each text.

        A phrase may go on in the texts that follow. The best of several places counts.
        """
        wanted = [self._ids.get(word, -1) for word in split([words])[0]]
        shares = np.zeros(len(self), np.float32)
        if not wanted or min(wanted) < 0:
            return shares
        begins = self._by_word[self._starts[wanted[0]] : self._starts[wanted[0] + 1]]
        begins = begins[begins + len(wanted) <= len(self._word)]
        for offset, word in enumerate(wanted):
            begins = begins[self._word[begins + offset] == word]
        begins = begins[self._group[begins] == self._group[begins + len(wanted) - 1]]
        if len(begins):
            rows = self._row[begins[:, None] + np.arange(len(wanted))]
            places = np.repeat(np.arange(len(begins)), len(wanted)) * len(self) + rows.ravel()
            found, often = np.unique(places, return_counts=True)
            np.maximum.at(shares, found % len(self), (often / len(wanted)).astype(np.float32))
        return shares

    def _asked(
        self, query: str, asked: float, general: int = GENERAL
    ) -> list[tuple[Float32, float, bool]]:
        """For each different word of a query, [n] how often it is in each text, its weight, with so
        many texts in `general` beside these, and whether it tells something."""
        words, _, joined = split([query])
        n, found = len(self), {}
        for at, word in enumerate(words):
            if joined[at]:
                names = [word + words[at + 1]]
            elif at and joined[at - 1]:
                continue
            else:
                names = [stem(word, one) for one in self._languages]
            terms = tuple({self._terms.get(name, -1) for name in names} - {-1})
            found[terms or word] = (terms, word)
        rows = []
        for terms, word in found.values():
            often = np.zeros(n, np.float32)
            for term in terms:
                mine = slice(self._first[term], self._first[term + 1])
                often[self._texts[mine]] += self._often[mine]
            texts = float(np.count_nonzero(often))
            texts += general * COMMON.get(stem(word, "en"), 0.0)
            weight = float(np.log1p((n + general - texts + 0.5) / (texts + 0.5)))
            rows.append((often, weight * (asked if word in ASKING else 1.0), _tells(word)))
        return rows

    def _spread(self, values: Float32) -> Float32:
        """Values of the texts, in their places."""
        spread: Float32 = np.zeros(self._size, np.float32)
        spread[self._place] = values
        return spread

    def _passages(self, values: Float32) -> Float32:
        """[n] the sum over the places around each text, weighted by their distance."""
        after, before = values.copy(), values.copy()
        for step in range(_STEPS):
            # Each step doubles the reach of a geometric series.
            shift, weight = 2**step, np.float32(np.exp(-(2**step) / REACH))
            after[:-shift] += weight * after[shift:].copy()
            before[shift:] += weight * before[:-shift].copy()
        return (after + before - values)[self._place]


def _tells(word: str) -> bool:
    """Whether a folded word tells something: it neither asks nor holds sentences together."""
    return word not in ASKING and stem(word, "en") not in COMMON


def quotes(query: str) -> list[str]:
    """What a query has in quotes, each with a word at least."""
    found = ("".join(groups) for groups in _QUOTED.findall(query))
    return [text for text in found if split([text])[0]]
