"""Tiny image-text-to-text networks with random weights, in files as published models have them.

LLaVA, whose processor needs no torchvision, and the families that also take videos.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForImageTextToText,
    InternVLConfig,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
)

CONTEXT = 4096
MEAN, STD = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]
# Printable characters, space and line end, as byte-level tokenizers write them: with all bytes,
# most answers would be no text.
_ALPHABET = [*map(chr, range(33, 127)), "\u0120", "\u010a"]
_WIDTH = 32
_TEXT = {
    "hidden_size": _WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_VISION = {"hidden_size": _WIDTH, "intermediate_size": 32}
_LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
_QWEN_VISION = {**_VISION, "depth": 2, "num_heads": 2, "out_hidden_size": _WIDTH}
# What is said, in the form that nearly all chat templates have.
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Family(NamedTuple):
    """What tells one family of models from another."""

    image: str
    """What stands in the prompt for a picture."""
    special: dict[str, str]
    """Special tokens, by the name under which the processor asks the tokenizer for them."""
    config: Callable[[dict[str, Any], dict[str, int]], PreTrainedConfig]
    """The network, given the language model's settings and the number of each token."""
    files: dict[str, dict[str, Any]]
    """What the published models have beside the weights."""


def _llava(text: dict[str, Any], number: dict[str, int]) -> PreTrainedConfig:
    vision = {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8}
    return LlavaConfig(
        vision_config={**_VISION, **_LAYERS, **vision},
        text_config={"model_type": "llama", **text},
        image_token_index=number["<image>"],
        vision_feature_layer=-1,
    )


def _internvl(text: dict[str, Any], number: dict[str, int]) -> PreTrainedConfig:
    return InternVLConfig(
        vision_config={**_VISION, **_LAYERS, "image_size": 32, "patch_size": 8},
        text_config={"model_type": "qwen2", **text},
        image_token_id=number["<IMG_CONTEXT>"],
        image_seq_length=4,
    )


def _qwen_ids(number: dict[str, int]) -> dict[str, int]:
    return {
        "image_token_id": number["<|image_pad|>"],
        "video_token_id": number["<|video_pad|>"],
        "vision_start_token_id": number["<|vision_start|>"],
        "vision_end_token_id": number["<|vision_end|>"],
    }


def _qwen2_5_vl(text: dict[str, Any], number: dict[str, int]) -> PreTrainedConfig:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    vision = {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    return Qwen2_5_VLConfig(
        text_config={**text, "rope_parameters": rope},
        vision_config={**_QWEN_VISION, **vision},
        **_qwen_ids(number),
    )


def _qwen3_vl(text: dict[str, Any], number: dict[str, int]) -> PreTrainedConfig:
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2]}
    vision = {"patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    return Qwen3VLConfig(
        text_config={
            **text,
            "head_dim": 16,
            "rope_parameters": {**rope, "mrope_interleaved": True},
        },
        vision_config={**_QWEN_VISION, **vision},
        **_qwen_ids(number),
    )


def _qwen_files(processor: str, image_processor: str, patch_px: int) -> dict[str, dict[str, Any]]:
    values = {
        "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 64},
        "patch_size": patch_px,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_processor_type": image_processor,
        "processor_class": processor,
    }
    return {"preprocessor_config.json": values}


_SQUARE = {"height": 32, "width": 32}
_QWEN_SPECIAL = {
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}
_QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
FAMILIES = {
    "llava": Family(
        "<image>\n",
        {"image_token": "<image>"},
        _llava,
        {
            "processor_config.json": {
                "processor_class": "LlavaProcessor",
                "patch_size": 8,
                "vision_feature_select_strategy": "default",
                "num_additional_image_tokens": 1,
            },
            "preprocessor_config.json": {
                "image_processor_type": "CLIPImageProcessor",
                "size": _SQUARE,
                "crop_size": _SQUARE,
            },
        },
    ),
    "internvl": Family(
        "<IMG_CONTEXT>\n",
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        _internvl,
        {
            "processor_config.json": {
                "processor_class": "InternVLProcessor",
                "image_seq_length": 4,
            },
            "preprocessor_config.json": {
                "image_processor_type": "GotOcr2ImageProcessorFast",
                "crop_to_patches": False,
                "max_patches": 4,
                "size": _SQUARE,
            },
        },
    ),
    "qwen2_5_vl": Family(
        _QWEN_IMAGE,
        _QWEN_SPECIAL,
        _qwen2_5_vl,
        _qwen_files("Qwen2_5_VLProcessor", "Qwen2VLImageProcessor", 14),
    ),
    "qwen3_vl": Family(
        _QWEN_IMAGE,
        _QWEN_SPECIAL,
        _qwen3_vl,
        _qwen_files("Qwen3VLProcessor", "Qwen2VLImageProcessorFast", 16),
    ),
}


def save(folder: Path, name: str = "llava", context: int = CONTEXT) -> Path:
    """A model that reads ASCII; its answers are random but always the same."""
    family = FAMILIES[name]
    special = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *family.special.values()]
    number = {token: i for i, token in enumerate([*special, *_ALPHABET])}
    tokenizer = Tokenizer(models.BPE(vocab=number, merges=[]))
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=family.special,
    ).save_pretrained(folder)
    text = {**_TEXT, "vocab_size": len(number), "max_position_embeddings": context}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForImageTextToText.from_config(family.config(text, number)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        # Larger than the library's own initial values, with which all prompts give nearly one
        # answer and a wrong one would pass.
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, 0.3, generator=generator)
    model.save_pretrained(folder)
    for file, values in family.files.items():
        if file == "preprocessor_config.json":
            values = {**values, "image_mean": MEAN, "image_std": STD}
        (folder / file).write_text(json.dumps(values))
    (folder / "chat_template.jinja").write_text(_TEMPLATE.replace("IMAGE", family.image))
    return folder
