"""Tiny networks of the SAM family with random weights, saved the way checkpoints are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Sam2Config,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    Sam3TrackerVideoConfig,
    Sam3TrackerVideoModel,
    Sam3VideoConfig,
    Sam3VideoModel,
    SamConfig,
    SamModel,
)

SIDE_PX = 128
SAM3_SIDE_PX, SAM3_PATCH_PX = 112, 14
SAM_HIDDEN = 32
SPREAD = 0.3
# The library writes some of the sizes of SAM 2 down as numbers: with less than this it fails.
SAM2_HIDDEN = 128


def _prompts(hidden: int, side: int, patch: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "image_size": side,
        "patch_size": patch,
        "mask_input_channels": 4,
    }


def _decoder(hidden: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
    }  # fmt: skip


def _sam2_parts(hidden: int) -> dict[str, Any]:
    sides = [SIDE_PX // 4, SIDE_PX // 8, SIDE_PX // 16]
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
        "image_size": [SIDE_PX, SIDE_PX], "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 4], "global_attention_blocks": [3],
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[side, side] for side in sides], "fpn_hidden_size": hidden,
    }  # fmt: skip
    return {
        "vision_config": vision,
        "prompt_encoder_config": _prompts(hidden, SIDE_PX, 16),
        "mask_decoder_config": _decoder(hidden),
    }


def sam() -> Any:
    vision = {
        "hidden_size": 16, "output_channels": SAM_HIDDEN, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": SIDE_PX, "patch_size": 16, "window_size": 4,
        "global_attn_indexes": [1], "mlp_dim": 32, "num_pos_feats": SAM_HIDDEN // 2,
    }  # fmt: skip
    return SamModel(
        SamConfig(
            vision_config=vision,
            prompt_encoder_config=_prompts(SAM_HIDDEN, SIDE_PX, 16),
            mask_decoder_config=_decoder(SAM_HIDDEN),
        )
    )


def sam2() -> Any:
    return Sam2Model(Sam2Config(**_sam2_parts(SAM_HIDDEN)))


def _memory(hidden: int, side: int) -> dict[str, Any]:
    """What follows objects, where an embedding has `side` places along each side."""
    return {
        "memory_attention_hidden_size": hidden, "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 32,
        "memory_attention_rope_feat_sizes": [side, side],
        "memory_encoder_hidden_size": hidden, "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": hidden, "memory_fuser_num_layers": 1,
        "memory_fuser_embed_dim": hidden, "memory_fuser_intermediate_dim": 32,
    }  # fmt: skip


def sam2_video() -> Any:
    hidden = SAM2_HIDDEN
    return Sam2VideoModel(
        Sam2VideoConfig(**_sam2_parts(hidden), **_memory(hidden, SIDE_PX // 16), image_size=SIDE_PX)
    )


def _sam3_vision(hidden: int = SAM_HIDDEN) -> dict[str, Any]:
    patches = SAM3_SIDE_PX // SAM3_PATCH_PX
    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SAM3_SIDE_PX,
        "patch_size": SAM3_PATCH_PX, "window_size": 4, "global_attn_indexes": [1],
        "pretrain_image_size": SAM3_SIDE_PX,
    }  # fmt: skip
    return {
        "model_type": "sam3_vision_model", "backbone_config": backbone,
        "fpn_hidden_size": hidden,
        "backbone_feature_sizes": [[patches * k, patches * k] for k in (4, 2, 1)],
    }  # fmt: skip


def sam3() -> Any:
    return Sam3TrackerModel(
        Sam3TrackerConfig(
            vision_config=_sam3_vision(),
            prompt_encoder_config=_prompts(SAM_HIDDEN, SAM3_SIDE_PX, SAM3_PATCH_PX),
            mask_decoder_config=_decoder(SAM_HIDDEN),
        )
    )


def _sam3_tracker(hidden: int) -> dict[str, Any]:
    return _memory(hidden, SAM3_SIDE_PX // SAM3_PATCH_PX) | {
        "model_type": "sam3_tracker_video",
        "vision_config": _sam3_vision(hidden),
        "prompt_encoder_config": _prompts(hidden, SAM3_SIDE_PX, SAM3_PATCH_PX),
        "mask_decoder_config": _decoder(hidden),
        "image_size": SAM3_SIDE_PX,
    }


def sam3_video() -> Any:
    """The whole of SAM 3, which is what is published: a detector and a tracker with one encoder."""
    part = {"hidden_size": SAM2_HIDDEN, "num_attention_heads": 2}
    layers = part | {"intermediate_size": 32, "num_layers": 1}
    text = {
        "model_type": "clip_text_model", "vocab_size": 50, "hidden_size": 32,
        "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "projection_dim": 32,
    }  # fmt: skip
    detector = {
        "model_type": "sam3", "vision_config": _sam3_vision(SAM2_HIDDEN), "text_config": text,
        "geometry_encoder_config": layers, "detr_encoder_config": layers,
        "detr_decoder_config": layers | {"num_queries": 5}, "mask_decoder_config": part,
    }  # fmt: skip
    tracker = _sam3_tracker(SAM2_HIDDEN)
    return Sam3VideoModel(Sam3VideoConfig(detector_config=detector, tracker_config=tracker))


def sam3_tracker() -> Any:
    return Sam3TrackerVideoModel(Sam3TrackerVideoConfig(**_sam3_tracker(SAM2_HIDDEN)))


BUILDERS = {
    "sam": sam,
    "sam2": sam2,
    "sam2_video": sam2_video,
    "sam3": sam3,
    "sam3_tracker": sam3_tracker,
    "sam3_video": sam3_video,
}


def save(kind: str, folder: Path, seed: int = 2) -> str:
    """Build a network of `BUILDERS`, save it in `folder` and return the folder's name."""
    torch.manual_seed(1)
    model = BUILDERS[kind]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        # The library's own initial values are so small that all masks are alike and empty, and a
        # wrong one would pass.
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, SPREAD, generator=generator)
    model.save_pretrained(folder)
    return str(folder)
