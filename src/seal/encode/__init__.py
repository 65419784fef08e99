"""Pictures and words in one space: one interface, several back ends (R and S of section 3.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from seal import backends
from seal.encode.calibration import Calibration
from seal.errors import BackendError, OptionError
from seal.types import Float32, UInt8

_LENGTH_TOLERANCE = 1e-2
"""Sixteen bits change the length of a row by less."""


class Encoder(ABC):
    """Two towers, one space: cosines between their outputs say what fits together."""

    fingerprint: str
    """Identifies algorithm and weights; part of the key under which tokens are stored."""
    dimension: int
    """d, the length of an embedding."""
    facets: int
    """q, how many embeddings one picture has: 1 but for BLIP-2, which has one per query output."""
    calibration: Calibration | None = None
    """What tells a match from the best of nothing; None where nobody has measured it."""

    @abstractmethod
    def encode_images(self, images: Sequence[UInt8]) -> Float32:
        """[n, q, d] of n RGB pictures [height, width, 3] of any sizes; rows L2-normalised.

        The relevance of a picture to a text is the maximum over q of the dot product. The
        similarity of two pictures is the dot product of their L2-normalised means over q.

        Raises OptionError for anything else than such pictures.
        """

    @abstractmethod
    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """[n, d] of n texts; rows L2-normalised.

        Raises OptionError for a text without a word.
        """

    def limits(self, text: str) -> list[str]:
        """The kinds of word in a text that the encoder was not taught, each with an example."""
        return []

    def reads(self, language: str) -> bool:
        """Whether `encode_texts` was taught a language (ISO 639-1, such as "en" or "en-GB")."""
        return True

    def cannot_read(self, text: str) -> str:
        """A word of a text in a language that `encode_texts` was not taught; empty if none is."""
        return ""


def unit_rows(rows: Float32, shape: Sequence[int], name: str) -> Float32:
    """The embeddings that a back end gave, as float32. They have this shape, [..., d].

    Raises BackendError, which names the back end by its fingerprint `name`, unless all are finite
    and of length 1: cosines are taken of nothing else.
    """
    found = np.asarray(rows)
    wrong = f"the embeddings of {name!r} must be"
    if found.shape != tuple(shape):
        raise BackendError(f"{wrong} of shape {list(shape)}, got {list(found.shape)}")
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(found.astype(np.float32, copy=False), axis=-1)
    # NaN is near nothing.
    if not (far := ~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE)).any():
        unit: Float32 = found.astype(np.float32, copy=False)
        return unit
    raise BackendError(
        f"{wrong} finite and L2-normalised (docs/plugins.md), got one of length"
        f" {lengths[far].flat[0]:.4g}"
    )


def check_images(images: Sequence[UInt8]) -> None:
    """OptionError unless each is an RGB picture uint8 [height, width, 3] with a pixel in it."""
    for image in images:
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or image.size == 0:
            raise OptionError(
                "a picture must be RGB uint8 [height, width, 3],"
                f" got {image.dtype} {list(image.shape)}"
            )


def check_texts(texts: Sequence[str]) -> None:
    """OptionError for a text that is empty or nothing but space: its embedding means nothing."""
    for text in texts:
        if not text.strip():
            raise OptionError(f"a text to encode needs at least one word, got {text!r}")


def load(options: Any) -> Encoder:
    """The encoder that these options (`seal.config.MiniEncode`, ...) describe.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    encoder: Encoder = backends.make("encode", options, Encoder)
    return encoder
