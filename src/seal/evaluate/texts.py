"""What texts, such as the turns of a transcript, have to do with a question.

static   word vectors without context (`wordllama`): a text is the mean of its word pieces
mini     the text tower of the encoder in the package
bm25     the words themselves (`seal.words.index`); texts are compared with each other by static
         vectors
words, words-static   the words, the passages around them and their meaning in one score
         (`seal.attention.words`); the meaning by mini or by static vectors
"""

from __future__ import annotations

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
from seal.types import Float32
from seal.weights import require

RELEVANCE = ("static", "mini", "bm25", "words", "words-static")
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
    return _mini() if relevance in ("mini", "words") else static_vectors()


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

    The package's files are read as they lie there. Importing it sets up logging for the whole
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
