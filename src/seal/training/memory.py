"""Less memory for the same steps: activations that are computed again, weights in shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.checkpoint import checkpoint


def layers(network: nn.Module) -> Iterator[nn.Module]:
    """The repeated parts of a network: the modules of its outermost `ModuleList`s."""
    for part in network.children():
        yield from part if isinstance(part, nn.ModuleList) else layers(part)


def recomputing(network: nn.Module) -> None:
    """The layers of a network keep only what goes into them for the way back.

    What happens inside one is computed again when its gradients are: the same numbers, dropout
    included (Chen et al. 2016, "Training deep nets with sublinear memory cost").
    """
    for layer in layers(network):
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


def sharding(plugin: Any, network: nn.Module) -> None:
    """Have accelerate's FSDP put each layer of a network into shards by itself.

    Where its configuration names no classes, accelerate takes those that transformers names for a
    whole family of models, and fails where a model lacks one of them.
    """
    if plugin.transformer_cls_names_to_wrap is None:
        names = dict.fromkeys(type(layer).__name__ for layer in layers(network))
        plugin.transformer_cls_names_to_wrap = list(names)


def whole(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Tensors of which each process may have a shard, on the CPU; nothing without `keep`.

    All processes call this together. One that keeps nothing holds one whole tensor at a time.
    """
    found = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            found[name] = full.detach().cpu().contiguous()
    return found


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor on the device of another one, and in shards as that is."""
    if isinstance(other, DTensor):
        # Every process has read the whole one: nothing is sent.
        mesh, placements = other.device_mesh, other.placements
        return distribute_tensor(tensor.to(other.device), mesh, placements, src_data_rank=None)
    return tensor.to(other.device, copy=True)
