"""When each place in the text of a cue is said."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from seal.words.cue import Cue, Word
from seal.words.markup import solid

# A line of Chinese or Japanese may be broken before any of these characters; words have no blanks.
_UNSPACED = re.compile(
    "(?<=\\S)(?=[\u3041\u3042\u3044\u3046\u3048\u304a-\u3062\u3064-\u3082\u3084\u3086\u3088-\u308d"
    "\u308f-\u3094\u30a2\u30a4\u30a6\u30a8\u30aa-\u30c2\u30c4-\u30e2\u30e4\u30e6\u30e8-\u30ed"
    "\u30ef-\u30f4\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)


class WordClock:
    """The times of a cue's text, by its words or, without times of words, by its length.

    Places are numbers of characters in the text, which has one blank between two words.
    """

    def __init__(self, cue: Cue, text: str, said: Sequence[Word], is_timed: bool) -> None:
        self._cue = cue
        self._text = text
        self._is_timed = is_timed
        # Offsets count characters that are no blank.
        lengths = [solid(word.text) for word in said]
        self._ends = list(accumulate(lengths))
        self._said = said

    @classmethod
    def of(cls, cue: Cue, text: str) -> WordClock:
        """`text` is that of the cue, with one blank between two words."""
        solid = text.replace(" ", "")
        is_timed = bool(cue.words) and solid == "".join(
            part for word in cue.words for part in word.text.split()
        )
        if not is_timed:
            return cls(cue, text, [Word(cue.start_s, cue.end_s, solid)], False)
        # A recogniser may give words that overlap by a little.
        said, latest_s = [], cue.start_s
        for word in cue.words:
            if word.text.strip():
                start_s = min(max(word.start_s, latest_s), cue.end_s)
                end_s = min(max(word.end_s, start_s), cue.end_s)
                said.append(Word(start_s, end_s, word.text.strip()))
                latest_s = start_s
        return cls(cue, text, said, True)

    def start_s(self, place: int) -> float:
        """When the character at a place, or the first after it that is no blank, begins."""
        offset = self._offset(place)
        return self._at(offset, min(bisect_right(self._ends, offset), len(self._said) - 1))

    def end_s(self, place: int) -> float:
        """When the last character before a place that is no blank ends."""
        offset = self._offset(place)
        return self._at(offset, bisect_left(self._ends, offset))

    def _offset(self, place: int) -> int:
        return place - self._text.count(" ", 0, place)

    def _at(self, offset: int, number: int) -> float:
        word = self._said[number]
        length = solid(word.text)
        share = (offset - (self._ends[number] - length)) / length
        return word.start_s + share * (word.end_s - word.start_s)

    def pauses(self, pause_s: float) -> list[int]:
        """The places where a word follows another after more than `pause_s`."""
        if not self._is_timed:
            return []
        return [
            place for place in self.places() if self.start_s(place) - self.end_s(place) > pause_s
        ]

    def places(self) -> list[int]:
        """Where the text may be split: before each word."""
        spaced = [found.end() for found in re.finditer(r"\s+", self._text)]
        unspaced = [found.start() for found in _UNSPACED.finditer(self._text)]
        return sorted({*spaced, *unspaced} - {0, len(self._text)})

    def words(self, start: int = 0, end: int | None = None) -> tuple[Word, ...]:
        """The words between two places with their times, estimated where the cue has none."""
        end = len(self._text) if end is None else end
        return tuple(
            Word(self.start_s(start + found.start()), self.end_s(start + found.end()), found[0])
            for found in re.finditer(r"\S+", self._text[start:end])
        )

    def whole(self) -> Cue:
        """The cue with words that line up with its text."""
        if not self._is_timed:
            is_clean = self._text == self._cue.text and not self._cue.words
            return self._cue if is_clean else replace(self._cue, text=self._text, words=())
        return replace(self._cue, text=self._text, words=self.words())

    def slices(self, cuts: Sequence[int]) -> list[tuple[int, Cue]]:
        """The parts of the cue between ascending places, each with where it begins."""
        parts = []
        for start, end in zip([0, *cuts], [*cuts, len(self._text)], strict=True):
            text = self._text[start:end].strip()
            if text:
                words = self.words(start, end) if self._is_timed else ()
                parts.append((start, Cue(self._start(start), self._end(end), text, words)))
        return parts

    def _start(self, place: int) -> float:
        return self._cue.start_s if place == 0 else self.start_s(place)

    def _end(self, place: int) -> float:
        return self._cue.end_s if place == len(self._text) else self.end_s(place)
