"""Sentences and queries in any language to vectors that say what they mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from seal import backends
from seal.types import Float32


class SentenceEncoder(ABC):
    """Sentences and queries of many languages in one space: the cosine says whether they mean the
    same, and is around 0 for two that have nothing to do with each other."""

    fingerprint: str
    """Identifies algorithm and weights; part of the key under which tokens are stored."""
    dimension: int
    """e, the length of a vector."""

    @abstractmethod
    def encode_sentences(self, texts: Sequence[str]) -> Float32:
        """[n, e] of n sentences; rows L2-normalised."""

    @abstractmethod
    def encode_query(self, text: str) -> Float32:
        """[e] of a query, L2-normalised."""


def load_sentence_encoder(options: Any) -> SentenceEncoder | None:
    """What these options of the stage `meaning` describe; None for the back end `none`.

    Raises BackendError if its extra is not installed.
    """
    if options.backend == "none":
        return None
    encoder: SentenceEncoder = backends.make("meaning", options, SentenceEncoder)
    return encoder
