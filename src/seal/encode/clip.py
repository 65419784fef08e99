"""CLIP (Radford et al. 2021), MetaCLIP 2 (Chuang et al. 2025) and SigLIP (Zhai et al. 2023; version
2: Tschannen et al. 2025).

All map a picture to one row (q = 1) and are compared by cosine: R and S of SEAL's section 3.2 are
dot products of these rows. The logits they were trained with are exp(scale) * cosine, for SigLIP
+ bias: the order is that of the cosine, so neither number is needed here.

SigLIP 2 checkpoints of fixed picture size use the classes of SigLIP, and their config.json says so.
Those of variable size ("naflex", model type siglip2) keep the proportions of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from seal.config import ClipEncode, NaflexEncode, SiglipEncode
from seal.encode.towers import TowersEncoder


class ClipEncoder(TowersEncoder):
    """CLIP; texts are cut off after 77 pieces of words, as trained."""

    architecture = "clip"
    model_class: ClassVar[str] = "CLIPModel"

    def __init__(self, options: ClipEncode) -> None:
        super().__init__(options)
        self.dimension, self.facets = self._config.projection_dim, 1
        self.max_words = self._config.text_config.max_position_embeddings
        # Whole, unlike the others: the classes of its halves take projection_dim from the halves'
        # configurations, which some checkpoints leave at the default.
        self._model = self._load(self.model_class)
        self._runtime.compiled(self._model.vision_model)

    # The parts are called one by one because what get_image_features returns (a tensor, or an
    # object around it) depends on the version of the library.
    def _image_outputs(self, pixel_values: Any) -> Any:
        pooled = self._model.vision_model(pixel_values=pixel_values).pooler_output
        return self._model.visual_projection(pooled)[:, None]

    def _text_outputs(self, input_ids: Any, attention_mask: Any = None) -> Any:
        pooled = self._model.text_model(input_ids, attention_mask=attention_mask).pooler_output
        return self._model.text_projection(pooled)


class MetaClip2Encoder(ClipEncoder):
    """MetaCLIP 2, which was taught in three hundred languages."""

    architecture = "metaclip_2"
    model_class = "MetaClip2Model"


class SiglipEncoder(TowersEncoder):
    """SigLIP and SigLIP 2 of fixed picture size; texts are padded to, or cut off at, 64 pieces."""

    architecture = "siglip"
    vision_class: ClassVar[str] = "SiglipVisionModel"
    text_class: ClassVar[str] = "SiglipTextModel"
    # The text's output is read at the last position, so its network was trained on texts padded to
    # full length, without a mask.
    padding = "max_length"

    def __init__(self, options: SiglipEncode) -> None:
        super().__init__(options)
        self.dimension, self.facets = self._config.vision_config.hidden_size, 1
        self.max_words = self._config.text_config.max_position_embeddings

    # Each half loads alone, when first used: three quarters of the base model read texts.
    @cached_property
    def _vision(self) -> Any:
        return self._load_vision(self.vision_class)

    @cached_property
    def _text(self) -> Any:
        return self._load(self.text_class)

    def _prepare(self, texts: Sequence[str]) -> list[str]:
        # Trained on lower case (SigLIP 2, section 2.1), but the tokenizer that the checkpoints of
        # version 2 name in their configuration keeps capitals.
        return [text.lower() for text in texts]

    def _image_outputs(self, pixel_values: Any) -> Any:
        return self._vision(pixel_values=pixel_values).pooler_output[:, None]

    def _text_outputs(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return self._text(input_ids, attention_mask=attention_mask).pooler_output


class NaflexEncoder(SiglipEncoder):
    """SigLIP 2 of variable picture size (section 2.4): at most `max_patches` patches of a picture
    in its own proportions, so that a wide crop is not squeezed into a square."""

    architecture = "siglip2"
    picture_inputs = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
    vision_class = "Siglip2VisionModel"
    text_class = "Siglip2TextModel"

    def __init__(self, options: NaflexEncode) -> None:
        super().__init__(options)
        self._max_patches = options.max_patches
        # The same weights see other patches.
        self.fingerprint += f" {options.max_patches} patches"

    def _processing(self) -> dict[str, Any]:
        size: int = self._config.vision_config.patch_size
        return {"patch_size": size, "max_num_patches": self._max_patches}

    def _image_outputs(
        self, pixel_values: Any, pixel_attention_mask: Any = None, spatial_shapes: Any = None
    ) -> Any:
        seen = self._vision(
            pixel_values=pixel_values,
            pixel_attention_mask=pixel_attention_mask,
            spatial_shapes=spatial_shapes,
        )
        return seen.pooler_output[:, None]
