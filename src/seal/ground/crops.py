"""Embeddings of tokens from their pixels: TimeSformer over the crops of a track.

    net = CropBackbone(CropOptions())
    embeddings = net(prepare(crops, net.sizes))   # where the stored embeddings go: `Positions`

The stored embeddings come from an encoder that looks at one picture at a time. This one sees a
token's crops in order, so that it can tell what moves how; it is trained together with the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

from seal.config import CropOptions
from seal.encode import check_images
from seal.errors import OptionError
from seal.types import UInt8
from seal.weights import library_class

# Of the pictures that the published checkpoints were trained with (preprocessor_config.json).
_MEAN, _SPREAD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


class CropBackbone(nn.Module):
    """`TimesformerModel` of the transformers library, with random weights or those of a checkpoint.

    Raises BackendError if transformers is not there.
    """

    def __init__(self, sizes: CropOptions, model: Any = None) -> None:
        super().__init__()
        self.sizes = sizes
        self.model = model or library_class("TimesformerModel")(_config(sizes))
        self.out = nn.Linear(sizes.width, sizes.dimension)

    def forward(self, crops: Tensor) -> Tensor:
        """[n, dimension], L2-normalised, of crops [n, frames, 3, side, side] from `prepare`."""
        # The first output is the one that looked at everything.
        seen = self.model(crops).last_hidden_state[:, 0]
        return F.normalize(self.out(seen), dim=-1)


def prepare(tracks: Sequence[Sequence[UInt8]], sizes: CropOptions) -> Tensor:
    """Of n tracks, each some RGB crops [height, width, 3] of any sizes: [n, frames, 3, side, side].

    A track gives `frames` of its crops, evenly spread; one with fewer shows some of them longer.
    Raises OptionError for a track without crops, or if a crop is no picture.
    """
    clips = np.empty((len(tracks), sizes.frames, sizes.side_px, sizes.side_px, 3), np.float32)
    for clip, crops in zip(clips, tracks, strict=True):
        if not len(crops):
            raise OptionError("a track needs at least one crop")
        check_images(crops)
        at = ((np.arange(sizes.frames) + 0.5) * len(crops) / sizes.frames).astype(int)
        for frame, i in zip(clip, at, strict=True):
            frame[:] = cv2.resize(crops[i], (sizes.side_px, sizes.side_px))
    scaled = (clips / 255 - np.array(_MEAN, np.float32)) / np.array(_SPREAD, np.float32)
    return torch.from_numpy(scaled.transpose(0, 1, 4, 2, 3).copy())


def _config(sizes: CropOptions) -> Any:
    return library_class("TimesformerConfig")(
        image_size=sizes.side_px,
        patch_size=sizes.patch_px,
        num_frames=sizes.frames,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.width,
        attention_type="divided_space_time",
    )
