"""CLIP and SigLIP encoders agree with the library's own forward pass."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seal.config import ClipEncode, MetaClip2Encode, NaflexEncode, SiglipEncode
from seal.encode import Encoder, load
from seal.errors import BackendError, OptionError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tiny = pytest.importorskip("tiny_encoders")

LONG = "a red dog on a mat " * 526  # 9,994 characters


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Encoder:
    return load(ClipEncode(weights=str(clip_folder), device="cpu", batch_size=4))


@pytest.fixture(scope="module")
def siglip(siglip_folder: Path) -> Encoder:
    return load(SiglipEncode(weights=str(siglip_folder), device="cpu", batch_size=4))


def cosines(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """[pictures, texts] of the tiny pictures, which have one row each."""
    return encoder.encode_images(tiny.pictures())[:, 0] @ encoder.encode_texts(texts).T


def library_logits(folder: Path, texts: list[str], **words: object) -> np.ndarray:
    """What the library's processor and whole model say, called as its documentation does."""
    processor = transformers.AutoProcessor.from_pretrained(folder, backend="pil")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = processor(
        images=[Image.fromarray(picture) for picture in tiny.pictures()],
        text=texts,
        truncation=True,
        return_tensors="pt",
        **words,
    )
    with torch.no_grad():
        return model(**inputs).logits_per_image.numpy()


def test_clip_gives_the_logits_of_the_library(clip: Encoder, clip_folder: Path) -> None:
    texts = [*tiny.TEXTS, LONG]
    scale = transformers.CLIPModel.from_pretrained(clip_folder).logit_scale.exp().item()
    expected = library_logits(clip_folder, texts, padding=True)
    np.testing.assert_allclose(scale * cosines(clip, texts), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 1  # else any pictures would do


def test_siglip_gives_the_logits_of_the_library(siglip: Encoder, siglip_folder: Path) -> None:
    texts = [*tiny.TEXTS, LONG]
    model = transformers.SiglipModel.from_pretrained(siglip_folder)
    scale, bias = model.logit_scale.exp().item(), model.logit_bias.item()
    # The library leaves the lower case of version 2 to its caller.
    lower = [text.lower() for text in texts]
    expected = library_logits(siglip_folder, lower, padding="max_length", max_length=64)
    np.testing.assert_allclose(scale * cosines(siglip, texts) + bias, expected, atol=1e-4 * scale)
    assert np.ptp(expected, axis=0).min() > 0.1 * scale


def test_metaclip2_gives_the_logits_of_the_library(tmp_path: Path) -> None:
    folder = tiny.save_metaclip2(tmp_path)
    encoder = load(MetaClip2Encode(weights=str(folder), device="cpu", batch_size=4))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = transformers.MetaClip2Model.from_pretrained(folder).eval()
    pictures = [Image.fromarray(picture) for picture in tiny.pictures()]
    inputs = processor(pictures, return_tensors="pt")
    words = tokenizer(tiny.TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs, **words).logits_per_image.numpy()
    scale = model.logit_scale.exp().item()
    np.testing.assert_allclose(scale * cosines(encoder, tiny.TEXTS), expected, atol=1e-4 * scale)
    assert np.ptp(expected, axis=0).min() > 0.1 * scale


@pytest.mark.parametrize("max_patches", [9, 16])
def test_naflex_gives_the_logits_of_the_library(tmp_path: Path, max_patches: int) -> None:
    folder = tiny.save_naflex(tmp_path)
    options = {"weights": str(folder), "device": "cpu", "max_patches": max_patches}
    encoder = load(NaflexEncode(batch_size=4, **options))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = transformers.Siglip2Model.from_pretrained(folder).eval()
    pictures = [Image.fromarray(picture) for picture in tiny.pictures()]
    inputs = processor(pictures, max_num_patches=max_patches, return_tensors="pt")
    lower = [text.lower() for text in tiny.TEXTS]
    words = tokenizer(lower, padding="max_length", max_length=64, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs, input_ids=words.input_ids).logits_per_image.numpy()
    scale, bias = model.logit_scale.exp().item(), model.logit_bias.item()
    found = scale * cosines(encoder, tiny.TEXTS) + bias
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)
    assert np.ptp(expected, axis=0).min() > 0.1 * scale
    assert encoder.fingerprint.endswith(f" {max_patches} patches")


def test_naflex_needs_a_patch() -> None:
    with pytest.raises(OptionError, match="max_patches"):
        NaflexEncode(max_patches=0)


def test_siglip_reads_capitals_as_it_was_trained_to(siglip: Encoder, siglip_folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(siglip_folder)
    assert tokenizer("A DOG").input_ids != tokenizer("a dog").input_ids  # else nothing is tested
    capital, lower = siglip.encode_texts(["A DOG", "a dog"])
    np.testing.assert_array_equal(capital, lower)


def test_pixels_are_those_of_pillow(clip: Encoder, clip_folder: Path) -> None:
    """Whatever else is installed: torchvision resizes a little differently."""
    picture = tiny.pictures()[-2]  # 200 x 301
    width = int(301 * tiny.SIDE_PX / 200)
    resized = Image.fromarray(picture).resize((width, tiny.SIDE_PX), Image.Resampling.BICUBIC)
    left = (width - tiny.SIDE_PX) // 2
    square = np.asarray(resized)[:, left : left + tiny.SIDE_PX] / 255
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    pixels = torch.tensor((square - mean) / std).float().permute(2, 0, 1)[None]
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    with torch.no_grad():
        row = model.visual_projection(model.vision_model(pixels).pooler_output)[0].numpy()
    expected = row / np.linalg.norm(row)
    np.testing.assert_allclose(clip.encode_images([picture])[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_words_past_the_limit_change_nothing(name: str, request: pytest.FixtureRequest) -> None:
    a, b, c = request.getfixturevalue(name).encode_texts([LONG + "x", LONG + "y", "x" + LONG])
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3


def test_other_architectures_are_refused(clip_folder: Path, siglip_folder: Path) -> None:
    with pytest.raises(BackendError, match=r"'siglip'.*ClipEncoder.*'clip'"):
        load(ClipEncode(weights=str(siglip_folder), device="cpu"))
    with pytest.raises(BackendError, match=r"'clip'.*SiglipEncoder.*'siglip'"):
        load(SiglipEncode(weights=str(clip_folder), device="cpu"))


@pytest.mark.parametrize("missing", ["tokenizer", "preprocessor_config"])
def test_an_incomplete_folder_is_an_error(missing: str, clip_folder: Path, tmp_path: Path) -> None:
    for path in clip_folder.iterdir():
        if not path.name.startswith(missing):
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(BackendError, match=missing):
        load(ClipEncode(weights=str(tmp_path), device="cpu"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", '{"model_type": "clip", "projection_dim": "many"}'),
        ("preprocessor_config.json", ""),
        ("tokenizer.json", "{}"),
        ("tokenizer_config.json", "{"),
    ],
)
def test_a_damaged_file_is_an_error(
    name: str, content: str, clip_folder: Path, tmp_path: Path
) -> None:
    for path in clip_folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text(content)
    with pytest.raises(BackendError, match=tmp_path.name):
        load(ClipEncode(weights=str(tmp_path), device="cpu"))


def test_siglip_2_of_fixed_size_is_a_siglip(tmp_path: Path) -> None:
    """The library gives the classes of SigLIP for the configuration that version 2 came with."""
    published = {
        "model_type": "siglip",
        "text_config": {"model_type": "siglip_text_model", "vocab_size": 256000},
        "vision_config": {"model_type": "siglip_vision_model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(published))
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        assert type(transformers.AutoModel.from_config(config)) is transformers.SiglipModel
    assert config.vision_config.hidden_size == 768
    assert config.text_config.max_position_embeddings == 64
