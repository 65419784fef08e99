"""The detector and what it is trained by.

An anchor-free detector in the form of YOLOX (Ge et al. 2021): a trunk, a pyramid of three grids,
and in every cell a box, the probability of a thing, and that of each name. Convolutions are dense
and activations are ReLU: both run faster in 8 bits on a CPU than what the teacher has.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from model import Block, Conv
from torch import Tensor, nn

from seal.detect.grid import cells

NAMES = 80
WIDTHS = {"dark3": 64, "dark4": 128, "dark5": 256, "out3": 64, "out4": 128, "out5": 256}
HEAD = 64


class Head(nn.Module):
    """What one grid says: the features and maps of names and of places."""

    def __init__(self, width: int):
        super().__init__()
        self.stem = Conv(width, HEAD, 1)
        self.named, self.placed = Conv(HEAD, HEAD, 3), Conv(HEAD, HEAD, 3)
        self.names, self.places = nn.Conv2d(HEAD, NAMES, 1), nn.Conv2d(HEAD, 5, 1)
        # At first a cell says that a thing of some name is there once in a hundred times.
        for layer in (self.names, self.places):
            nn.init.constant_(layer.bias[-NAMES if layer is self.names else 4 :], -4.6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.stem(x)
        named, placed = self.named(x), self.placed(x)
        return named, placed, self.names(named), self.places(placed)


class Detector(nn.Module):
    """RGB pictures [n, height, width, 3], sides multiples of 32, to the maps of their grids."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 24, 3, 2)
        self.stage2 = nn.Sequential(Conv(24, 32, 3, 2), Block(32))
        self.stage3 = nn.Sequential(Conv(32, 64, 3, 2), Block(64), Block(64))
        self.stage4 = nn.Sequential(Conv(64, 128, 3, 2), Block(128), Block(128), Block(128))
        self.stage5 = nn.Sequential(Conv(128, 256, 3, 2), Conv(256, 128, 1))
        self.pooled = nn.Sequential(Conv(512, 256, 1), Block(256), Block(256))
        self.side5, self.side4 = Conv(256, 128, 1), Conv(128, 64, 1)
        self.up4 = nn.Sequential(Conv(256, 128, 1), Block(128))
        self.up3 = nn.Sequential(Conv(128, 64, 1), Block(64))
        self.down4, self.down5 = Conv(64, 64, 3, 2), Conv(128, 128, 3, 2)
        self.out4 = nn.Sequential(Conv(128, 128, 1), Block(128))
        self.out5 = nn.Sequential(Conv(256, 256, 1), Block(256))
        self.heads = nn.ModuleList(Head(WIDTHS[f"out{i}"]) for i in (3, 4, 5))

    def forward(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [n, cells, 5 + names] (the box as it is), and the maps inside by name."""
        x = pictures.permute(0, 3, 1, 2).to(self.heads[0].names.weight.dtype) / 127.5 - 1
        dark3 = self.stage3(self.stage2(self.stem(x)))
        dark4 = self.stage4(dark3)
        x = self.stage5(dark4)
        wider = [x]
        for _ in range(3):
            wider.append(F.max_pool2d(wider[-1], 5, 1, 2))
        dark5 = self.pooled(torch.cat(wider, 1))
        side5 = self.side5(dark5)
        up4 = self.up4(torch.cat([F.interpolate(side5, scale_factor=2), dark4], 1))
        side4 = self.side4(up4)
        out3 = self.up3(torch.cat([F.interpolate(side4, scale_factor=2), dark3], 1))
        out4 = self.out4(torch.cat([self.down4(out3), side4], 1))
        out5 = self.out5(torch.cat([self.down5(out4), side5], 1))
        maps = {"dark3": dark3, "dark4": dark4, "dark5": dark5}
        maps |= {"out3": out3, "out4": out4, "out5": out5}
        said = []
        for i, head in enumerate(self.heads, 3):
            named, placed, names, places = head(maps[f"out{i}"])
            maps |= {f"named{i}": named, f"placed{i}": placed}
            said.append(torch.cat([places, names], 1).flatten(2))
        return torch.cat(said, 2).transpose(1, 2), maps


def corners(raw: Tensor, height: int, width: int) -> Tensor:
    """[..., cells, 4] px x0 y0 x1 y1 of the boxes in raw [..., cells, 4 or more]."""
    places, strides = (torch.from_numpy(part) for part in cells(height, width))
    middle = (raw[..., :2] + places) * strides
    half = raw[..., 2:4].clamp(max=6).exp() * strides / 2
    return torch.cat([middle - half, middle + half], -1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """[...] of boxes [..., 4] with boxes [..., 4] (Rezatofighi et al. 2019), in (-1, 1]."""
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    shared, hull = inner.prod(-1), outer.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return shared / union - (hull - union) / hull


def losses(said: Tensor, raw: Tensor, height: int, width: int) -> dict[str, Tensor]:
    """How far logits [n, cells, 5 + names] are from what the teacher says, which has probabilities.

    Names and boxes count by the square of the probability that a thing is there: the teacher's many
    cells of a hundredth would outweigh what it sees.
    """
    thing, names = raw[..., 4], raw[..., 5:]
    sure = thing.square()
    total, total_sure = thing.sum().clamp(min=1), sure.sum().clamp(min=1)
    bce = F.binary_cross_entropy_with_logits
    apart = 1 - generalised_iou(*(corners(one, height, width) for one in (said, raw)))
    return {
        "thing": bce(said[..., 4], thing, reduction="none").sum() / total,
        "names": (bce(said[..., 5:], names, reduction="none").sum(-1) * sure).sum() / total_sure,
        "boxes": (apart * sure).sum() / total_sure,
    }


class Student(nn.Module):
    """The detector, with what only training needs: a readout of each of the teacher's maps."""

    def __init__(self, spread: dict[str, Tensor]):
        super().__init__()
        self.detector = Detector()
        self.readouts = nn.ModuleDict(
            {name: nn.Conv2d(WIDTHS.get(name, HEAD), len(s), 1) for name, s in spread.items()}
        )
        self.spread = {name: s[:, None, None] for name, s in spread.items()}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            said, maps = self.detector(batch["scenes"])
            read = {name: readout(maps[name]) for name, readout in self.readouts.items()}
        found = losses(said.float(), batch["raw"], *batch["scenes"].shape[1:3])
        hints = [
            ((read[name].float() - batch[name]) / self.spread[name]).square().mean()
            for name in self.readouts
        ]
        return found | {"hints": torch.stack(hints).mean()}
