"""Questions that stand while a stream runs: each is asked anew as the tokens chosen for it change.

A file waits for its answers. A live source does not: its answers come with a later window.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from seal.answer.answerer import Answerer
from seal.answer.conversation import Conversation
from seal.answer.evidence import Evidence
from seal.answer.prompt import frames_of
from seal.attention.candidates import costs
from seal.attention.streaming import Standing, Stream
from seal.config import Options, as_dict
from seal.content import Content
from seal.decompose import TokenBatch
from seal.encode import Encoder
from seal.errors import AnswerError
from seal.results import Answer
from seal.scope import Scope
from seal.store import VideoRecord
from seal.store.pictures import shown
from seal.types import Float64, Int64, Mask, Tokens
from seal.windows import Answered


class StandingContent(Content):
    """The tokens that a stream has chosen for a question by now, and the pictures kept of them."""

    is_one = True

    def __init__(
        self,
        standing: Standing,
        pictures: Mapping[str, list[bytes]],
        encoder: Encoder,
        record: VideoRecord,
    ) -> None:
        super().__init__([record])
        self._standing, self._pictures, self._encoder = standing, pictures, encoder

    @property
    def tokens(self) -> Tokens:
        return self._standing.tokens

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    @property
    def shift_s(self) -> Float64:
        return np.zeros(len(self.tokens))

    def count(self, record: VideoRecord) -> int:
        return len(self.tokens)

    def pictures(self, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        shares = np.broadcast_to(np.asarray(at, np.float64), len(tokens))
        kept = [self._pictures[name] for name in tokens.ids.tolist()]
        return [
            jpegs[min(int(share * len(jpegs)), len(jpegs) - 1)]
            for jpegs, share in zip(kept, shares, strict=True)
        ]

    def showable(self) -> Mask:
        """[n] the tokens of which a prompt can show all that it should.

        The pictures of a token that had left the window before its question came are not kept.
        """
        kept = np.array([name in self._pictures for name in self.tokens.ids.tolist()], bool)
        return kept | ~self.tokens.where(lambda kind: kind.is_drawn)


class Reached(NamedTuple):
    """How far a stream has come."""

    until_s: float
    """The end of its last window, on its clock."""
    length_s: float
    """Since its first picture."""


@dataclass
class _Progress:
    """How often a question was asked, and about what the last time."""

    tokens: frozenset[str] = frozenset()
    """The ids of the tokens that were chosen for it then."""
    until_s: float = -np.inf
    """How far the stream had come then."""
    asked: int = 0
    failed: int = 0
    pending: AsyncResult[Answer] | None = None
    """The answer that has not come yet."""


@dataclass
class StandingAnswers:
    """Asks a model the questions of a stream, one after the other and beside the stream."""

    answerer: Answerer | None
    """None asks nothing."""
    options: Options
    encoder: Encoder
    every_s: float
    """A question is asked anew after this much of the stream, if its tokens have changed."""
    source: str
    """What the tokens call their video."""
    _progress: dict[str, _Progress] = field(default_factory=dict)

    @cached_property
    def _pool(self) -> ThreadPool:
        # Unlike those of an executor, its threads hold up no interrupt.
        return ThreadPool(1)

    def pictures_of(self, batch: TokenBatch) -> dict[str, list[bytes]]:
        """The frames that a prompt would show of new tokens, by id, for `Stream.push`."""
        if self.answerer is None:
            return {}
        pts = np.array(sorted(batch.pictures), np.int64)

        def pictures(tokens: Tokens, at: Float64) -> list[bytes]:
            return [batch.pictures[tick] for tick in pts[shown(tokens, pts, at)].tolist()]

        frames = frames_of(pictures, batch.tokens, self.options.answer)
        return {
            name: jpegs
            for name, jpegs in zip(batch.tokens.ids.tolist(), frames, strict=True)
            if jpegs
        }

    def after(self, stream: Stream, reached: Reached, *, wait: bool) -> list[Answered] | None:
        """Ask what is due after a window; the answers that have come, with `wait` all of them.

        Without an answerer the result is None.
        """
        if self.answerer is None:
            return None
        came = list(self._arrived())
        for standing in stream.queries:
            progress = self._progress.setdefault(standing.text, _Progress())
            if reached.until_s - progress.until_s >= self.every_s:
                self._put(stream, standing, reached)
        return [*came, *self._arrived(wait=True)] if wait else came

    def rest(self, stream: Stream, reached: Reached) -> Iterator[list[Answered]]:
        """The answers that come after the last window, where there are any.

        First those that the stream did not wait for, then those to questions whose tokens have
        changed since they were asked.
        """
        for again in (False, True):
            for standing in stream.queries if again and self.answerer is not None else ():
                self._put(stream, standing, reached)
            if came := list(self._arrived(wait=True)):
                yield came

    def close(self) -> None:
        """Wait for no answer any more."""
        if "_pool" in vars(self):
            self._pool.terminate()

    def _put(self, stream: Stream, standing: Standing, reached: Reached) -> None:
        """Ask a question, unless its answer is awaited or would be the one that it has."""
        progress = self._progress.setdefault(standing.text, _Progress())
        tokens = frozenset(standing.tokens.ids.tolist())
        if not standing.text or progress.pending is not None or tokens == progress.tokens:
            return
        record = self._record(reached.length_s)
        content = StandingContent(standing, stream.pictures, self.encoder, record)
        progress.tokens, progress.until_s = tokens, reached.until_s
        progress.asked += 1
        progress.pending = self._pool.apply_async(self._ask, (standing, content))

    def _arrived(self, wait: bool = False) -> Iterator[Answered]:
        for text, progress in self._progress.items():
            pending = progress.pending
            if pending is None or not (wait or pending.ready()):
                continue
            answer, failure, progress.pending = None, "", None
            try:
                answer = pending.get()
            except AnswerError as error:
                failure, progress.tokens = str(error), frozenset()
                progress.failed += 1
            yield Answered(text, progress.until_s, answer, failure, progress.asked, progress.failed)

    def _ask(self, standing: Standing, content: StandingContent) -> Answer:
        assert self.answerer is not None
        began = time.monotonic()
        rows = np.flatnonzero(content.showable())
        scope = Scope(content, self.options)
        conversation = Conversation(scope, self.answerer, partial(_first, standing, rows))
        answer = conversation.ask(standing.text)
        notes, left = answer.notes, len(content.tokens) - len(rows)
        if left:
            notes = (f"{left} chosen tokens are not shown: their pictures were not kept", *notes)
        seconds = time.monotonic() - began
        return replace(answer, notes=notes, model=self.answerer.name, seconds=seconds)

    def _record(self, length_s: float) -> VideoRecord:
        """The stream as a video that ends now; what no prompt says of it is left empty."""
        return VideoRecord(
            id=self.source,
            path=self.source,
            location=self.source,
            content_id="",
            duration_s=length_s,
            start_s=0.0,
            width=0,
            height=0,
            codec="",
            rate_hz=None,
            profile=self.options.profile,
            encoder=self.encoder.fingerprint,
            encoder_options=as_dict(self.options.encode),
            options={},
            indexed_at="",
            seconds=0.0,
        )


def _first(
    standing: Standing,
    rows: Int64,
    scope: Scope,
    question: str,
    budget: float,
    *,
    new: float,
    **_: Any,
) -> Evidence:
    """Of the chosen tokens in these rows, as many of the first as `budget` and `new` allow."""
    spent = costs(scope.tokens, scope.options.attention)[rows].cumsum()
    rows = rows[spent <= min(budget, new) + 1e-9]
    in_time = rows[np.argsort(scope.start_s[rows], kind="stable")]
    return Evidence(in_time, standing.selection.relevance, [])
