"""SnAG, the baseline that the paper compares with, written from its publication.

Mu, Mo, Li: SnAG: Scalable and Accurate Video Grounding, CVPR 2024, section 4.

    clip features ──► projection ──► pyramid of local attention, each level half as long     once
                                          │                                       for each video
    words ──► Transformer ──────────► late fusion, level by level
                                          │
                          a score and two distances at every point

Nothing here is shared with the head of SEAL but the tensors that go in and come out. Clip features
on a uniform grid and the words of queries go in; kinds, boxes and relevance are not looked at. A
step of training takes few videos with several queries each ("video-centric" training), as all
examples of `seal.ground` are made.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

from seal.config import SnagOptions
from seal.ground.layers import around, in_blocks
from seal.ground.losses import Loss, diou, focal
from seal.ground.model import Positions, Queries, Spans

_PERIOD = 10_000.0
"""Longest period of the sinusoidal places (Vaswani et al. 2017)."""
_CENTER = 1.5
"""A moment is learned by points up to so many strides from its middle (center sampling)."""
_FINEST = 4.0
"""The finest level learns moments whose ends are up to so many points away; each further level
those up to twice as far."""
_NEAREST = 0.25
"""A level begins to learn at this share of its range: half of a range is that of the level below as
well."""
_ALPHA = 0.25
"""Of the focal loss (Lin et al. 2017): the weight of points that answer."""


class SnagLevel(NamedTuple):
    """One level of a video's pyramid: points on a uniform grid."""

    features: Tensor
    """[b, n, width]"""
    at_s: Tensor
    """[b, n] the time of each point."""
    stride_s: Tensor
    """[b] the time between two points."""
    real: Tensor
    """[b, n]"""


class Snag(nn.Module, PyTorchModelHubMixin):
    """The network; it takes and gives the tensors that `seal.ground.model.Head` does."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        self.sizes = o = SnagOptions(**sizes)
        self.video = VideoPyramid(o)
        self.text = TextEncoder(o)
        self.fuse = LateFusion(o)
        self.decode = PointDecoder(o)

    @staticmethod
    def of(options: SnagOptions) -> Snag:
        """A network of these sizes, with random weights."""
        sizes = options.deciding()
        return Snag(**{key: value for key, value in sizes.items() if key != "design"})

    def forward(self, video: Positions, queries: Queries) -> Spans:
        """Answer all queries of all videos."""
        return self.answer(self.encode(video), queries)

    def encode(self, video: Positions) -> list[SnagLevel]:
        """The pyramid of each video: all that does not depend on a query."""
        levels: list[SnagLevel] = self.video(video)
        return levels

    def answer(self, levels: list[SnagLevel], queries: Queries) -> Spans:
        """What the queries have to do with videos encoded before."""
        words, seen = self.text(queries)
        outs = [
            self.decode(number, level, self.fuse(level, words, seen))
            for number, level in enumerate(levels)
        ]
        logits, spans = (torch.cat(parts, 2) for parts in zip(*outs, strict=True))
        sizes = torch.tensor([level.real.shape[1] for level in levels], device=logits.device)
        number = torch.arange(len(levels), device=logits.device).repeat_interleave(sizes)
        at_s = torch.cat([level.at_s for level in levels], 1)
        return Spans(logits, spans, at_s, number, torch.cat([level.real for level in levels], 1))


class Attention(nn.Module):
    """Multi-head attention before a feed-forward part, both with a residual path."""

    def __init__(self, o: SnagOptions, window: int | None = None) -> None:
        super().__init__()
        self.heads, self.window = o.heads, window
        self.norm, self.norm_mix = nn.LayerNorm(o.width), nn.LayerNorm(o.width)
        self.qkv, self.out = nn.Linear(o.width, 3 * o.width), nn.Linear(o.width, o.width)
        self.mix = nn.Sequential(
            nn.Linear(o.width, 4 * o.width), nn.GELU(), nn.Linear(4 * o.width, o.width)
        )
        self.dropout = nn.Dropout(o.dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[b, n, width] to the same; with a window each block sees itself and the two beside."""
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        size = self.window or x.shape[1]
        q = in_blocks(q, size)
        if self.window:
            k, v, seen = (around(each, size) for each in (k, v, real))
        else:
            k, v, seen = k[:, None], v[:, None], real[:, None]
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(2, 3) for each in (q, k, v))
        # What only fills up the batch looks at everything: its row must not be empty.
        allowed = seen[:, :, None, None] | ~seen.any(-1)[:, :, None, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        mixed = mixed.transpose(2, 3).flatten(3).flatten(1, 2)[:, : x.shape[1]]
        x = x + self.dropout(self.out(mixed))
        added: Tensor = x + self.dropout(self.mix(self.norm_mix(x)))
        return added * real[..., None]


class VideoPyramid(nn.Module):
    """Clip features to a pyramid: two convolutions, and local attention in strided levels."""

    def __init__(self, o: SnagOptions) -> None:
        super().__init__()
        self.project = Convolutions(o.dimension, o.width)
        self.stem = nn.ModuleList(Attention(o, o.window) for _ in range(o.layers))
        self.halve = nn.ModuleList(
            nn.Conv1d(o.width, o.width, 3, stride=2, padding=1, groups=o.width)
            for _ in range(o.levels - 1)
        )
        self.level = nn.ModuleList(Attention(o, o.window) for _ in range(o.levels - 1))
        self.norm = nn.ModuleList(nn.LayerNorm(o.width) for _ in range(o.levels))

    def forward(self, video: Positions) -> list[SnagLevel]:
        real = video.real
        # Features of length 1 come with the scale that layers expect.
        clips = F.normalize(video.embeddings, dim=-1) * video.embeddings.shape[-1] ** 0.5
        x = self.project((clips * real[..., None]).transpose(1, 2), real[:, None]).transpose(1, 2)
        x = (x + _places(x)) * real[..., None]
        for block in self.stem:
            x = block(x, real)
        at_s = video.spans.mean(-1)
        stride_s = _stride_s(at_s, real)
        levels = [SnagLevel(self.norm[0](x), at_s, stride_s, real)]
        for halve, block, norm in zip(self.halve, self.level, self.norm[1:], strict=True):
            x = halve(x.transpose(1, 2)).transpose(1, 2)
            real, at_s, stride_s = real[:, ::2], at_s[:, ::2], 2 * stride_s
            x = block(x * real[..., None], real)
            levels.append(SnagLevel(norm(x), at_s, stride_s, real))
        return levels


class TextEncoder(nn.Module):
    """The words of a query after a learned one that stands for what the query does not ask for,
    projected and seen by a Transformer of their own."""

    def __init__(self, o: SnagOptions) -> None:
        super().__init__()
        self.project = nn.Linear(o.words_dimension, o.width)
        self.background = nn.Parameter(torch.randn(o.width))
        self.blocks = nn.ModuleList(Attention(o) for _ in range(o.text_layers))
        self.norm = nn.LayerNorm(o.width)

    def forward(self, queries: Queries) -> tuple[Tensor, Tensor]:
        """[b, m, 1 + t, width], and [b, m, 1 + t] which of these are real."""
        words = F.normalize(queries.embeddings, dim=-1) * queries.embeddings.shape[-1] ** 0.5
        b, m = words.shape[:2]
        x = F.pad(self.project(words).flatten(0, 1), (0, 0, 1, 0))
        real = F.pad(queries.words, (1, 0), value=True)
        seen = real.flatten(0, 1)
        x = (x + _places(x)) * seen[..., None]
        x = torch.cat([self.background.expand(b * m, 1, -1), x[:, 1:]], 1)
        for block in self.blocks:
            x = block(x, seen)
        return self.norm(x).unflatten(0, (b, m)), real


class LateFusion(nn.Module):
    """The points of a level look at the words again and again; the same weights serve all levels.

    A video comes in once, however many queries there are.
    """

    def __init__(self, o: SnagOptions) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FusionLayer(o) for _ in range(o.fusion_layers))

    def forward(self, level: SnagLevel, words: Tensor, seen: Tensor) -> Tensor:
        """[b, m, n, width] of b videos with m queries each."""
        x = level.features[:, None]
        for layer in self.layers:
            x = layer(x, words, seen) * level.real[:, None, :, None]
        return x


class FusionLayer(nn.Module):
    """Cross-attention from points to words, which scales and shifts the points; a feed-forward
    part."""

    def __init__(self, o: SnagOptions) -> None:
        super().__init__()
        self.heads = o.heads
        self.asks = nn.Linear(o.width, o.width)
        self.keys_values = nn.Linear(o.width, 2 * o.width)
        self.affine = nn.Linear(o.width, 2 * o.width)
        self.norm, self.norm_mix = nn.LayerNorm(o.width), nn.LayerNorm(o.width)
        self.mix = nn.Sequential(
            nn.Linear(o.width, 4 * o.width), nn.GELU(), nn.Linear(4 * o.width, o.width)
        )
        self.dropout = nn.Dropout(o.dropout)

    def forward(self, x: Tensor, words: Tensor, seen: Tensor) -> Tensor:
        """[b, 1 or m, n, width] to [b, m, n, width]."""
        x = self.norm(x)
        parts = self.asks(x), *self.keys_values(words).chunk(2, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(2, 3) for part in parts)
        q = q.expand(-1, words.shape[1], -1, -1, -1)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, :, None, None])
        scale, shift = self.affine(mixed.transpose(2, 3).flatten(3)).chunk(2, -1)
        x = x * (1 + scale) + shift
        fused: Tensor = x + self.dropout(self.mix(self.norm_mix(x)))
        return fused


class PointDecoder(nn.Module):
    """Convolutions along time, the same for all levels: a score, and how far both ends are."""

    def __init__(self, o: SnagOptions) -> None:
        super().__init__()
        self.scoring, self.reaching = ConvolutionTower(o, 1), ConvolutionTower(o, 2)
        self.scale = nn.Parameter(torch.zeros(o.levels))
        # Few points answer (focal loss, Lin et al. 2017, section 3.3).
        nn.init.constant_(self.scoring.out.bias, -math.log(99))

    def forward(self, number: int, level: SnagLevel, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [b, m, n] and spans [b, m, n, 2] in seconds."""
        b, m, n, _ = fused.shape
        x, real = fused.flatten(0, 1).transpose(1, 2), level.real.repeat_interleave(m, 0)[:, None]
        logits = self.scoring(x, real).view(b, m, n)
        # In strides of the level, in single precision.
        reach = F.softplus(self.reaching(x, real).float() + self.scale[number])
        reach = reach.view(b, m, 2, n) * level.stride_s[:, None, None, None]
        at_s = level.at_s[:, None]
        spans = torch.stack([at_s - reach[:, :, 0], at_s + reach[:, :, 1]], -1)
        return logits.float(), spans


class Convolutions(nn.Module):
    """Two convolutions along time, each with a norm."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(c, width, 3, padding=1) for c in (channels, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[b, channels, n] to [b, width, n]."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.relu(norm(layer(x).transpose(1, 2)).transpose(1, 2)) * real
        return x


class ConvolutionTower(nn.Module):
    """Two convolutions, and one that gives the channels asked for."""

    def __init__(self, o: SnagOptions, channels: int) -> None:
        super().__init__()
        self.layers = Convolutions(o.width, o.width)
        self.out = nn.Conv1d(o.width, channels, 3, padding=1)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[b, width, n] to [b, channels, n]."""
        out: Tensor = self.out(self.layers(x, real))
        return out


def snag_loss(answer: Spans, truth: Tensor) -> Loss:
    """Focal loss on all points, and the distance-IoU loss at those that answer, which the focal
    loss is divided by. Of moments `truth` [b, m, s, 2] in seconds, NaN where there is none."""
    positive, moment = assign_points(answer, truth)
    real = answer.real[:, None] & truth.isfinite().all(-1).any(-1)[..., None]
    count = positive.sum().clamp(min=1)
    wanted = positive.to(answer.logits.dtype)
    weight = torch.where(positive, _ALPHA, 1 - _ALPHA)
    score = (weight * focal(answer.logits, wanted))[real].sum() / count
    span = diou(answer.spans[positive], moment[positive]).sum() / count
    return Loss(score + span, score, span)


def assign_points(answer: Spans, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Which points [b, m, p] answer, and with which moment [b, m, p, 2].

    A point does if it lies inside a moment and near its middle, at the level whose range holds the
    farther end of the moment. Of several moments the shortest counts.
    """
    at = answer.at_s[:, None, None]
    start, end = truth[..., :1], truth[..., 1:]
    step = _stride_s(answer.at_s[:, answer.level == 0], answer.real[:, answer.level == 0])
    stride = (step[:, None] * 2.0**answer.level)[:, None, None]
    farther = torch.maximum(at - start, end - at)
    most = _FINEST * stride
    least = torch.where(answer.level == 0, 0.0, _NEAREST * most)
    most = torch.where(answer.level == answer.level.max(), torch.inf, most)
    near = (at - (start + end) / 2).abs() <= _CENTER * stride
    inside = (at >= start) & (at <= end) & answer.real[:, None, None]
    chosen = inside & near & (farther >= least) & (farther < most)
    # A moment between two points, or beyond what its level can tell, is learned by the nearest one.
    usable = answer.real[:, None, None] & (answer.level == 0)
    away = (at - (start + end) / 2).abs().masked_fill(~usable, torch.inf)
    nearest = torch.zeros_like(chosen).scatter_(-1, away.argmin(-1, keepdim=True), True)
    chosen = chosen | (nearest & ~chosen.any(-1, keepdim=True) & start.isfinite() & usable)
    length = (end - start).masked_fill(~chosen, torch.inf)
    which = length.argmin(2, keepdim=True)[..., None].expand(-1, -1, -1, -1, 2)
    moments = truth[:, :, :, None].expand(*chosen.shape, 2)
    return chosen.any(2), moments.gather(2, which)[:, :, 0]


def _stride_s(at_s: Tensor, real: Tensor) -> Tensor:
    """[b] the mean time between two of the real points [b, n] of each video."""
    last = torch.where(real, at_s, -torch.inf).amax(1)
    first = torch.where(real, at_s, torch.inf).amin(1)
    stride: Tensor = (last - first) / (real.sum(1) - 1).clamp(min=1)
    return stride.clamp(min=1e-3)


def _places(x: Tensor) -> Tensor:
    """[n, width] sinusoidal places of [b, n, width]."""
    n, width = x.shape[1:]
    rate = torch.exp(-math.log(_PERIOD) * torch.arange(0, width, 2, device=x.device) / width)
    angle = torch.arange(n, device=x.device)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width].to(x.dtype)
