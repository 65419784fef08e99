"""Pictures and words in one space: one interface, several back ends (R and S of section 3.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from seal import registry
from seal.types import Float32, UInt8


class Encoder(ABC):
    """Two towers, one space: cosines between their outputs say what fits together."""

    fingerprint: str
    """Identifies algorithm and weights; part of the key under which tokens are stored."""
    dimension: int
    """d, the length of an embedding."""
    facets: int
    """q, how many embeddings one picture has: 1 but for BLIP-2, which has one per query output."""

    @abstractmethod
    def encode_images(self, images: Sequence[UInt8]) -> Float32:
        """[n, q, d] of n RGB pictures [height, width, 3] of any sizes; rows L2-normalised.

        The relevance of a picture to a text is the maximum over q of the dot product; the
        similarity of two pictures is the dot product of their L2-normalised means over q.
        """

    @abstractmethod
    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """[n, d] of n texts; rows L2-normalised."""


def load(options: Any) -> Encoder:
    """The encoder that these options (`seal.config.MiniEncode`, ...) describe.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    encoder: Encoder = registry.resolve("encode", options.backend)(options)
    return encoder
