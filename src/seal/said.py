"""The words of single videos, ready to be searched, as `find` over all videos needs many of them.

A sentence scores by how common its words are in its own video, and by the sentences around it. So
the words of a video are read as a whole, and its sentences have the relevance that `Video.find`
gives them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seal.attention.worded import AskedVideo, WordedTokens, on_one_scale
from seal.attention.words import log_odds_of
from seal.encode.calibration import Calibration
from seal.store import Store, VideoRecord
from seal.types import Float32, Strings, Tokens

_KEPT = 64
"""Videos whose words stay in memory: 2 kB a sentence."""


class Said(NamedTuple):
    """The tokens of a video that are words, one at least, and what searches them."""

    tokens: Tokens
    worded: WordedTokens

    def relevance(
        self,
        pictures: Float32,
        query: str,
        embedding: Float32,
        video: AskedVideo,
        calibration: Calibration | None,
    ) -> tuple[Float32, Strings]:
        """[n] R of the tokens, and what speaks most for each, as `seal.content.Question` has them.

        `pictures` [m] is the relevance of tokens of the video that are pictures.
        """
        parts = self.worded.parts(query, embedding)
        odds = log_odds_of(parts, self.worded.index, query)
        scores = np.zeros(len(self.tokens), np.float32)
        scores[self.worded.rows] = on_one_scale(odds, pictures, video, calibration)
        found_by = np.full(len(scores), "picture")
        found_by[self.worded.rows] = parts.found_by
        return scores, found_by


class SaidInVideos:
    """The words of the videos of a store; those of the last ones are kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, tuple[VideoRecord, Said]] = OrderedDict()

    def of(self, records: Sequence[VideoRecord], shape: tuple[int, int]) -> dict[str, Said]:
        """By video id, the words of those among these videos that have any.

        `shape` is the dimension and the number of facets of their embeddings.
        """
        new = [one for one in records if self._kept.get(one.id, (None,))[0] != one]
        if new:
            read = self._store.said([record.id for record in new], shape)
            for record in new:
                tokens = read.take(read.video_ids == record.id)
                worded = WordedTokens.of(tokens, {record.id: record.language})
                if worded is not None:
                    self._kept[record.id] = record, Said(tokens, worded)
        found = {one.id: self._kept[one.id][1] for one in records if one.id in self._kept}
        for name in found:
            self._kept.move_to_end(name)
        while len(self._kept) > max(_KEPT, len(found)):
            self._kept.popitem(last=False)
        return found
