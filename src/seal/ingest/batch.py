"""Several videos, one after another or some at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

from seal.ingest.engine import OnProgress, Progress, StoppedError

Source = TypeVar("Source")
Result = TypeVar("Result")

_PATIENCE_S = 5.0
"""How long threads that nobody waits for may take to end."""


class Batch(Generic[Source, Result]):
    """The videos of a batch with what has come of each, in their order.

        for source, outcome in Batch(work, sources, at_once, on_progress, stop):
            outcome()   # what `work(source, on_progress, end_turn)` has returned or raised

    Videos begin one at a time and in their order: the next one begins when `work` has called
    `end_turn`, or has ended. Progress is that of the video whose outcome is waited for, and told in
    the thread that waits. `stop` is called in the end: it has to end what other threads are at.
    """

    def __init__(
        self,
        work: Callable[[Source, OnProgress, Callable[[], None]], Result],
        sources: Sequence[Source],
        at_once: int,
        on_progress: OnProgress,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._work, self._sources, self._stop = work, sources, stop
        self._at_once = min(at_once, len(sources))
        self._on_progress = on_progress
        self._ended: list[Future[Result]] = [Future() for _ in sources]
        self._begun = iter(range(len(sources)))
        self._turn = threading.Lock()
        self._is_stopped = False
        self._awaited: int | None = None
        self._latest = deque[Progress](maxlen=1)
        """The last progress of the video whose outcome is waited for, where nobody was told yet."""
        self._news = threading.Condition()

    def __iter__(self) -> Generator[tuple[Source, Callable[[], Result]], None, None]:
        threads = [
            threading.Thread(target=copy_context().run, args=(self._serve,), daemon=True)
            for _ in range(self._at_once if self._at_once > 1 else 0)
        ]
        try:
            for thread in threads:
                thread.start()
            for place, source in enumerate(self._sources):
                if threads:
                    yield source, partial(self._outcome, place)
                    wait([self._ended[place]])
                else:
                    yield source, partial(self._work, source, self._on_progress, lambda: None)
        finally:
            self._is_stopped = True
            self._stop()
            until = time.monotonic() + _PATIENCE_S
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))

    def _outcome(self, place: int) -> Result:
        ended = self._ended[place]
        with self._news:
            self._awaited = place
            self._latest.clear()
        while not ended.done():
            with self._news:
                self._news.wait_for(lambda: self._latest or ended.done())
                told = list(self._latest)
                self._latest.clear()
            for progress in told:
                self._on_progress(progress)
        return ended.result()

    def _serve(self) -> None:
        while True:
            with ExitStack() as turn:
                turn.enter_context(self._turn)
                place = next(self._begun, None)
                if place is None or self._is_stopped:
                    return
                told = partial(self._progressed, place)
                try:
                    result = self._work(self._sources[place], told, turn.close)
                except BaseException as error:
                    self._ended[place].set_exception(error)
                else:
                    self._ended[place].set_result(result)
                with self._news:
                    self._news.notify_all()

    def _progressed(self, place: int, progress: Progress) -> None:
        if self._is_stopped:
            raise StoppedError
        with self._news:
            if place == self._awaited:
                self._latest.append(progress)
                self._news.notify_all()
