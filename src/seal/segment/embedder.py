"""Pictures as a network of the SAM family sees them: embedded once, whoever asks.

The masks of a keyframe, the tracker and the prompts of a tracker all start from the same embedding
of the same picture. Where masks and tracks come from one set of weights, one embedder serves both.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from seal.devices import Runtime
from seal.pixels import normalisation, to_pixels
from seal.types import UInt8
from seal.weights import Weights, require

Fit = Callable[[int, int], tuple[int, int]]
"""From the height and width of a picture to the height and width it takes up in the square."""


class ImageEmbedder:
    """The picture network of `model`, and what it gave for the pictures it saw last.

    The pictures themselves are not kept. An embedding has one level or several, the finest first:
    [1, channels, height, width] each.
    """

    def __init__(
        self,
        model: Any,
        runtime: Runtime,
        weights: Weights,
        mean_std: tuple[tuple[float, ...], tuple[float, ...]],
        fit: Fit | None = None,
    ) -> None:
        self._model, self._runtime = model, runtime
        self.side: int = model.prompt_encoder.input_image_size
        """Of the model's square, in pixels."""
        self.mean_std = normalisation(weights, mean_std)
        self._fit = fit
        self._key = (weights.fingerprint, runtime)
        self._seen: list[tuple[weakref.ref[UInt8], list[Any]]] = []
        self.positions: Any = None
        """[height * width, 1, channels] where the coarsest level lies, once something was embedded;
        None for a network that follows nothing."""
        runtime.compiled(model.vision_encoder)

    def is_like(self, other: ImageEmbedder | None) -> bool:
        """Whether both give the same embeddings, in the same place."""
        return other is not None and self._key == other._key

    def embedding(self, image: UInt8) -> list[Any]:
        """The levels of the embedding of an RGB picture [height, width, 3]."""
        for seen, embedding in self._seen:
            if seen() is image:
                return embedding
        return self.look_ahead([image])

    def look_ahead(self, images: Sequence[UInt8]) -> list[Any]:
        """Embed pictures in one batch and forget those before; the embedding of the first one."""
        torch = require("torch")
        pixels = torch.cat([self.pixels(image) for image in images])
        with self._runtime.running():
            batch = self._embed(pixels.to(self._runtime.device))
        self._seen = [
            (weakref.ref(image), [level[row : row + 1] for level in batch])
            for row, image in enumerate(images)
        ]
        return self._seen[0][1]

    def pixels(self, image: UInt8) -> Any:
        """A picture as the network takes it: [1, 3, side, side]."""
        fit = self._fit(*image.shape[:2]) if self._fit else (self.side, self.side)
        return to_pixels(image, fit, self.side, *self.mean_std)

    def _embed(self, pixels: Any) -> list[Any]:
        """The levels of the embeddings of a batch, [n, channels, height, width] each."""
        if not hasattr(self._model, "backbone_feature_sizes"):
            return [self._model.get_image_embeddings(pixels)]
        features = self._model.get_image_features(pixels)
        # Some networks have a coarser level that nothing looks at.
        sizes = self._model.backbone_feature_sizes
        self.positions = features.fpn_position_encoding[len(sizes) - 1][:, :1]
        # The library has levels as [height * width, n, channels].
        return [
            level.permute(1, 2, 0).unflatten(2, tuple(size))
            for level, size in zip(features.fpn_hidden_states, sizes, strict=False)
        ]
