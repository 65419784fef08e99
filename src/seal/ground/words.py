"""Queries word by word."""

from __future__ import annotations

from dataclasses import dataclass

from seal.encode import Encoder
from seal.ground.data import Sample
from seal.ground.data.features import Features
from seal.types import Float32


@dataclass(frozen=True)
class QueryWords:
    """The words of queries: published features of them, or an encoder that embeds each word.

    With the encoder, a query is its embedding as a whole and then that of each word.
    """

    source: Features | Encoder

    @property
    def name(self) -> str:
        """What made them, as a checkpoint names it."""
        return "published" if isinstance(self.source, Features) else self.source.fingerprint

    def of(self, sample: Sample) -> Float32:
        """[t, d], t >= 1. Raises DataError where published features lack the query."""
        if isinstance(self.source, Features):
            return self.source.words_of(sample.id)
        return words_of(self.source, sample.query)


def words_of(encoder: Encoder, query: str) -> Float32:
    """[1 + words, d] a query as a whole, and each of its words that the encoder can read."""
    words = [word for word in query.split() if any(map(str.isalnum, word))]
    return encoder.encode_texts([query, *words])
