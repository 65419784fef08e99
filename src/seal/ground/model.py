"""The localisation head: tokens and queries in, scored spans out (section 3.3 of the paper).

    tokens ──► embed ──► divided space-time blocks ──► pyramid      once for each video
                                                          │
    queries, relevance ───────────────────────────────► fuse ──► a score and a span
                                                                 at every position

A position is a token, in order of time, wherever it lies: there is no grid. Time enters as
differences between starts and ends alone, so that a video may begin anywhere. What a query costs is
small beside what a video costs: queries meet the pyramid late, by cross-attention in few channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

from seal.config import HeadOptions
from seal.encode.calibration import UNIT
from seal.ground.crops import Crops
from seal.ground.examples import ACTION
from seal.ground.layers import (
    AttentionWindow,
    Convolution,
    FeedForward,
    PositionRow,
    WindowAttention,
    around,
    halve,
    in_order,
    pairs,
)
from seal.kinds import SEEN

# Neighbours of the same kind, this many before and after, to which a token is compared: a cut shows
# as unlike neighbours on one side.
_NEAR = (1, 2, 4)
# A span's features: log durations and gaps (3), its box and area (5), its likeness to neighbours.
_FEATURES = 3 + 5 + 2 * len(_NEAR)
# Two convolutions of this reach, at every level, see a moment and what is around it.
_REACH = 2


class Positions(NamedTuple):
    """What the head sees of videos: b of them, n positions each, in order of time."""

    embeddings: Tensor
    """[b, n, d]"""
    kinds: Tensor
    """[b, n] indices of `seal.kinds.SEEN`."""
    spans: Tensor
    """[b, n, 2] start and end in seconds."""
    boxes: Tensor
    """[b, n, 4] normalised x0 y0 x1 y1."""
    real: Tensor
    """[b, n] False where a position only fills up the batch."""
    crops: Tensor | None = None
    """uint8 [k, frames, side, side, 3] of the k actions in all videos, if the head sees crops."""


class Queries(NamedTuple):
    """What is asked of each video: m queries of t words, or of one embedding for all words."""

    embeddings: Tensor
    """[b, m, t, d]"""
    words: Tensor
    """[b, m, t] False where a word only fills up the batch."""
    relevance: Tensor
    """[b, m, n] R of every position."""


class Level(NamedTuple):
    """One level of a video's pyramid."""

    features: Tensor
    """[b, n, fused]"""
    spread: Tensor
    """[b, k, heads, w, 3w] how relevance spreads over what is alike and near."""
    row: PositionRow


class Spans(NamedTuple):
    """The head's answer, at every position of every level (p of them in all)."""

    logits: Tensor
    """[b, m, p] of the scores."""
    spans: Tensor
    """[b, m, p, 2] start and end in seconds."""
    at_s: Tensor
    """[b, p] when each position is: the middle of its span."""
    level: Tensor
    """[p] the level of each position."""
    real: Tensor
    """[b, p]"""


class Head(nn.Module, PyTorchModelHubMixin):
    """The localisation head; `from_pretrained`, `save_pretrained` and `push_to_hub` are the hub's.

    See `seal.ground.checkpoint.load` for loading with errors that say what is wrong.
    """

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        self.sizes = o = HeadOptions(**sizes)
        self.embed = Embed(o)
        self.blocks = nn.ModuleList(DividedBlock(o) for _ in range(o.layers))
        self.pyramid = Pyramid(o)
        self.fuse = Fuse(o)
        self.crops = Crops(o) if o.crops else None

    @staticmethod
    def of(options: HeadOptions) -> Head:
        """A head of these sizes, with random weights."""
        return Head(**options.deciding())

    def forward(self, video: Positions, queries: Queries) -> Spans:
        """Answer all queries of all videos."""
        return self.answer(self.encode(video), queries)

    def encode(self, video: Positions) -> list[Level]:
        """All that does not depend on a query: the pyramid of each video."""
        channels = self.sizes.width // self.sizes.heads
        row = PositionRow(video.spans, F.normalize(self.seen(video), dim=-1), video.real)
        kinds = video.kinds.masked_fill(~video.real, len(SEEN))
        by_kind = kinds.argsort(dim=1, stable=True)
        along_time = AttentionWindow.of(row.take(by_kind), self.sizes.window, channels)
        window = AttentionWindow.of(row, self.sizes.window, channels)
        at_once = window.at_once(row)
        x = self.embed(video, row, by_kind)
        for block in self.blocks:
            x = block(x, by_kind, along_time, at_once)
        levels: list[Level] = self.pyramid(x, row, window)
        return levels

    def seen(self, video: Positions) -> Tensor:
        """[b, n, d] what each position shows, and how an action moves where crops show it."""
        if self.crops is None:
            return video.embeddings
        actions = video.real & (video.kinds == ACTION)
        moving: Tensor = self.crops(video.embeddings, actions, video.crops)
        return moving

    def answer(self, levels: list[Level], queries: Queries) -> Spans:
        """What the queries have to do with videos encoded before."""
        answer: Spans = self.fuse(levels, queries)
        return answer


class Embed(nn.Module):
    """Tokens to channels: what it shows, its kind, how long it lasts, where it is in the picture,
    how far away and how alike its neighbours are."""

    def __init__(self, o: HeadOptions) -> None:
        super().__init__()
        self.shown = nn.Linear(o.dimension, o.width)
        self.kind = nn.Embedding(len(SEEN), o.width)
        self.features = nn.Linear(_FEATURES, o.width)
        self.dropout = nn.Dropout(o.dropout)

    def forward(self, video: Positions, row: PositionRow, by_kind: Tensor) -> Tensor:
        start, end = video.spans.unbind(-1)
        both = video.real[:, 1:] & video.real[:, :-1]
        gaps = F.pad((start[:, 1:] - start[:, :-1]).clamp(min=0) * both, (1, 1))
        lasting = torch.stack([end - start, gaps[:, :-1], gaps[:, 1:]], -1).clamp(min=0).log1p()
        x0, y0, x1, y1 = video.boxes.unbind(-1)
        area = ((x1 - x0) * (y1 - y0))[..., None]
        ordered = row.take(by_kind)
        alike = torch.stack([side for k in _NEAR for side in _likeness(ordered, k)], -1)
        alike = in_order(alike, by_kind.argsort(1))
        features = torch.cat([lasting, video.boxes, area, alike], -1)
        # Embeddings have length 1: this brings their channels to the scale of the others.
        shown = self.dropout(self.shown(row.unit * row.unit.shape[-1] ** 0.5))
        x: Tensor = shown + self.kind(video.kinds) + self.features(features)
        return x * video.real[..., None]


class DividedBlock(nn.Module):
    """Divided attention (TimeSformer, Bertasius et al. 2021), of tokens: along time among those of
    one kind, then in space among those on the screen at once."""

    def __init__(self, o: HeadOptions) -> None:
        super().__init__()
        self.time = WindowAttention(o.width, o.heads, o.dropout)
        self.space = WindowAttention(o.width, o.heads, o.dropout)
        self.mix = FeedForward(o.width, o.dropout)

    def forward(
        self, x: Tensor, by_kind: Tensor, along_time: AttentionWindow, at_once: AttentionWindow
    ) -> Tensor:
        x = in_order(self.time(in_order(x, by_kind), along_time), by_kind.argsort(1))
        mixed: Tensor = self.mix(self.space(x, at_once))
        return mixed


class Pyramid(nn.Module):
    """Windowed attention at each level; then two neighbours become one, one level up."""

    def __init__(self, o: HeadOptions) -> None:
        super().__init__()
        self.sizes = o
        self.attend = nn.ModuleList(
            WindowAttention(o.width, o.heads, o.dropout) for _ in range(o.levels)
        )
        self.mix = nn.ModuleList(FeedForward(o.width, o.dropout) for _ in range(o.levels))
        self.out = nn.Sequential(nn.LayerNorm(o.width), nn.Linear(o.width, o.fused))
        # Each head spreads relevance further: from likely the same thing to about the same time.
        self.alike = nn.Parameter(torch.linspace(16, 4, o.heads)[:, None, None])
        self.near = nn.Parameter(torch.linspace(1, 2, o.heads)[:, None, None])

    def forward(self, x: Tensor, row: PositionRow, window: AttentionWindow) -> list[Level]:
        channels = self.sizes.width // self.sizes.heads
        levels: list[Level] = []
        for attend, mix in zip(self.attend, self.mix, strict=True):
            if levels:
                x, row = halve(x, row.real), row.halved()
                window = AttentionWindow.of(row, self.sizes.window, channels)
            x = mix(attend(x, window))
            levels.append(Level(self.out(x), self._spread(window), row))
        return levels

    def _spread(self, window: AttentionWindow) -> Tensor:
        logits = self.alike * window.likeness - self.near * window.apart_s.log1p()
        return logits.masked_fill(~window.allowed, -torch.inf).softmax(-1)


class Fuse(nn.Module):
    """Queries meet the pyramid: cross-attention from positions to words, and their relevance."""

    def __init__(self, o: HeadOptions) -> None:
        super().__init__()
        self.sizes = o
        self.asks = nn.Linear(o.fused, o.fused)
        self.keys_values = nn.Linear(o.words_dimension, 2 * o.fused)
        # What fits no word looks here, so that even one word can be looked at more or less.
        self.nothing = nn.Parameter(torch.randn(2 * o.fused) / o.fused**0.5)
        self.gain = nn.Parameter(torch.ones(o.heads))
        self.attended = nn.Linear(o.fused, o.fused)
        # A position's relevance: its mean, its best, and what is spread to it by each head.
        self.relevance = nn.Linear(2 + o.heads, o.fused)
        self.level = nn.Embedding(o.levels, o.fused)
        self.trunk = nn.ModuleList(Convolution(o.fused, _REACH, o.dropout) for _ in range(2))
        self.norm = nn.LayerNorm(o.fused)
        self.score = nn.Linear(o.fused, 1)
        self.reach = nn.Linear(o.fused, 2)
        # Few positions are in a moment (focal loss, Lin et al. 2017, section 3.3).
        nn.init.constant_(self.score.bias, -4.0)
        nn.init.constant_(self.reach.bias, 1.0)

    def forward(self, levels: list[Level], queries: Queries) -> Spans:
        words, allowed = self._words(queries)
        # Relevance comes in tenths of a standard deviation where the encoder is calibrated.
        mean = best = UNIT * queries.relevance * levels[0].row.real[:, None]
        outs = []
        for number, level in enumerate(levels):
            if number:
                mean, best = _halved(mean, best, levels[number - 1].row.real)
            outs.append(self._at(number, level, words, allowed, mean, best))
        logits, spans, at_s = (torch.cat(parts, -1) for parts in zip(*outs, strict=True))
        sizes = torch.tensor([level.row.real.shape[1] for level in levels], device=logits.device)
        number = torch.arange(len(levels), device=logits.device).repeat_interleave(sizes)
        real = torch.cat([level.row.real for level in levels], 1)
        return Spans(logits, spans.transpose(-1, -2), at_s, number, real)

    def _words(self, queries: Queries) -> tuple[Tensor, Tensor]:
        """Keys and values [b, m, 1 + t, 2 fused], the first of nothing, and which are real."""
        unit = F.normalize(queries.embeddings, dim=-1) * queries.embeddings.shape[-1] ** 0.5
        words = self.keys_values(unit)
        nothing = self.nothing.expand(*words.shape[:2], 1, -1)
        return torch.cat([nothing, words], 2), F.pad(queries.words, (1, 0), value=True)

    def _at(
        self,
        number: int,
        level: Level,
        words: Tensor,
        allowed: Tensor,
        mean: Tensor,
        best: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [b, m, n], spans [b, m, 2, n] and times [b, n] at one level."""
        (b, m, n), real = mean.shape, level.row.real
        spread = self._spread(level.spread, mean)
        x = level.features[:, None] + self._attend(level.features, words, allowed, mean)
        x = x + self.relevance(torch.cat([mean[..., None], best[..., None], spread], -1))
        x = (x + self.level.weight[number]).view(b * m, n, -1)
        for mix in self.trunk:
            x = mix(x, real.repeat_interleave(m, 0))
        x = self.norm(x).view(b, m, n, -1)
        # In seconds, and in single precision: half of it has minutes in steps of a second.
        reach = (self.reach(x).float() + number * 0.7).clamp(max=8).exp()
        at_s = level.row.spans.mean(-1)
        spans = torch.stack([at_s[:, None] - reach[..., 0], at_s[:, None] + reach[..., 1]], -2)
        return self.score(x)[..., 0].float(), spans, at_s

    def _spread(self, weights: Tensor, relevance: Tensor) -> Tensor:
        """[b, m, n, heads] the relevance [b, m, n] of what is alike and near."""
        b, m, n = relevance.shape
        near = around(relevance.transpose(1, 2), self.sizes.window)
        spread = (weights.flatten(2, 3) @ near).unflatten(2, (self.sizes.heads, -1))
        return spread.permute(0, 4, 1, 3, 2).reshape(b, m, -1, self.sizes.heads)[:, :, :n]

    def _attend(
        self, features: Tensor, words: Tensor, allowed: Tensor, relevance: Tensor
    ) -> Tensor:
        """[b, m, n, fused] what positions take from the words, the more the more relevant."""
        heads = (self.sizes.heads, -1)
        keys, values = (part.unflatten(-1, heads) for part in words.chunk(2, -1))
        asks = self.asks(features).unflatten(-1, heads)
        # Words before positions: there are few of them, and sums over a long last axis are quick.
        logits = torch.einsum("bnhc,bmthc->bmthn", asks, keys) / asks.shape[-1] ** 0.5
        gained = relevance[:, :, None, None] * self.gain[:, None]
        logits = logits + F.pad(
            gained.expand(-1, -1, words.shape[2] - 1, -1, -1), (0, 0) * 2 + (1, 0)
        )
        weights = logits.masked_fill(~allowed[..., None, None], -torch.inf).softmax(2)
        mixed = torch.einsum("bmthn,bmthc->bmnhc", weights, values).flatten(-2)
        attended: Tensor = self.attended(mixed)
        return attended


def _likeness(row: PositionRow, k: int) -> tuple[Tensor, Tensor]:
    """[b, n] twice: how alike each position and the k-th before it are, and the k-th after it."""
    both = row.real[:, k:] & row.real[:, :-k]
    alike = (row.unit[:, k:] * row.unit[:, :-k]).sum(-1) * both
    missing = min(k, row.real.shape[1])
    return F.pad(alike, (missing, 0)), F.pad(alike, (0, missing))


def _halved(mean: Tensor, best: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance [b, m, n] one level up: the mean of two neighbours, and the better one."""
    low = best.masked_fill(~real[:, None], -torch.inf).transpose(1, 2)
    first, second = pairs(low)
    real_a, real_b = (each[..., None] for each in pairs(real))
    first, second = first.masked_fill(~real_a, -torch.inf), second.masked_fill(~real_b, -torch.inf)
    best = torch.maximum(first, second).masked_fill(~(real_a | real_b), 0.0)
    return halve(mean.transpose(1, 2), real).transpose(1, 2), best.transpose(1, 2)
