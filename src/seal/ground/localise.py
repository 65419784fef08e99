"""A trained head in place of the ranking of `seal find`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from seal.config import DecodeOptions, SelectOptions
from seal.errors import OptionError
from seal.ground.batches import collate
from seal.ground.decode import decode
from seal.ground.examples import HeadQuestion, Look, Timeline, example
from seal.ground.model import Head
from seal.types import Float32, Moment, Span, Tokens


def localise(
    head: Head,
    tokens: Tokens,
    queries: Sequence[Float32],
    relevance: Sequence[Float32],
    options: DecodeOptions,
    budget: int | None = None,
    look: Look | None = None,
    select: SelectOptions | None = None,
) -> list[list[Moment]]:
    """For each of the queries [d] or [words, d] at most `options.top` moments, best first.

    `relevance` has R [n] of every token to each query; a query has the `budget` for itself. Scores
    lie in (0, 1) and are comparable between queries. Without tokens there are no moments. A head
    with crops needs to `look` at them. `select` says how the positions are chosen that the budget
    is spent on, by default as the head was trained (`seal.ground.examples.chosen`).

    Raises OptionError for embeddings of another dimension than the head's, and without crops.
    """
    if not len(tokens):
        return [[] for _ in queries]
    if tokens.embeddings.shape[1] != head.sizes.dimension:
        raise OptionError(
            f"the head takes embeddings of {head.sizes.dimension} dimensions, these have"
            f" {tokens.embeddings.shape[1]}: it was trained with another encoder"
        )
    sizes = (select or SelectOptions()).on(replace(head.sizes, budget=budget or head.sizes.budget))
    video = Timeline.of(tokens)
    within = Span(float(tokens.start_s.min()), float(tokens.end_s.max()))
    # Tokens see a moment in several ways at once. Frames, one at a time, only agree the more the
    # longer a shot is (LOG).
    agree = sizes.positions == "tokens"
    moments = []
    for query, scores in zip(queries, relevance, strict=True):
        shown = example(video, [HeadQuestion(np.atleast_2d(query), scores)], sizes, look)
        batch = collate([shown])
        with torch.inference_mode():
            answer = head(batch.video, batch.queries)
        real = answer.real[0]
        # As `collate` counts times.
        begin_s = float(shown.video.spans[:, 0].min())
        spans = answer.spans[0, 0, real].double().numpy() + begin_s
        likely = answer.logits[0, 0, real].sigmoid().double().numpy()
        moments.append(decode(spans, likely, within, options, agree))
    return moments
