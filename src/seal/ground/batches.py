"""Examples side by side, filled up to one length, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seal.ground.examples import HeadExample, HeadQuestion
from seal.ground.model import Positions, Queries
from seal.types import Float64


class HeadBatch(NamedTuple):
    """Videos with queries each: b and m of them."""

    video: Positions
    queries: Queries
    truth: Tensor
    """[b, m, s, 2] seconds, filled up with NaN."""

    def to(self, device: Any) -> HeadBatch:
        """The batch on a device of torch."""

        def moved(column: Tensor | None) -> Any:
            return None if column is None else column.to(device, non_blocking=True)

        video, queries = Positions(*map(moved, self.video)), Queries(*map(moved, self.queries))
        return HeadBatch(video, queries, moved(self.truth))


def collate(examples: Sequence[HeadExample]) -> HeadBatch:
    """All of `examples`, with times counted from the first token of each: single precision has
    hours in steps of a millisecond."""
    begin_s = [each.video.spans[:, :1].min(0) for each in examples]
    spans = [each.video.spans - at for each, at in zip(examples, begin_s, strict=True)]
    crops = [each.crops for each in examples if each.crops is not None]
    video = Positions(
        _padded([each.video.embeddings for each in examples]),
        _padded([each.video.kinds for each in examples]),
        _padded(spans),
        _padded([each.video.boxes for each in examples]),
        _real([len(each.video) for each in examples]),
        torch.from_numpy(np.concatenate(crops)) if crops else None,
    )
    most = max(len(each.questions) for each in examples)
    asked = [_filled(each, most, at) for each, at in zip(examples, begin_s, strict=True)]
    every = [question for of_video in asked for question in of_video]
    by_video = (len(examples), most)
    queries = Queries(
        _padded([each.query for each in every]).unflatten(0, by_video),
        _real([len(each.query) for each in every]).unflatten(0, by_video),
        _padded([each.relevance for each in every]).unflatten(0, by_video),
    )
    truth = _padded([each.moments for each in every], np.nan).unflatten(0, by_video)
    return HeadBatch(video, queries, truth)


def _filled(each: HeadExample, most: int, begin_s: Float64) -> list[HeadQuestion]:
    """The example's questions, and as many without words or moments as it has fewer than others."""
    first = each.questions[0]
    nothing = HeadQuestion(first.query[:0], np.zeros_like(first.relevance))
    asked = [replace(question, moments=question.moments - begin_s) for question in each.questions]
    return [*asked, *[nothing] * (most - len(asked))]


def _padded(rows: Sequence[np.ndarray[Any, Any]], filling: float = 0) -> Tensor:
    """[b, n, ...] of arrays [n, ...]; floats in single precision."""
    out = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), filling, rows[0].dtype)
    for filled, row in zip(out, rows, strict=True):
        filled[: len(row)] = row
    tensor = torch.from_numpy(out)
    return tensor.float() if tensor.is_floating_point() else tensor


def _real(lengths: Sequence[int]) -> Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
