"""The tokens of a video that are words, searched by a query: their relevance beside pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seal.attention.candidates import has_words
from seal.attention.words import (
    SENTENCES,
    UNQUOTED,
    Meaning,
    Parts,
    calibrated,
    log_odds_of,
    matched,
)
from seal.encode.calibration import Calibration
from seal.types import Float32, Int64, Tokens
from seal.words.index import WordIndex, quotes

PAUSE_S = 60.0
"""What is said after a longer pause is no neighbour of what was said before."""


class AskedVideo(NamedTuple):
    """A video that a query is asked of."""

    rows: Int64
    """The rows of its tokens."""
    prior: float
    """See `Calibration.prior`; 0 where nothing is calibrated."""
    size: int
    """The number of its tokens, all of them."""


@dataclass(frozen=True, eq=False)
class WordedTokens:
    """The tokens with words among n tokens, ready to be searched."""

    rows: Int64
    """[m] their rows."""
    pictures: Int64
    """The rows of the other tokens that have an embedding."""
    index: WordIndex
    meaning: Meaning

    @staticmethod
    def of(
        tokens: Tokens,
        languages: Mapping[str, str] | None = None,
        meanings: Callable[[Tokens], Float32 | None] = lambda worded: None,
    ) -> WordedTokens | None:
        """Of tokens in any order; None where none has words.

        `languages` says by video in which language they are (ISO 639-1); by default English.
        `meanings` gives the vectors [m, e] of those with words, if an encoder of sentences made
        them; otherwise their embeddings count.
        """
        rows = np.flatnonzero(has_words(tokens))
        if not len(rows):
            return None
        worded = tokens.take(rows)
        order = np.lexsort((worded.start_s, worded.kinds, worded.video_ids))
        rows, worded = rows[order], worded.take(order)
        pauses = worded.start_s[1:] - worded.end_s[:-1] > PAUSE_S
        passages = np.append(0, np.cumsum(pauses)).tolist()
        groups = zip(worded.video_ids.tolist(), worded.kinds.tolist(), passages, strict=True)
        spoken = [(languages or {}).get(video) or "en" for video in worded.video_ids.tolist()]
        index = WordIndex(worded.text.tolist(), list(groups), spoken)
        bare = np.concatenate([rows, tokens.without_embedding])
        pictures = np.setdiff1d(np.arange(len(tokens)), bare)
        vectors = meanings(worded)
        if vectors is None:
            meaning = Meaning.of(worded.embeddings)
        else:
            meaning = Meaning.of(vectors, SENTENCES)
        return WordedTokens(rows, pictures, index, meaning)

    def parts(self, query: str, embedding: Float32) -> Parts:
        """What speaks for each of them, given a query and its embedding, by what embedded them."""
        return Parts.of(self.index, self.meaning, query, embedding)

    def relevance(
        self,
        pictures: Float32,
        query: str,
        parts: Parts,
        videos: Iterable[AskedVideo],
        calibration: Calibration | None,
    ) -> Float32:
        """[n] in [-1, 1] R of all tokens, given that of the `pictures` [n] among them and the
        `parts` of the query.

        If the query has quotes, the relevance of a picture is capped at that of log odds
        -UNQUOTED.
        """
        scores, odds = pictures.copy(), np.zeros(len(pictures), np.float32)
        odds[self.rows] = log_odds_of(parts, self.index, query)
        is_worded = np.zeros(len(scores), bool)
        is_worded[self.rows] = True
        limit = np.array([-UNQUOTED if quotes(query) else np.inf], np.float32)
        for video in videos:
            words, others = (video.rows[is_worded[video.rows] == of] for of in (True, False))
            both = np.concatenate([odds[words], limit])
            seen = others if calibration else np.intersect1d(others, self.pictures)
            both = on_one_scale(both, pictures[seen], video, calibration)
            scores[words] = both[:-1]
            scores[others] = np.minimum(pictures[others], both[-1])
        return scores


def on_one_scale(
    odds: Float32, pictures: Float32, video: AskedVideo, calibration: Calibration | None
) -> Float32:
    """[n] in [-1, 1]: R of tokens of a video with these log odds, given that of its `pictures`
    [m], which counts where the encoder has no calibration."""
    if calibration is None:
        return matched(odds, pictures)
    return calibrated(odds, calibration, video.prior, video.size)
