"""What texts, such as the turns of a transcript, have to do with a question.

static   word vectors without context (`wordllama`): a text is the mean of its word pieces
mini     the text tower of the encoder in the package
bm25     the words themselves, scaled to at most 1 over the texts; texts are compared with each
         other by static vectors
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from seal.config import MiniEncode
from seal.dependencies import dependency
from seal.encode import load
from seal.errors import BackendError, OptionError
from seal.types import Float32, Float64, Int64
from seal.weights import require

RELEVANCE = ("static", "mini", "bm25")
_K1, _B = 1.2, 0.75
_WORD = re.compile(r"[a-z0-9']+")
_TABLE = "weights/l2_supercat_256.safetensors"
_PIECES = "tokenizers/l2_supercat_tokenizer_config.json"

Embedder = Callable[[Sequence[str]], Float32]
"""From n texts to [n, d]: L2-normalised rows, or zeros for a text that means nothing."""


def embedder(relevance: str) -> Embedder:
    """What embeds texts for one of `RELEVANCE`.

    Raises OptionError, listing the valid names, for an unknown name, and BackendError if a package
    is missing.
    """
    if relevance not in RELEVANCE:
        raise OptionError(f"unknown relevance {relevance!r}; valid: {', '.join(RELEVANCE)}")
    return _mini() if relevance == "mini" else static_vectors()


@cache
def _mini() -> Embedder:
    encoder = load(MiniEncode())

    def embed(texts: Sequence[str]) -> Float32:
        vectors = np.zeros((len(texts), encoder.dimension), np.float32)
        rows = [i for i, text in enumerate(texts) if text.strip()]
        vectors[rows] = encoder.encode_texts([texts[i] for i in rows])
        return vectors

    return embed


@cache
def static_vectors() -> Embedder:
    """The mean of the word pieces of a text, by the table in the package `wordllama`.

    The package's files are read as they lie there: importing it sets up logging for the whole
    process, and its loader looks for the tokenizer in a folder that the package does not have.
    Raises BackendError if it is not installed.
    """
    package = find_spec("wordllama")
    if package is None or package.origin is None:
        raise BackendError(f"static word vectors need {_remedy()}")
    folder = Path(package.origin).parent
    open_tables = require("safetensors", "eval").safe_open
    try:
        with open_tables(folder / _TABLE, "np") as tables:
            table: Float32 = tables.get_tensor("embedding.weight").astype(np.float32)
        pieces = Tokenizer.from_file(str(folder / _PIECES))
    except Exception as error:  # The tokenizer has no error of its own.
        raise BackendError(f"wordllama is damaged ({error}): reinstall {_remedy()}") from error
    pieces.no_padding()
    pieces.no_truncation()

    def embed(texts: Sequence[str]) -> Float32:
        vectors = np.zeros((len(texts), table.shape[1]), np.float32)
        for vector, found in zip(
            vectors, pieces.encode_batch(list(texts), add_special_tokens=False), strict=True
        ):
            if found.ids:
                vector[:] = table[found.ids].mean(0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Float32 = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit

    return embed


def _remedy() -> str:
    wanted = dependency("wordllama", "eval")
    return f"{wanted}: {wanted.remedy}"


class Bm25:
    """Okapi BM25 over n texts, with the inverse document frequency of Lucene, never negative:

        sum over the words w of the query, each once, of
        log(1 + (n - n_w + 0.5) / (n_w + 0.5)) * f (k1 + 1) / (f + k1 (1 - b + b |text| / mean))

    f is how often w is in the text, n_w in how many texts it is (Robertson and Zaragoza 2009).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        words = [_words(text) for text in texts]
        lengths = np.array([len(each) for each in words], np.float64)
        self._norms: Float64 = _K1 * (1 - _B + _B * lengths / max(lengths.sum() / len(texts), 1e-9))
        self._places: dict[str, list[tuple[int, int]]] = {}
        for row, each in enumerate(words):
            for word, count in Counter(each).items():
                self._places.setdefault(word, []).append((row, count))

    def scores(self, query: str) -> Float64:
        """[n] at least 0."""
        n = len(self._norms)
        scores = np.zeros(n)
        for word in dict.fromkeys(_words(query)):
            places: Int64 = np.array(self._places.get(word, []), np.int64).reshape(-1, 2)
            rows, often = places.T
            weight = np.log1p((n - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[rows] += weight * often * (_K1 + 1) / (often + self._norms[rows])
        return scores


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
