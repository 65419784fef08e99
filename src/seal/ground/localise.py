"""A trained head in place of the ranking of `seal find`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
import torch

from seal.config import DecodeOptions, SelectOptions
from seal.errors import OptionError
from seal.ground.batches import collate
from seal.ground.decode import decode
from seal.ground.examples import HeadQuestion, Look, Timeline, chosen, crops_of, in_time, shown
from seal.ground.networks import Network
from seal.types import Float32, Int64, Moment, Span, Tokens

_KEPT = 16
"""Sets of positions of one video whose encodings are kept: about 1 MB each in the default sizes."""


def localise(
    head: Network,
    tokens: Tokens,
    queries: Sequence[Float32],
    relevance: Sequence[Float32],
    options: DecodeOptions,
    budget: int | None = None,
    look: Look | None = None,
    select: SelectOptions | None = None,
) -> list[list[Moment]]:
    """The moments of each query in one video: see `Localiser`."""
    return Localiser.of(head, tokens, budget, look, select)(queries, relevance, options)


class Localiser:
    """Finds moments in one video, on the device of the head.

    `choose` says which rows of the video a query with R [n] looks at. Queries that look at the same
    rows share one pass of the head's encoder.

    Raises OptionError for embeddings of another dimension than the head's.
    """

    def __init__(
        self,
        head: Network,
        video: Timeline,
        within: Span,
        choose: Callable[[Float32], Int64],
        look: Look | None = None,
    ) -> None:
        if len(video) and video.embeddings.shape[1] != head.sizes.dimension:
            raise OptionError(
                f"the head takes embeddings of {head.sizes.dimension} dimensions, these have"
                f" {video.embeddings.shape[1]}: it was trained with another encoder"
            )
        self._head, self._video, self._within = head, video, within
        self._choose, self._look = choose, look
        self._encoded: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = Lock()

    @staticmethod
    def of(
        head: Network,
        tokens: Tokens,
        budget: int | None = None,
        look: Look | None = None,
        select: SelectOptions | None = None,
    ) -> Localiser:
        """Over the tokens of a video. A query has the `budget`, by default the one that the head
        was trained with, for itself. A head with crops needs to `look` at them. `select` says how
        the positions are chosen that the budget is spent on, by default as the head was trained
        (`seal.ground.examples.chosen`).

        All queries look at the same positions if the video has no more tokens than the budget, or
        if the head looks at frames.
        """
        sizes = replace(head.sizes, budget=budget or head.sizes.budget)
        sizes = (select or SelectOptions()).on(sizes)
        video, within = Timeline.of(tokens), Span(0.0, 0.0)
        if len(tokens):
            within = Span(float(tokens.start_s.min()), float(tokens.end_s.max()))
        return Localiser(
            head, video, within, lambda scores: chosen(video, scores[None], sizes), look
        )

    def __call__(
        self, queries: Sequence[Float32], relevance: Sequence[Float32], options: DecodeOptions
    ) -> list[list[Moment]]:
        """For each of the queries [d] or [words, d] at most `options.top` moments, best first.

        `relevance` has R [n] of every token to each query. Scores lie in (0, 1) and are comparable
        between queries. Without tokens there are no moments.

        Raises OptionError if a head with crops cannot look at them, and if the video has fewer
        frames than a head over frames looks at.
        """
        if not len(self._video):
            return [[] for _ in queries]
        return [
            self._moments(HeadQuestion(np.atleast_2d(query), scores), options)
            for query, scores in zip(queries, relevance, strict=True)
        ]

    def _moments(self, question: HeadQuestion, options: DecodeOptions) -> list[Moment]:
        rows = in_time(self._video, self._choose(question.relevance))
        key = rows.tobytes()
        with self._lock:
            encoded: Any = self._encoded.get(key)
        # Crops are pictures to read: they are looked at for the encoder alone.
        crops = (
            None
            if encoded is not None
            else crops_of(self._video, rows, self._head.sizes, self._look)
        )
        example = shown(self._video, [question], rows, crops)
        device = next(self._head.parameters()).device
        batch = collate([example]).to(device)
        with torch.inference_mode():
            if encoded is None:
                encoded = self._head.encode(batch.video)
            answer = self._head.answer(encoded, batch.queries)
        with self._lock:
            self._encoded[key] = encoded
            self._encoded.move_to_end(key)
            if len(self._encoded) > _KEPT:
                self._encoded.popitem(last=False)
        real = answer.real[0]
        # As `collate` counts times.
        begin_s = float(example.video.spans[:, 0].min())
        spans = answer.spans[0, 0, real].double().cpu().numpy() + begin_s
        likely = answer.logits[0, 0, real].sigmoid().double().cpu().numpy()
        # Tokens see a moment in several ways at once. Frames, one at a time, only agree the more
        # the longer a shot is (LOG).
        agree = self._head.sizes.positions == "tokens"
        return decode(spans, likely, self._within, options, agree)
