"""How actions move: TimeSformer over their crops, trained together with the head.

The stored embeddings come from an encoder that looks at one picture at a time. This one sees the
crops of an action in order, and adds what it makes of them; untrained it adds nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from seal.config import HeadOptions
from seal.errors import BackendError, OptionError
from seal.weights import library_class, load_model, locate

_CLASS = "TimesformerModel"
# Of the pictures that the published checkpoints were trained with (preprocessor_config.json).
_MEAN, _SPREAD = 0.45, 0.225


class Crops(nn.Module):
    """`TimesformerModel` of the transformers library, of the head's width, heads and layers.

    Raises BackendError if transformers is not there.
    """

    def __init__(self, o: HeadOptions) -> None:
        super().__init__()
        self.model = library_class(_CLASS)(_config(o))
        _start(self.model)
        self.out = nn.Linear(o.crop_width or o.width, o.dimension)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, embeddings: Tensor, actions: Tensor, crops: Tensor) -> Tensor:
        """The embeddings [b, n, d], to which those of the k `actions`, a mask [b, n], have had
        added what their `crops` uint8 [k, frames, side, side, 3] show."""
        scaled = (crops.permute(0, 1, 4, 2, 3) / 255 - _MEAN) / _SPREAD
        # The first output is the one that looked at everything.
        seen = self.model(scaled).last_hidden_state[:, 0]
        # Embeddings have length 1.
        added = (self.out(seen) / embeddings.shape[-1] ** 0.5).to(embeddings.dtype)
        places = actions.nonzero(as_tuple=True)
        return embeddings.index_put(places, added, accumulate=True)

    def start_from(self, name: str) -> None:
        """Take the weights of a published TimeSformer, such as one trained on Kinetics-400.

        Raises BackendError if they are not there, or not those of such a network.
        """
        self.model.load_state_dict(load_model(_CLASS, locate(name, "main"), "cpu").state_dict())


def started(o: HeadOptions) -> HeadOptions:
    """The options of a head whose TimeSformer starts from `crop_weights`: with its sizes.

    Raises OptionError if the network sees other pictures than the options say, BackendError if the
    weights are not there or are of another kind of network.
    """
    weights = locate(o.crop_weights, "main")
    config = library_class("TimesformerConfig")(**weights.json("config.json"))
    is_one = weights.json("config.json").get("model_type") == "timesformer"
    if not is_one or config.attention_type != "divided_space_time":
        raise BackendError(f"{o.crop_weights} is no TimeSformer with divided space-time attention")
    if config.intermediate_size != 4 * config.hidden_size:
        raise BackendError(
            f"{o.crop_weights} has {config.intermediate_size} channels between its"
            f" {config.hidden_size}; expected four times as many"
        )
    wanted = config.num_frames, config.image_size, config.patch_size
    if wanted != (o.crops, o.crop_px, o.patch_px):
        raise OptionError(
            f"{o.crop_weights} sees {wanted[0]} pictures of {wanted[1]} pixels in patches of"
            f" {wanted[2]}: set head.crops={wanted[0]}, head.crop_px={wanted[1]} and"
            f" head.patch_px={wanted[2]}"
        )
    return replace(
        o,
        crop_width=config.hidden_size,
        crop_layers=config.num_hidden_layers,
        crop_heads=config.num_attention_heads,
    )


def _start(model: Any) -> None:
    """Random weights with which motion is learned in tens of steps, not hundreds: when and where a
    patch is counts about as much as what it shows. The library's are for large networks and much
    data, and tell no time from another."""
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.trunc_normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
    places = model.embeddings
    for place in (places.cls_token, places.position_embeddings, places.time_embeddings):
        nn.init.trunc_normal_(place, std=0.5)


def _config(o: HeadOptions) -> Any:
    return library_class("TimesformerConfig")(
        image_size=o.crop_px,
        patch_size=o.patch_px,
        num_frames=o.crops,
        hidden_size=o.crop_width or o.width,
        num_hidden_layers=o.crop_layers or o.layers,
        num_attention_heads=o.crop_heads or o.heads,
        intermediate_size=4 * (o.crop_width or o.width),
        attention_type="divided_space_time",
    )
