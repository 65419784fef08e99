"""The tokens of many videos that are worth comparing for one question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain

import numpy as np

from seal import kinds
from seal.attention import relevance
from seal.attention.worded import AskedVideo, on_one_scale
from seal.attention.words import UNQUOTED
from seal.content import Question, StoredContent, embed_meaning, embed_query, rows_by_video
from seal.encode import Encoder
from seal.said import AskedWords, Said, SaidInVideos
from seal.store import Store, VideoRecord
from seal.types import Float32, Float64, Int64, Tokens
from seal.words.index import quotes
from seal.words.meaning import SentenceEncoder

_WORDED = 0.25
"""So many sentences, as a share of the candidates, are looked for by meaning and as many by
words."""
_SEARCHED = 16
"""All sentences count of so many videos that have the nearest of these, by meaning and by words."""
_MEANT = 0.01
"""This share of the candidates are the sentences of the nearest meaning."""
_PAUSE_S = 1e4
"""Tokens of different videos are so far apart in time: further than any objective looks."""


class NearestContent(StoredContent):
    """The `limit` tokens of many videos, of one encoder, that are most relevant to one question.

    Pictures are looked for by their embeddings. Words are those of the videos that have the nearest
    ones by what they mean, which `sentences` says if it is given or else the encoder, and by their
    terms. They have the relevance that they have among all words of their video. Where the encoder
    gives a token several embeddings, their mean counts.
    """

    is_one = False

    def __init__(
        self,
        store: Store,
        records: Sequence[VideoRecord],
        encoder: Encoder,
        text: str,
        limit: int,
        sentences: SentenceEncoder | None = None,
        said: SaidInVideos | None = None,
    ) -> None:
        counts = store.counts()
        # Another process may have stored or removed a video since `records` were read.
        super().__init__(store, [record for record in records if record.id in counts])
        self._encoder, self._sentences = encoder, sentences
        self._counts = {name: sum(of.values()) for name, of in counts.items()}
        embedding = embed_query(encoder, text)
        self._tokens = self._pictures(embedding, limit)
        if any(of.get(kind) for of in counts.values() for kind in kinds.worded()):
            meaning = embedding if sentences is None else embed_meaning(sentences, text)
            spoken = self._speaking(text, meaning, math.ceil(limit * _WORDED))
            shape = encoder.dimension, encoder.facets
            words = (said or SaidInVideos(store)).of(spoken, shape, sentences)
            question = self._ask_all(text, embedding, meaning, words)
        else:
            question = self._ask(text, embedding)
        self._keep(question, limit)

    def _pictures(self, embedding: Float32, limit: int) -> Tokens:
        """The `limit` pictures that are most relevant to a question."""
        calibration = self._encoder.calibration
        # The relevance of a picture is linear in its embedding, and this is its direction.
        direction = embedding if calibration is None else calibration.line(embedding)[0]
        seen = [name for name in kinds.known() if name not in kinds.worded()]
        tokens = self.store.nearest(direction, self._encoder.facets, limit, seen)
        tokens = tokens.take(np.isin(tokens.video_ids, [record.id for record in self.records]))
        return tokens.take(_store_order(tokens))

    def _speaking(self, text: str, meaning: Float32, few: int) -> list[VideoRecord]:
        """The videos with the words that are nearest to a question, at most 2 * _SEARCHED."""
        known = {record.id: record for record in self.records}
        if self._sentences is None:
            near = self.store.nearest(meaning, self._encoder.facets, few, kinds.worded())
            order = np.argsort(-(near.embeddings @ meaning), kind="stable")
            meant = list(dict.fromkeys(near.video_ids[order].tolist()))
        else:
            meant = self.store.meant(meaning, few)
        ranked = (self.store.saying(text, few), meant)
        # A video may come or go between the reads.
        several = ([name for name in names if name in known][:_SEARCHED] for names in ranked)
        return [known[name] for name in dict.fromkeys(chain(*several))]

    def _ask_all(
        self, text: str, embedding: Float32, meaning: Float32, said: Mapping[str, Said]
    ) -> Question:
        """As `_ask`, with the words of these videos behind the tokens, which are pictures.

        `meaning` is the vector of the text by what embedded the words.
        """
        calibration = self._encoder.calibration
        prior = {} if calibration is None else self._prior(text, embedding, calibration)
        seen = relevance(self._tokens, embedding, calibration, text)
        unsaid = np.full(len(seen), -np.inf, np.float32)
        tokens, found = [self._tokens], [AskedWords(seen, np.full(len(seen), "picture"), unsaid)]
        limit = np.array([-UNQUOTED], np.float32)
        for record, rows in self.by_video():
            video = AskedVideo(rows, prior.get(record.id, 0.0), self.count(record))
            if quotes(text):
                most = on_one_scale(limit, seen[rows], video, calibration)
                seen[rows] = np.minimum(seen[rows], most)
            if record.id in said:
                words = said[record.id]
                tokens.append(words.tokens)
                found.append(words.asked(seen[rows], text, meaning, video, calibration))
        self._tokens = Tokens.concatenate(tokens)
        return Question(
            text,
            embedding,
            np.concatenate([each.relevance for each in found]),
            prior,
            np.concatenate([each.found_by for each in found]),
            np.concatenate([each.nearness for each in found]),
        )

    def _keep(self, question: Question, limit: int) -> None:
        """Keep the `limit` most relevant tokens, with the sentences of the nearest meaning."""
        said = np.flatnonzero(question.found_by != "picture")
        ranked = np.argsort(-question.relevance, kind="stable")
        nearest = np.argsort(-question.nearness[said], kind="stable")
        meant = said[nearest[: math.ceil(limit * _MEANT)]]
        ranked = np.concatenate([meant, ranked[~np.isin(ranked, meant)]])
        best = np.sort(ranked[:limit])
        best = best[_store_order(self._tokens.take(best))]
        self._tokens = self._tokens.take(best)
        self._remember(
            replace(
                question,
                relevance=question.relevance[best],
                found_by=question.found_by[best],
                nearness=question.nearness[best],
            )
        )
        present = set(self._tokens.video_ids.tolist())
        self.records = [record for record in self.records if record.id in present]

    @property
    def tokens(self) -> Tokens:
        return self._tokens

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    @property
    def sentences(self) -> SentenceEncoder | None:
        return self._sentences

    @property
    def total(self) -> int:
        return sum(self._counts.values())

    def count(self, record: VideoRecord) -> int:
        return self._counts[record.id]

    @cached_property
    def shift_s(self) -> Float64:
        return one_after_another(self._tokens, [record.id for record in self.records])


def _store_order(tokens: Tokens) -> Int64:
    """How tokens sort by video, kind and start, as the store has them."""
    places = {name: place for place, name in enumerate(kinds.known())}
    order = tokens.per_kind(lambda kind: places[kind.name])
    return np.lexsort((tokens.start_s, order, tokens.video_ids))


def one_after_another(tokens: Tokens, videos: Sequence[str]) -> Float64:
    """[n] what to add to the times of each token so that `videos` follow one another.

    The first token of all is then at 0, because objectives may compare times in single precision,
    and long pauses lie between the videos. Each of the videos has a token.
    """
    shift_s, begin_s, middle_s = np.zeros(len(tokens)), 0.0, tokens.middle_s
    for mine in rows_by_video(tokens, videos):
        shift_s[mine] = begin_s - middle_s[mine].min()
        begin_s = float((middle_s[mine] + shift_s[mine]).max()) + _PAUSE_S
    return shift_s
