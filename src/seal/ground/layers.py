"""Parts of the localisation head: attention in windows over tokens that are irregular in time."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

# Rotary embeddings turn once in so many seconds: from within an action to as far as windows reach.
_PERIODS_S = (2.0, 512.0)


class PositionRow(NamedTuple):
    """Positions in some order, and what attention between them depends on."""

    spans: Tensor
    """[b, n, 2] start and end in seconds."""
    unit: Tensor
    """[b, n, d] embeddings, L2-normalised."""
    real: Tensor
    """[b, n] False where a position only fills up the batch."""

    def take(self, order: Tensor) -> PositionRow:
        """The positions in another order [b, n]."""
        return PositionRow(*(in_order(column, order) for column in self))

    def halved(self) -> PositionRow:
        """Positions two by two: the time that both span, their mean embedding."""
        (first, second), (real_a, real_b) = pairs(self.spans), pairs(self.real)
        far = torch.finfo(first.dtype).max
        start = torch.minimum(
            first[..., 0].masked_fill(~real_a, far), second[..., 0].masked_fill(~real_b, far)
        )
        end = torch.maximum(
            first[..., 1].masked_fill(~real_a, -far), second[..., 1].masked_fill(~real_b, -far)
        )
        real = real_a | real_b
        spans = torch.stack([start, end], -1) * real[..., None]
        return PositionRow(spans, F.normalize(halve(self.unit, self.real), dim=-1), real)


class AttentionWindow(NamedTuple):
    """What a window attention needs to know of a row; shared by all blocks that attend along it."""

    size: int
    turns: Tensor
    """[b, n, 1, c] complex: by how much each channel pair of a head is turned."""
    likeness: Tensor
    """[b, k, 1, w, 3w] cosines of embeddings."""
    allowed: Tensor
    """[b, k, 1, w, 3w] who may look at whom."""
    apart_s: Tensor
    """[b, k, 1, w, 3w] seconds between the middles."""

    @staticmethod
    def of(row: PositionRow, size: int, channels: int) -> AttentionWindow:
        """Windows of `size`."""
        start, end = in_blocks(row.spans, size).unbind(-1), around(row.spans, size).unbind(-1)
        allowed = around(row.real, size)[:, :, None, :].expand(-1, -1, size, -1)
        apart = (start[0] + start[1])[..., None] / 2 - (end[0] + end[1])[:, :, None] / 2
        likeness = in_blocks(row.unit, size) @ around(row.unit, size).transpose(-1, -2)
        each = [likeness, _or_itself(allowed), apart.abs()]
        return AttentionWindow(
            size, _turns(row.spans, channels), *(part[:, :, None] for part in each)
        )

    def at_once(self, row: PositionRow) -> AttentionWindow:
        """The same windows of the same row, but only what is on the screen at one time."""
        own, other = in_blocks(row.spans, self.size), around(row.spans, self.size)
        late = torch.maximum(own[..., :1], other[..., 0][:, :, None])
        both = late <= torch.minimum(own[..., 1:], other[..., 1][:, :, None])
        return self._replace(allowed=_or_itself(self.allowed[:, :, 0] & both)[:, :, None])


class WindowAttention(nn.Module):
    """Every position looks at its block and the two beside.

    How much it looks is learned from channels that are turned by the times of start and end. So
    only differences of times count (rotary embeddings, Su et al. 2021, with real times in
    place of places), and from how alike the embeddings are.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.likeness = nn.Parameter(torch.linspace(0, 4, heads)[:, None, None])
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, window: AttentionWindow) -> Tensor:
        """[b, n, width] to the same."""
        b, n, width = x.shape
        parts = self.qkv(self.norm(x)).view(b, n, 3, self.heads, -1).unbind(2)
        q, k, v = turn(parts[0], window.turns), turn(parts[1], window.turns), parts[2]
        blocks = in_blocks(q, window.size), around(k, window.size), around(v, window.size)
        q, k, v = (each.transpose(-2, -3) for each in blocks)
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        logits = (logits + self.likeness * window.likeness).masked_fill(~window.allowed, -torch.inf)
        mixed = logits.softmax(-1) @ v
        mixed = mixed.transpose(-2, -3).reshape(b, -1, width)[:, :n]
        return x + F.dropout(self.out(mixed), self.dropout, self.training)


class FeedForward(nn.Module):
    """Two layers, each position by itself."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = x + self.net(x)
        return mixed


class Convolution(nn.Module):
    """A residual convolution along the row; what only fills up the batch counts as nothing."""

    def __init__(self, width: int, reach: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, 2 * reach + 1, padding=reach)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[b, n, width] to the same."""
        near = self.norm(x) * real[..., None]
        mixed: Tensor = x + self.dropout(F.gelu(self.mix(near.transpose(1, 2)).transpose(1, 2)))
        return mixed


def in_order(x: Tensor, order: Tensor) -> Tensor:
    """[b, n, ...] with row i from `order[b, i]`."""
    index = order.reshape(*order.shape, *[1] * (x.dim() - 2))
    return torch.take_along_dim(x, index, 1)


def in_blocks(x: Tensor, size: int) -> Tensor:
    """[b, n, ...] to [b, k, size, ...], filled up with zeros."""
    missing = -x.shape[1] % size
    if missing:
        x = torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], 1)
    return x.unflatten(1, (-1, size))


def around(x: Tensor, size: int) -> Tensor:
    """[b, n, ...] to [b, k, 3 size, ...]: each block with the two beside it, zeros outside."""
    blocks = in_blocks(x, size)
    edge = torch.zeros_like(blocks[:, :1])
    before = torch.cat([edge, blocks[:, :-1]], 1)
    after = torch.cat([blocks[:, 1:], edge], 1)
    return torch.cat([before, blocks, after], 2)


def pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """The even and the odd rows of [b, n, ...]; of an odd number the last one is with zeros."""
    first, second = in_blocks(x, 2).unbind(2)
    return first, second


def halve(x: Tensor, real: Tensor) -> Tensor:
    """[b, n, c] to [b, n/2, c]: the mean of two neighbours, or the one of them that is real."""
    (first, second), (a, b) = pairs(x), pairs(real)
    a, b = a[..., None].to(x.dtype), b[..., None].to(x.dtype)
    return (first * a + second * b) / (a + b).clamp(min=1)


def turn(x: Tensor, turns: Tensor) -> Tensor:
    """Channel pairs of [b, n, heads, c] turned, in single precision or better."""
    real = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    turned = torch.view_as_real(torch.view_as_complex(real.unflatten(-1, (-1, 2))) * turns)
    return turned.flatten(-2).to(x.dtype)


def _or_itself(allowed: Tensor) -> Tensor:
    """[b, k, w, 3w] who may look at whom; a position that may look at nobody looks at itself."""
    size = allowed.shape[2]
    itself = torch.eye(size, dtype=torch.bool, device=allowed.device)
    return allowed | F.pad(itself, (size, size))


def _turns(spans: Tensor, channels: int) -> Tensor:
    """Of heads with so many channels: half of their pairs go with the start, half with the end."""
    first, last = (math.log(period) for period in _PERIODS_S)
    periods = torch.linspace(first, last, channels // 4, device=spans.device).exp()
    angles = 2 * math.pi * spans[..., None] / periods
    angles = angles.flatten(-2)[:, :, None]
    return torch.polar(torch.ones_like(angles), angles)
