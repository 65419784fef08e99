"""What every encoder promises, checked on every encoder of the table of back ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seal import backends
from seal.config import Blip2Encode, ClipEncode, MetaClip2Encode, NaflexEncode, SiglipEncode
from seal.encode import Encoder, load
from seal.errors import BackendError, OptionError
from seal.types import UInt8

TINY = {
    "blip2": Blip2Encode,
    "clip": ClipEncode,
    "siglip": SiglipEncode,
    "naflex": NaflexEncode,
    "metaclip2": MetaClip2Encode,
}
"""Those that run transformers networks, here tiny ones with random weights."""

RNG = np.random.default_rng(11)
SIZES = [(48, 64), (64, 48), (32, 32), (7, 90), (90, 7), (3, 40), (40, 3), (1, 1), (270, 480)]
PICTURES = [RNG.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
TEXTS = [
    "a dog runs",
    "two cats on a red mat",
    "?",
    "  spaces\nand\tlines ",
    "žluťoučký kůň 犬 🐕",
    "a man opens a door " * 527,  # 10,013 characters
]


def tiny_folder(name: str, folder: Path) -> Path:
    tiny = pytest.importorskip("tiny_encoders", reason="needs the [models] extra")
    save: Callable[[Path], Path] = getattr(tiny, f"save_{name}")
    return save(folder)


@pytest.fixture(scope="module", params=backends.names("encode"))
def options(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name = request.param
    if name in TINY:
        folder = tiny_folder(name, tmp_path_factory.mktemp(name))
        return TINY[name](weights=str(folder), device="cpu", batch_size=4)
    return backends.default_options("encode", name)


@pytest.fixture(scope="module")
def encoder(options: Any) -> Encoder:
    return load(options)


@pytest.fixture(scope="module")
def rows(encoder: Encoder) -> np.ndarray:
    return encoder.encode_images(PICTURES)


@pytest.fixture(scope="module")
def words(encoder: Encoder) -> np.ndarray:
    return encoder.encode_texts(TEXTS)


def test_shapes_and_norms(encoder: Encoder, rows: np.ndarray, words: np.ndarray) -> None:
    assert isinstance(encoder, Encoder)
    assert rows.shape == (len(PICTURES), encoder.facets, encoder.dimension)
    assert words.shape == (len(TEXTS), encoder.dimension)
    assert rows.dtype == words.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, atol=1e-5)


def test_nothing_in_nothing_out(encoder: Encoder) -> None:
    nothing = encoder.encode_images([]), encoder.encode_texts([])
    assert nothing[0].shape == (0, encoder.facets, encoder.dimension)
    assert nothing[1].shape == (0, encoder.dimension)
    assert nothing[0].dtype == nothing[1].dtype == np.float32


def test_one_by_one_is_the_same_as_all_at_once(
    encoder: Encoder, rows: np.ndarray, words: np.ndarray
) -> None:
    single = np.concatenate([encoder.encode_images([picture]) for picture in PICTURES])
    np.testing.assert_allclose(single, rows, atol=1e-5)
    single = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(single, words, atol=1e-5)


def test_the_order_is_kept(encoder: Encoder, rows: np.ndarray, words: np.ndarray) -> None:
    np.testing.assert_allclose(encoder.encode_images(PICTURES[::-1])[::-1], rows, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS[::-1])[::-1], words, atol=1e-5)


def test_what_differs_is_told_apart(encoder: Encoder) -> None:
    plain = np.zeros((32, 48, 3), np.uint8)
    red, blue = plain.copy(), plain.copy()
    red[..., 0] = blue[..., 2] = 255
    a, b = encoder.encode_images([red, blue]).reshape(2, -1)
    assert np.abs(a - b).max() > 1e-3
    a, b = encoder.encode_texts(TEXTS[:2])
    assert np.abs(a - b).max() > 1e-3


def test_crops_are_read_where_they_are(encoder: Encoder) -> None:
    """Views into a frame, mirrored or read-only ones too, and none of them is written to."""
    frame: UInt8 = PICTURES[-1].copy()
    before = frame.copy()
    frame.flags.writeable = False
    views = [frame[20:90, 33:140], frame[:, ::-1], frame[::2, ::3]]
    copies = [np.ascontiguousarray(view) for view in views]
    np.testing.assert_array_equal(encoder.encode_images(views), encoder.encode_images(copies))
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_texts_without_a_word_are_refused(encoder: Encoder, text: str) -> None:
    with pytest.raises(OptionError, match="at least one word"):
        encoder.encode_texts(["a dog", text])


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3), (8, 8, 3, 1)])
def test_what_is_no_picture_is_refused(encoder: Encoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match=r"RGB uint8 \[height, width, 3\], got uint8"):
        encoder.encode_images([PICTURES[0], np.zeros(shape, np.uint8)])
    with pytest.raises(OptionError, match="float32"):
        encoder.encode_images([PICTURES[0].astype(np.float32)])


def test_loading_again_gives_the_same(encoder: Encoder, options: Any, rows: np.ndarray) -> None:
    again = load(options)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode_images(PICTURES), rows)


def test_fingerprints_differ(encoder: Encoder, tmp_path: Path) -> None:
    """Tokens of one encoder are never compared with words of another."""
    others = [
        load(TINY[name](weights=str(tiny_folder(name, tmp_path / name)), device="cpu"))
        for name in TINY
    ]
    assert len({other.fingerprint for other in others}) == len(TINY)
    assert [other.fingerprint for other in others].count(encoder.fingerprint) == 0


def run(program: str, *arguments: str) -> str:
    """What a fresh Python prints; a module set to None there cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_a_missing_extra_says_what_to_install(missing: str) -> None:
    if missing == "transformers":
        pytest.importorskip("torch")
    printed = run(
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from seal import config, encode, errors\n"
        "for options in (config.Blip2Encode, config.ClipEncode, config.SiglipEncode):\n"
        "    try: encode.load(options(weights='nowhere'))\n"
        "    except errors.BackendError as error: print(error)\n",
        missing,
    )
    lines = printed.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert missing in line
        assert 'pip install "seal-video[models]"' in line


def test_the_shipped_encoder_needs_no_extra() -> None:
    printed = run(
        "import sys\n"
        "for name in ('torch', 'transformers', 'safetensors', 'huggingface_hub', 'scipy'):\n"
        "    sys.modules[name] = None\n"
        "from seal import config, encode\n"
        "print(encode.load(config.MiniEncode()).encode_texts(['a dog']).shape)\n"
    )
    assert printed.startswith("(1, ")


@pytest.mark.parametrize("name", TINY)
def test_weights_that_are_not_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(BackendError, match="someone/nothing"):
        load(TINY[name](weights="someone/nothing", device="cpu"))
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(BackendError, match=r"config\.json"):
        load(TINY[name](weights=str(tmp_path), device="cpu"))
