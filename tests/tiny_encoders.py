"""Tiny image-text networks with random weights, saved the way the published checkpoints are."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, processors
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    MetaClip2Config,
    MetaClip2Model,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from seal.types import UInt8

SIDE_PX = 32
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
VISION = TOWER | {"image_size": SIDE_PX, "patch_size": 8}


def pictures() -> list[UInt8]:
    """RGB pictures of many sizes: wide, tall, tiny, and some whose axes are easily confused."""
    rng = np.random.default_rng(7)
    sizes = [(40, 60), (32, 32), (90, 20), (3, 50), (50, 3), (1, 1), (33, 64), (200, 301), (3, 3)]
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


TEXTS = ["a dog", "A Dog", "two cats on a red mat", "!", "x", "the very same words"]


def _scatter(model: torch.nn.Module) -> Any:
    """Weights so large that outputs differ from each other; the library's own initial values make
    all pictures (and all query outputs of BLIP-2) nearly equal, and a wrong one would pass."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, 0.3, generator=generator)
    return model.eval()


def save_clip(folder: Path) -> Path:
    """A CLIP with the real tokenizer class over single letters."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation, "Ġ"]
    words = [*letters, *(letter + "</w>" for letter in letters)]
    vocabulary = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    start, end = len(vocabulary) - 2, len(vocabulary) - 1
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": SIDE_PX}, crop_size={"height": SIDE_PX, "width": SIDE_PX}
    ).save_pretrained(folder)
    text = TOWER | {"vocab_size": len(vocabulary), "max_position_embeddings": 77}
    text |= {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    _scatter(CLIPModel(config)).save_pretrained(folder)
    return folder


def _save_gemma(folder: Path) -> int:
    """A Gemma tokenizer that ends texts with <eos>, returns no mask, and keeps capitals apart, and
    the number of its words."""
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "▁"]
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    vocabulary = {word: i for i, word in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.post_processor = processors.TemplateProcessing("$A <eos>", None, [("<eos>", 1)])
    tokenizer.add_special_tokens(special)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    described = names | {
        "tokenizer_class": "GemmaTokenizer",
        "model_input_names": ["input_ids"],
        "add_bos_token": False,
        "add_eos_token": True,
        "padding_side": "right",
        "processor_class": "SiglipProcessor",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    return len(vocabulary)


def _text(words: int) -> dict[str, int]:
    text = TOWER | {"vocab_size": words, "max_position_embeddings": 64}
    return text | {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}


def save_siglip(folder: Path) -> Path:
    """A SigLIP laid out as the SigLIP 2 checkpoints of fixed size are: the classes of SigLIP."""
    text = _text(_save_gemma(folder)) | {"projection_size": 32}
    SiglipImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}, resample=2).save_pretrained(
        folder
    )
    config = SiglipConfig(text_config=text, vision_config=VISION)
    _scatter(SiglipModel(config)).save_pretrained(folder)
    return folder


def save_naflex(folder: Path) -> Path:
    """A SigLIP 2 whose pictures keep their proportions."""
    text = _text(_save_gemma(folder)) | {"projection_size": 32}
    Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16).save_pretrained(folder)
    vision = TOWER | {"patch_size": 8, "num_patches": 16}
    _scatter(Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))).save_pretrained(
        folder
    )
    return folder


def save_metaclip2(folder: Path) -> Path:
    """A MetaCLIP 2, whose tokenizer knows the letters of many languages."""
    words = _save_gemma(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": SIDE_PX}, crop_size={"height": SIDE_PX, "width": SIDE_PX}
    ).save_pretrained(folder)
    config = MetaClip2Config(text_config=_text(words), vision_config=VISION, projection_dim=24)
    _scatter(MetaClip2Model(config)).save_pretrained(folder)
    return folder


def save_blip2(folder: Path, queries: int = 4, *, image_tokens: bool = False) -> Path:
    """A BLIP-2 with image-text heads; `image_tokens` as in checkpoints saved since mid-2024."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters)]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    size = {"height": SIDE_PX, "width": SIDE_PX}
    processor = Blip2Processor(
        BlipImageProcessorPil(size=size),
        tokenizer,
        num_query_tokens=queries if image_tokens else None,
    )
    processor.save_pretrained(folder)
    qformer = TOWER | {"vocab_size": len(tokenizer), "use_qformer_text_input": True}
    # The language model is no part of this network, but its configuration is.
    language = {"model_type": "opt", "hidden_size": 32, "word_embed_proj_dim": 32}
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=qformer | {"max_position_embeddings": 64},
        text_config=language,
        num_query_tokens=queries,
        image_text_hidden_size=24,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>") if image_tokens else None,
    )
    _scatter(Blip2ForImageTextRetrieval(config)).save_pretrained(folder)
    return folder
