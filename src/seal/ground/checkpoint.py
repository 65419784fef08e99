"""Heads on disk and on the hub: config.json and model.safetensors in one folder."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import Any

from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE as WEIGHTS
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from seal.config import HeadOptions, NetworkOptions, SnagOptions
from seal.errors import BackendError, OptionError
from seal.ground.networks import Network, network
from seal.weights import Weights, locate

_KEPT = 2
"""Heads that stay loaded."""


def opened(name: str, encoder: str, device: str) -> Network:
    """The head as `load` gives it, on a device as torch writes it, loaded once.

    Of a folder whose files have changed the head is loaded again. It is shared: leave it as it is.
    """
    # Not by `locate`, which reads all of the weights.
    files = [Path(name, file) for file in ("config.json", WEIGHTS)]
    stamp = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.exists())
    return _opened(name, encoder, device, stamp)


@lru_cache(_KEPT)
def _opened(name: str, encoder: str, device: str, stamp: object) -> Network:
    head: Network = load(name, encoder=encoder).to(device)
    return head


def load(name: str, revision: str = "main", encoder: str | None = None) -> Network:
    """The head in a folder, or of this name on the hub, ready to answer.

    Raises BackendError if it is not there, is damaged or is no localisation head, or if it was
    trained with another than this `encoder`.
    """
    weights = _located(name, revision)
    sizes = weights.json("config.json")
    design = SnagOptions if sizes.get("design") == "snag" else HeadOptions
    every = {field.name for field in dataclasses.fields(design)}
    try:
        options = design(**{key: value for key, value in sizes.items() if key in every})
        _check(weights, sizes, options)
        if encoder is not None and options.encoder not in ("", encoder):
            raise BackendError(
                f"{name} was trained with tokens of {options.encoder}, these are of {encoder}"
            )
        head = network(options)
        head.load_state_dict(load_file(weights.folder / WEIGHTS))
    except (OptionError, SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise BackendError(
            f"{weights.folder} does not load as a localisation head, it is damaged or its"
            f" config.json belongs to another one: {' '.join(str(error).split())[:200]}"
        ) from error
    head.eval()
    return head


def _located(name: str, revision: str) -> Weights:
    try:
        return locate(name, revision)
    except BackendError as error:
        if Path(name).expanduser().is_dir():
            raise
        hub = f", and the hub cannot give it ({error.__cause__})"
        if isinstance(error.__cause__, HFValidationError):
            hub = " and no name on the hub"
        raise BackendError(
            f"there is no head {name!r}: it is no folder{' '.join(hub.splitlines())}; give the"
            " folder head in the output of seal train ground, or a name on the hub"
        ) from error


def _check(weights: Weights, sizes: dict[str, Any], options: NetworkOptions) -> None:
    if wrong := sizes.keys() ^ options.deciding().keys():
        odd = ", ".join(sorted(wrong))
        raise BackendError(
            f"{Path(weights.folder) / 'config.json'} is not that of a localisation head:"
            f" it lacks or should not have {odd}"
        )
