"""The networks that find moments: SEAL's head, and the baseline SnAG."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from seal.config import NetworkOptions, SnagOptions
from seal.ground.losses import Loss, loss
from seal.ground.model import Head, Spans
from seal.ground.snag import Snag, snag_loss

Network = Head | Snag

LOSSES: dict[type, Callable[[Spans, Tensor], Loss]] = {Head: loss, Snag: snag_loss}
"""What each network learns."""


def network(sizes: NetworkOptions) -> Network:
    """A network of these sizes, with random weights."""
    return Snag.of(sizes) if isinstance(sizes, SnagOptions) else Head.of(sizes)
