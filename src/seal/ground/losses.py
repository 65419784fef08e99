"""What the localisation head learns from: which positions answer, and how far the moment reaches.

Focal loss (Lin et al. 2017) on all positions, and at those that answer the distance-IoU loss
(Zheng et al. 2020) in one dimension. The score that a position should give is how well its span
fits (quality focal loss, Li et al. 2020): of many that answer the best placed one comes first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its usual name)

from seal.ground.model import Spans

_GAMMA = 2.0
"""Of the focal loss, as in both papers."""
_INSIDE = 4
"""A moment is answered at the level where about so many positions lie inside it (up to twice as
many). That is enough to tell where it ends, few enough to see it as one."""


class Loss(NamedTuple):
    """Each a number; the total is what is minimised."""

    total: Tensor
    score: Tensor
    span: Tensor


def loss(answer: Spans, truth: Tensor) -> Loss:
    """Of answers to queries with moments `truth` [b, m, s, 2] in seconds.

    Of queries with fewer moments than others the rest are NaN; those with none teach nothing. The
    focal loss is divided by how many positions answer.
    """
    positive, moment = assign(answer, truth)
    real = answer.real[:, None] & truth.isfinite().all(-1).any(-1)[..., None]
    count = positive.sum().clamp(min=1)
    fitting = torch.zeros_like(answer.logits)
    fitting[positive] = iou(answer.spans[positive], moment[positive]).detach()
    score = focal(answer.logits, fitting)[real].sum() / count
    span = diou(answer.spans[positive], moment[positive]).sum() / count
    return Loss(score + span, score, span)


def assign(answer: Spans, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Which positions [b, m, p] answer, and with which moment [b, m, p, 2].

    Those inside a moment do, at the level that fits it. Where a moment holds no position of that
    level, the nearest one of the finest level does. Where moments overlap, the shortest counts.
    """
    at = answer.at_s[:, None, None]
    start, end = truth[..., :1], truth[..., 1:]
    inside = (at >= start) & (at <= end) & answer.real[:, None, None]
    finest = answer.level == 0
    held = (inside & finest).sum(-1, keepdim=True)
    fitting = (held / _INSIDE).clamp(min=1).log2().floor().clamp(max=int(answer.level.max()))
    chosen = inside & (answer.level == fitting)
    usable = answer.real[:, None, None] & finest
    away = (at - (start + end) / 2).abs().masked_fill(~usable, torch.inf)
    nearest = torch.zeros_like(chosen).scatter_(-1, away.argmin(-1, keepdim=True), True)
    lonely = ~chosen.any(-1, keepdim=True) & start.isfinite() & usable
    chosen = chosen | (nearest & lonely)
    length = (end - start).masked_fill(~chosen, torch.inf)
    which = length.argmin(2, keepdim=True)[..., None].expand(-1, -1, -1, -1, 2)
    moments = truth[:, :, :, None].expand(*chosen.shape, 2)
    return chosen.any(2), moments.gather(2, which)[:, :, 0]


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """The loss of each logit, of which p = sigmoid(logit) should be `wanted` in [0, 1]:
    |wanted - p|^gamma times the cross-entropy; the focal loss where that is 0 or 1."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (wanted - logits.sigmoid()).abs() ** _GAMMA * entropy


def iou(spans: Tensor, truth: Tensor) -> Tensor:
    """[...] of spans [..., 2] and others: what they share of what either covers."""
    shared = torch.minimum(spans, truth)[..., 1] - torch.maximum(spans, truth)[..., 0]
    shared = shared.clamp(min=0)
    union = (spans[..., 1] - spans[..., 0]) + (truth[..., 1] - truth[..., 0]) - shared
    return shared / union.clamp(min=1e-6)


def diou(spans: Tensor, truth: Tensor) -> Tensor:
    """[...] of spans [..., 2] and others: 1 - IoU + (distance of middles / whole length)^2.

    0 for equal spans, up to 2 for those far apart.
    """
    first, last = torch.minimum(spans, truth), torch.maximum(spans, truth)
    whole = (last[..., 1] - first[..., 0]).clamp(min=1e-6)
    apart = (spans.sum(-1) - truth.sum(-1)) / 2
    return 1 - iou(spans, truth) + (apart / whole) ** 2
