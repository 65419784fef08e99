"""The words of single videos, ready to be searched, as `find` over all videos needs many of them.

A sentence scores by how common its words are in its own video, and by the sentences around it. So
the words of a video are read as a whole, and its sentences have the relevance that `Video.find`
gives them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from seal.attention.worded import AskedVideo, WordedTokens, on_one_scale
from seal.attention.words import log_odds_of
from seal.encode.calibration import Calibration
from seal.store import Store, VideoRecord
from seal.types import Float32, Strings, Tokens
from seal.words.meaning import SentenceEncoder

_KEPT = 64
"""Videos whose words stay in memory: 3 to 4 kB a sentence."""


class AskedWords(NamedTuple):
    """What a question has of n tokens that are words, as `seal.content.Question` has it: [n]."""

    relevance: Float32
    found_by: Strings
    nearness: Float32


class Said(NamedTuple):
    """The tokens of a video that are words, one at least, and what searches them."""

    tokens: Tokens
    worded: WordedTokens

    def asked(
        self,
        pictures: Float32,
        query: str,
        meaning: Float32,
        video: AskedVideo,
        calibration: Calibration | None,
    ) -> AskedWords:
        """What a query, with this vector by what embedded the words, has of the tokens.

        `pictures` [m] is the relevance of tokens of the video that are pictures.
        """
        parts = self.worded.parts(query, meaning)
        odds = log_odds_of(parts, self.worded.index, query)
        scores = np.zeros(len(self.tokens), np.float32)
        scores[self.worded.rows] = on_one_scale(odds, pictures, video, calibration)
        found_by = np.full(len(scores), "picture")
        found_by[self.worded.rows] = parts.found_by
        nearness = np.full(len(scores), -np.inf, np.float32)
        nearness[self.worded.rows] = parts.nearness
        return AskedWords(scores, found_by, nearness)


class SaidInVideos:
    """The words of the videos of a store; those of the last ones are kept. Many threads may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, tuple[VideoRecord, Said]] = OrderedDict()
        self._lock = Lock()

    def of(
        self,
        records: Sequence[VideoRecord],
        shape: tuple[int, int],
        sentences: SentenceEncoder | None = None,
    ) -> dict[str, Said]:
        """By video id, the words of those among these videos that have any.

        `shape` is the dimension and the number of facets of their embeddings; `sentences` is what
        embedded the words of all of them, where that is not the encoder. Raises StoreError if a
        vector by it is not there.
        """
        # Within the lock: a second thread would read the same words.
        with self._lock:
            self._read(records, shape, sentences)
            found = {one.id: self._kept[one.id][1] for one in records if one.id in self._kept}
            for name in found:
                self._kept.move_to_end(name)
            while len(self._kept) > max(_KEPT, len(found)):
                self._kept.popitem(last=False)
            return found

    def _read(
        self,
        records: Sequence[VideoRecord],
        shape: tuple[int, int],
        sentences: SentenceEncoder | None,
    ) -> None:
        """Keep the words of these videos, too."""
        new = [one for one in records if self._kept.get(one.id, (None,))[0] != one]
        if not new:
            return

        def meanings(worded: Tokens) -> Float32 | None:
            return None if sentences is None else self._store.meanings(worded, sentences.dimension)

        read = self._store.said([record.id for record in new], shape)
        for record in new:
            self._kept.pop(record.id, None)
            tokens = read.take(read.video_ids == record.id)
            worded = WordedTokens.of(tokens, {record.id: record.language}, meanings)
            if worded is not None:
                self._kept[record.id] = record, Said(tokens, worded)
