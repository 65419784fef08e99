"""The BLIP-2 encoder agrees with the library's own image-text contrastive forward pass."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seal.config import Blip2Encode
from seal.encode import Encoder, load
from seal.errors import BackendError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tiny = pytest.importorskip("tiny_encoders")

LONG = "a red dog on a mat " * 526  # 9,994 characters


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_blip2(tmp_path_factory.mktemp("blip2"), queries=5)


def encoder_of(folder: Path) -> Encoder:
    return load(Blip2Encode(weights=str(folder), device="cpu", batch_size=4))


@pytest.mark.parametrize("image_tokens", [False, True])
def test_relevance_is_the_contrastive_logit_of_the_library(
    tmp_path: Path, image_tokens: bool
) -> None:
    """With and without the image tokens that newer checkpoints put in front of the text."""
    tiny.save_blip2(tmp_path, queries=5, image_tokens=image_tokens)
    model = transformers.Blip2ForImageTextRetrieval.from_pretrained(tmp_path).eval()
    processor = transformers.AutoProcessor.from_pretrained(tmp_path, backend="pil")
    # One processor call takes as many texts as pictures where it puts image tokens before them.
    pictures, texts = tiny.pictures()[:6], tiny.TEXTS
    inputs = processor(
        images=[Image.fromarray(picture) for picture in pictures],
        text=texts,
        padding=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        expected = model(**inputs, use_image_text_matching_head=False).logits_per_image.numpy()
    encoder = encoder_of(tmp_path)
    facets, words = encoder.encode_images(pictures), encoder.encode_texts(texts)
    cosines = facets @ words.T  # [picture, query output, text]
    assert facets.shape == (6, 5, encoder.dimension)
    np.testing.assert_allclose(cosines.max(1), expected, atol=1e-5)
    assert np.abs(cosines.mean(1) - expected).max() > 0.05  # else any choice of outputs would do


def test_texts_are_cut_off_where_training_ended(folder: Path) -> None:
    encoder = encoder_of(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    words = tokenizer([LONG], truncation=True, max_length=32, return_tensors="pt")
    model = transformers.Blip2TextModelWithProjection.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(words.input_ids, words.attention_mask).text_embeds[:, 0].numpy()
    cut, longer, other = encoder.encode_texts([LONG, LONG + "x", "x" + LONG])
    np.testing.assert_allclose(cut, expected[0], atol=1e-5)
    np.testing.assert_array_equal(cut, longer)
    assert np.abs(cut - other).max() > 1e-3


def test_a_query_does_not_load_the_picture_side(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the picture side was loaded")

    encoder = encoder_of(folder)
    monkeypatch.setattr(transformers.Blip2VisionModelWithProjection, "from_pretrained", refuse)
    assert encoder.encode_texts(["a dog"]).shape == (1, encoder.dimension)


def test_a_checkpoint_that_writes_captions_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "captions"))
    config = json.loads((copy / "config.json").read_text())
    config["architectures"] = ["Blip2ForConditionalGeneration"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackendError, match=r"ConditionalGeneration.*blip2-itm-vit-g"):
        encoder_of(copy)
