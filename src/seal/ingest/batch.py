"""Several videos, one after another or some at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from seal.ingest import OnProgress, Progress

Source = TypeVar("Source")
Result = TypeVar("Result")


class _StoppedError(Exception):
    """Nobody waits for what a thread does."""


class Batch(Generic[Source, Result]):
    """The videos of a batch with what has come of each, in the order in which they end.

        for source, outcome in Batch(work, sources, at_once, on_progress):
            outcome()   # what `work(source, on_progress)` has returned, or raises what it raised

    With several at a time, progress is that of all together.
    """

    def __init__(
        self,
        work: Callable[[Source, OnProgress], Result],
        sources: Sequence[Source],
        at_once: int,
        on_progress: OnProgress,
    ) -> None:
        self._work, self._sources = work, sources
        self._at_once = min(at_once, len(sources))
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._running: dict[int, Progress] = {}
        self._done_s = self._skipped_s = 0.0
        self._is_stopped = False

    def __iter__(self) -> Iterator[tuple[Source, Callable[[], Result]]]:
        if self._at_once <= 1:
            for source in self._sources:
                yield source, partial(self._work, source, self._on_progress)
            return
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        ended: queue.SimpleQueue[tuple[Source, Callable[[], Result]]] = queue.SimpleQueue()
        for place in range(len(self._sources)):
            waiting.put(place)
        for _ in range(self._at_once):
            threading.Thread(target=self._serve, args=(waiting, ended), daemon=True).start()
        try:
            for _ in self._sources:
                yield ended.get()
        finally:
            # A thread hears of it when it next tells its progress.
            self._is_stopped = True

    def _serve(
        self,
        waiting: queue.SimpleQueue[int],
        ended: queue.SimpleQueue[tuple[Source, Callable[[], Result]]],
    ) -> None:
        while not self._is_stopped:
            try:
                place = waiting.get_nowait()
            except queue.Empty:
                return
            source = self._sources[place]
            try:
                result = self._work(source, partial(self._progressed, place))
            except BaseException as error:
                ended.put((source, partial(_raise, error)))
            else:
                ended.put((source, partial(_give, result)))
            with self._lock:
                if (last := self._running.pop(place, None)) is not None:
                    self._done_s += last.done_s
                    self._skipped_s += last.skipped_s

    def _progressed(self, place: int, progress: Progress) -> None:
        from seal.ingest import Progress

        if self._is_stopped:
            raise _StoppedError
        with self._lock:
            if progress.stage != "indexing" and place in self._running:
                return
            self._running[place] = progress
            running = list(self._running.values())
            everything = Progress(
                "indexing",
                self._done_s + sum(each.done_s for each in running),
                self._skipped_s + sum(each.skipped_s for each in running),
                None,
                tuple(worker for each in running for worker in each.workers),
            )
            self._on_progress(everything)


def _raise(error: BaseException) -> Any:
    raise error


def _give(result: Result) -> Result:
    return result
