"""The embedded encoder against slow references of its parts, and on real clips."""

import importlib.util
import json
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from seal import encode
from seal.config import MiniEncode
from seal.dependencies import onnxruntime
from seal.encode import mini
from seal.encode.mini import MiniEncoder
from seal.errors import BackendError, OptionError


@pytest.fixture(scope="module")
def encoder() -> MiniEncoder:
    return MiniEncoder(MiniEncode())


def pictures(count: int, height: int = 90, width: int = 160) -> list[np.ndarray]:
    """Smooth random pictures, all different."""
    rng = np.random.default_rng(7)
    return [
        cv2.resize(rng.integers(0, 256, (5, 5, 3), np.uint8), (width, height)) for _ in range(count)
    ]


def wordpieces(text: str, vocabulary: dict[str, int]) -> list[int]:
    """WordPiece (Wu et al. 2016, as in BERT) of plain ASCII text: longest match first."""
    ids = []
    for word in re.findall(r"[a-z0-9]+|[^a-z0-9\s]", text.lower()):
        start = 0
        while start < len(word):
            pieces = [
                ("##" if start else "") + word[start:end] for end in range(len(word), start, -1)
            ]
            piece = next(p for p in pieces if p in vocabulary)
            ids.append(vocabulary[piece])
            start += len(piece.removeprefix("##"))
    return ids


def test_the_registry_makes_it():
    encoder = encode.load(MiniEncode())
    assert isinstance(encoder, MiniEncoder)
    assert (encoder.dimension, encoder.facets) == (256, 1)


@pytest.mark.parametrize(
    "text",
    [
        "a red car",
        "A black swan, swimming in a pond!",
        "paragliders unloading hyperboloids",
        "dog " * 500,
    ],
)
def test_a_text_is_the_mean_of_its_word_pieces(encoder: MiniEncoder, text: str):
    file = json.loads((mini.WEIGHTS / "tokenizer.json").read_text())
    with np.load(mini.WEIGHTS / "text.npz", allow_pickle=False) as stored:
        table, scale = stored["table"], stored["scale"]
    ids = wordpieces(text, file["model"]["vocab"])
    total = [0.0] * encoder.dimension
    for i in ids:
        for j, value in enumerate(table[i].tolist()):
            total[j] += float(scale[i]) * value
    length = math.sqrt(sum(value * value for value in total))
    reference = [value / length for value in total]
    np.testing.assert_allclose(encoder.encode_texts([text])[0], reference, atol=1e-5)


def test_a_picture_is_squashed_run_and_normalised(encoder: MiniEncoder):
    # 256 x 384 shrinks by whole factors, so area averaging is a plain mean over tiles.
    picture = pictures(1, 256, 384)[0]
    tiles = picture.reshape(128, 2, 128, 3, 3).astype(np.float64).mean((1, 3))
    ort, path = onnxruntime(), mini.WEIGHTS / "image.onnx"
    net = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (out,) = net.run(None, {"pictures": np.rint(tiles)[None].astype(np.uint8)})
    wanted = out[0] / math.sqrt(float((out[0].astype(np.float64) ** 2).sum()))
    # The two ways round halves differently here and there.
    assert float(encoder.encode_images([picture])[0, 0] @ wanted) > 0.999


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (127, 128), (128, 128), (129, 64), (720, 1280)])
def test_any_size_of_picture(encoder: MiniEncoder, size: tuple[int, int]):
    for picture in (*pictures(1, *size), np.full((*size, 3), 128, np.uint8)):
        embedding = encoder.encode_images([picture])
        assert embedding.shape == (1, 1, 256)
        assert embedding.dtype == np.float32
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_neither_batch_nor_company_matters(encoder: MiniEncoder):
    many = pictures(mini.BATCH + 5)
    together = encoder.encode_images(many)
    alone = np.concatenate([encoder.encode_images([picture]) for picture in many])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    texts = ["a dog", "two people on a very long walk in the snow", "sky"]
    rows = [encoder.encode_texts([text])[0] for text in texts]
    np.testing.assert_array_equal(encoder.encode_texts(texts), rows)


def test_two_encoders_agree(encoder: MiniEncoder):
    other = MiniEncoder(MiniEncode())
    assert other.fingerprint == encoder.fingerprint
    few = pictures(3)
    np.testing.assert_allclose(other.encode_images(few), encoder.encode_images(few), atol=1e-5)


def test_nothing_in_nothing_out(encoder: MiniEncoder):
    assert encoder.encode_images([]).shape == (0, 1, 256)
    assert encoder.encode_texts([]).shape == (0, 256)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_what_is_no_picture_is_refused(encoder: MiniEncoder, picture: np.ndarray):
    with pytest.raises(OptionError, match="RGB uint8"):
        encoder.encode_images([picture])


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_refused(encoder: MiniEncoder, text: str):
    with pytest.raises(OptionError, match="at least one word"):
        encoder.encode_texts(["a dog", text])


def test_signs_outside_the_vocabulary_have_an_embedding(encoder: MiniEncoder):
    embeddings = encoder.encode_texts(["🦢", "Ein Hund läuft über die Straße", "狗"])
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_the_fingerprint_is_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = MiniEncoder(MiniEncode()).fingerprint
    for name in mini.FILES:
        (tmp_path / name).write_bytes((mini.WEIGHTS / name).read_bytes())
    monkeypatch.setattr(mini, "WEIGHTS", tmp_path)
    assert MiniEncoder(MiniEncode()).fingerprint == before
    with np.load(tmp_path / "text.npz") as stored:
        table, scale = stored["table"].copy(), stored["scale"]
    table[1000] += 1
    np.savez(tmp_path / "text.npz", table=table, scale=scale)
    assert MiniEncoder(MiniEncode()).fingerprint != before
    (tmp_path / "image.onnx").unlink()
    with pytest.raises(BackendError, match=r"lacks image\.onnx"):
        MiniEncoder(MiniEncode())


def test_both_towers_are_small():
    assert sum((mini.WEIGHTS / name).stat().st_size for name in mini.FILES) <= 15e6


def test_texts_that_say_the_same_are_close(encoder: MiniEncoder):
    a, same, other = encoder.encode_texts(
        ["a dog runs on the grass", "a puppy running across a lawn", "a city street at night"]
    )
    assert a @ same > a @ other + 0.2


def test_it_finds_real_clips_by_their_descriptions(encoder: MiniEncoder, shared_data: Path):
    file = Path(__file__).parents[1] / "benchmarks" / "mini_needles.py"
    spec = importlib.util.spec_from_file_location("mini_needles", file)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    first, _ = benchmark.needle_ranks(encoder, shared_data)
    # By chance 5 of 19 are among the first five; 10 or more with a probability of 0.006.
    assert (first < 5).sum() >= 10
    # By chance the mean rank is 9.
    assert first.mean() < 6
