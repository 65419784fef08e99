"""Examples side by side, filled up to one length, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seal.ground.examples import Example
from seal.ground.model import Positions, Queries


class Batch(NamedTuple):
    """Videos with a query each."""

    video: Positions
    queries: Queries
    truth: Tensor
    """[b, 1, s, 2] seconds, filled up with NaN."""

    def to(self, device: Any) -> Batch:
        video = Positions(*(column.to(device, non_blocking=True) for column in self.video))
        queries = Queries(*(column.to(device, non_blocking=True) for column in self.queries))
        return Batch(video, queries, self.truth.to(device, non_blocking=True))


def collate(examples: Sequence[Example]) -> Batch:
    """All of `examples`, with times counted from the first token of each: single precision has
    hours in steps of a millisecond."""
    begin_s = [each.video.spans[:, :1].min(0) for each in examples]
    spans = [each.video.spans - at for each, at in zip(examples, begin_s, strict=True)]
    moments = [each.moments - at for each, at in zip(examples, begin_s, strict=True)]
    video = Positions(
        _padded([each.video.embeddings for each in examples]),
        _padded([each.video.kinds for each in examples]),
        _padded(spans),
        _padded([each.video.boxes for each in examples]),
        _real([len(each.video) for each in examples]),
    )
    queries = Queries(
        _padded([each.query for each in examples])[:, None],
        _real([len(each.query) for each in examples])[:, None],
        _padded([each.relevance for each in examples])[:, None],
    )
    return Batch(video, queries, _padded(moments, np.nan)[:, None])


def _padded(rows: Sequence[np.ndarray[Any, Any]], filling: float = 0) -> Tensor:
    """[b, n, ...] of arrays [n, ...]; floats in single precision."""
    out = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), filling, rows[0].dtype)
    for filled, row in zip(out, rows, strict=True):
        filled[: len(row)] = row
    tensor = torch.from_numpy(out)
    return tensor.float() if tensor.is_floating_point() else tensor


def _real(lengths: Sequence[int]) -> Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
