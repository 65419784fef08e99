"""The image tower and what it is trained by."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

WIDTHS, DEPTHS = (48, 96, 192, 384), (1, 2, 4, 3)
"""Maps of 32, 16, 8 and 4 px: of the nets timed on one core (README) the best for its cost."""


class Conv(nn.Sequential):
    """Convolution, batch normalisation and, unless told otherwise, ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, relu: bool = True):
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        norm = nn.BatchNorm2d(c_out)
        super().__init__(conv, norm, *([nn.ReLU(inplace=True)] if relu else []))


class Block(nn.Module):
    """A bottleneck with a shortcut (He et al. 2016). Dense convolutions, because depthwise ones
    train no faster on a CPU."""

    def __init__(self, width: int):
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(
            Conv(width, half, 1), Conv(half, half, 3), Conv(half, width, 1, relu=False)
        )
        nn.init.zeros_(self.body[2][1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Tower(nn.Module):
    """uint8 pictures [n, 128, 128, 3] to embeddings [n, d], not normalised."""

    def __init__(self, dimension: int):
        super().__init__()
        layers: list[nn.Module] = [Conv(3, 24, 3, 2)]
        width = 24
        for wide, depth in zip(WIDTHS, DEPTHS, strict=True):
            layers += [Conv(width, wide, 3, 2), *(Block(wide) for _ in range(depth))]
            width = wide
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(width, dimension)

    def maps(self, pictures: Tensor) -> Tensor:
        """The last maps [n, width, 4, 4]."""
        x = pictures.permute(0, 3, 1, 2).to(self.out.weight.dtype) / 127.5 - 1
        return self.body(x)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.out(self.maps(pictures).mean((2, 3)))


class Head(nn.Module):
    """The teacher's pooled features [n, 1280] to embeddings [n, d], not normalised."""

    def __init__(self, features: int, dimension: int, hidden: int = 1024):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.line = nn.Linear(features, dimension)
        self.body = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, dimension),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.line(x) + self.body(x)


def contrast(pictures: Tensor, texts: Tensor, scale: Tensor, softness: float = 0.05) -> Tensor:
    """Symmetric InfoNCE of normalised pairs [n, d] whose targets are soft: texts that say the same
    are no negatives of each other."""
    target = F.softmax(texts @ texts.T / softness, dim=1)
    logits = scale * pictures @ texts.T
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def distil(logits: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """Kullback-Leibler divergence from the teacher's classes (Hinton et al. 2015)."""
    loss = F.kl_div(
        F.log_softmax(logits / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        log_target=True,
        reduction="batchmean",
    )
    return loss * temperature**2


class Things(nn.Module):
    """Which things a picture shows, by the cosines of its embedding and their names."""

    def __init__(self, things: int, scale: float = 14.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale).log())
        # How often a thing is spoken of, which has nothing to do with the picture.
        self.bias = nn.Parameter(torch.full((things,), -5.0))

    def forward(self, pictures: Tensor, things: Tensor, there: Tensor, counts: Tensor) -> Tensor:
        """The cross-entropy with `there` [n, things], by `counts`, for each thing that is there."""
        said = self.scale.exp() * pictures @ things.T + self.bias
        loss = F.binary_cross_entropy_with_logits(said, there, counts, reduction="sum")
        return loss / (there * counts).sum().clamp(min=1)


def precision(scores: Tensor, there: Tensor, least: int = 3) -> float:
    """Mean average precision over the things [n, things] that `least` pictures or more show."""
    rows = there.sum(0) >= least
    scores, there = scores[:, rows], there[:, rows]
    hits = there.gather(0, scores.argsort(0, descending=True)).float()
    ranks = torch.arange(1, len(hits) + 1)[:, None]
    return float(((hits.cumsum(0) / ranks * hits).sum(0) / hits.sum(0)).mean())


def recall(pictures: Tensor, texts: Tensor, ranks: tuple[int, ...] = (1, 5, 10)) -> list[float]:
    """Text-to-picture R@k of normalised pairs [n, d]; what is not lower ranks before."""
    scores = texts @ pictures.T
    better = (~(scores < scores.diagonal()[:, None])).sum(1) - 1
    return [(better < k).float().mean().item() for k in ranks]
