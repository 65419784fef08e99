"""Pictures as networks of transformers take them.

Pictures are prepared here and not by the library's processors, which need torchvision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from seal.types import Float32, UInt8
from seal.weights import Weights, require

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of pictures in [0, 1], for networks that come without their own."""


def normalisation(
    weights: Weights, default: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[Float32, Float32]:
    """Mean and standard deviation [3] of pictures in [0, 1], as the weights came with them."""
    values = weights.json("preprocessor_config.json")
    values = values or weights.json("processor_config.json").get("image_processor", {})
    mean, std = values.get("image_mean", default[0]), values.get("image_std", default[1])
    return np.array(mean, np.float32), np.array(std, np.float32)


def to_pixels(image: UInt8, fit: tuple[int, int], side: int, mean: Float32, std: Float32) -> Any:
    """A torch tensor [1, 3, side, side]: the picture resized to `fit`, normalised, zeros around."""
    resized = Image.fromarray(image).resize(fit[::-1], Image.Resampling.BILINEAR)
    pixels = np.zeros((side, side, 3), np.float32)
    pixels[: fit[0], : fit[1]] = (np.asarray(resized, np.float32) / 255 - mean) / std
    return require("torch").from_numpy(pixels.transpose(2, 0, 1)[None])
