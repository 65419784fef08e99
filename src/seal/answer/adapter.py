"""LoRA by `peft`: a few weights beside those of a language model, which stay as they are."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from seal.config import HfAnswer, TuneOptions
from seal.errors import BackendError, OptionError
from seal.weights import Weights, locate, nothing_fetched, require

# As peft calls them.
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def base_name(weights: Weights) -> tuple[str, str] | None:
    """Name and revision of the model that an adapter is for; None if this is no adapter.

    Raises BackendError for a damaged configuration.
    """
    config = weights.json(_CONFIG)
    if not config:
        return None
    return str(config.get("base_model_name_or_path")), config.get("revision") or "main"


def base_of(weights: Weights) -> Weights:
    """The model that an adapter is for; a model that is no adapter is its own base.

    Raises BackendError if the base is not on this machine: only the adapter names it.
    """
    base = base_name(weights)
    if base is None:
        return weights
    model, revision = base
    with nothing_fetched("answer", {"backend": "hf", "model": model, "revision": revision}):
        return locate(model, revision)


def attach(network: Any, weights: Weights) -> Any:
    """The network with an adapter; as it is where the weights are none.

    Raises BackendError if the adapter is damaged or for another network.
    """
    if not weights.json(_CONFIG):
        return network
    peft = require("peft", "train")
    from safetensors.torch import load_file

    try:
        config = peft.PeftConfig.from_pretrained(weights.folder)
        config.base_model_name_or_path = None
        network = _wrapped(network, config)
        stored = load_file(weights.folder / _WEIGHTS)
        wanted = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
        odd = wanted.keys() - stored.keys()
        odd |= set(peft.set_peft_model_state_dict(network, stored).unexpected_keys)
    # Damaged files and another network's settings fail anywhere inside, with errors of any kind.
    except Exception as error:
        raise BackendError(f"{weights.folder} does not load as an adapter: {error}") from error
    if odd:
        raise BackendError(
            f"{weights.folder} is no adapter for its base model: {len(odd)} weights are missing or"
            f" have no place there, {min(odd)} for one"
        )
    return network.eval()


def adapted(network: Any, options: TuneOptions, model: HfAnswer) -> Any:
    """The network of `model` with a new adapter, which alone is trained.

    Raises OptionError if it has no layers of the names in `tune.targets`.
    """
    config = require("peft", "train").LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=_targets(network, options),
    )
    network = _wrapped(network, config)
    folder = Path(model.model).expanduser()
    config.base_model_name_or_path = str(folder.resolve()) if folder.is_dir() else model.model
    config.revision = model.revision
    return network


def part_of(network: Any, options: TuneOptions) -> Any:
    """The module whose weights are trained: the language model, or all but what chooses words."""
    return network.get_decoder() if options.part == "language" else network.base_model


def _wrapped(network: Any, config: Any) -> Any:
    with warnings.catch_warnings():
        # peft uses a name that later versions of transformers will not have.
        warnings.simplefilter("ignore", FutureWarning)
        return require("peft", "train").get_peft_model(network, config)


def _targets(network: Any, options: TuneOptions) -> str:
    """A pattern for the names of the layers that get something added, as peft takes it."""
    linear, part = require("torch").nn.Linear, part_of(network, options)
    inside = next(name for name, module in network.named_modules() if module is part)
    layers = [_last(n) for n, m in part.named_modules() if isinstance(m, linear)]
    valid = list(dict.fromkeys(layers))
    every = options.targets == "all-linear"
    chosen = valid if every else [name.strip() for name in options.targets.split(",")]
    unknown = [name for name in chosen if name not in valid]
    if unknown:
        raise OptionError(
            f"tune.targets: {inside} has no linear layers called {', '.join(unknown)};"
            f" valid: all-linear, or some of {','.join(valid)}"
        )
    return rf"{re.escape(inside)}\.(.*\.)?({'|'.join(map(re.escape, chosen))})"


def _last(name: str) -> str:
    """The last word of a module's name, with the numbers behind it: other modules have these too,
    such as whole layers."""
    before, _, last = name.rpartition(".")
    return f"{_last(before)}.{last}" if last.isdigit() and before else last
