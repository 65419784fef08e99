"""The local engine: the parts of a plan, one after another or by several processes.

An engine takes a plan and yields its parts as they get done. Processes talk over pipes: nothing
else, such as a named semaphore, outlives them if they are killed.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from multiprocessing.connection import Connection, wait
from pickle import PicklingError
from typing import Any

import cv2

from seal.decompose import Instances, Models
from seal.errors import BackendError, VideoError
from seal.ingest.plan import Plan
from seal.ingest.work import IndexedPart, index_frames, index_part
from seal.processes import environment, uninterrupted
from seal.video import Video

Report = Callable[[Iterable[float]], None]
"""Called with the seconds done of each part that was begun."""

_IN_FLIGHT = 2
"""Parts handed to a process: the one it works on, and one in reserve. Results must not pile up."""
_TICK_S = 0.2
"""How often a process says how far it is."""
_PATIENCE_S = 5.0
"""How long a process may take to notice that nobody wants its part any more."""


def in_process(plan: Plan, video: Video, models: Models, report: Report) -> Iterator[IndexedPart]:
    """Every part that lacks something, by this process, from a video that is open already."""
    done_s: dict[int, float] = {}

    def tick(number: int, seconds: float) -> None:
        done_s[number] = seconds
        report(done_s.values())

    if plan.is_cut:
        for number in plan.todo:
            frames = video.frames(*plan.bounds_s(number))
            start_s = plan.starts_s[number]
            yield index_frames(plan, number, start_s, frames, video, models, tick)
        return
    for number, frames in groupby(video.frames(), plan.part_at):
        start_s = plan.info.start_s + number * plan.options.video.part_s
        if plan.missing(number):
            yield index_frames(plan, number, start_s, frames, video, models, tick)


def in_processes(
    plan: Plan, instances: Instances, jobs: int, report: Report
) -> Iterator[IndexedPart]:
    """Every part that lacks something, by `jobs` processes that decode with one thread each.

    Raises VideoError if the video cannot be read or a process dies, and what a process raises.
    """
    todo, pool = iter(plan.todo), _Pool(plan, instances)
    done_s: dict[int, float] = {}
    try:
        for _ in range(jobs):
            pool.start(todo)
        while pool.is_busy:
            kind, *values = pool.receive()
            if kind == "tick":
                number, done_s[number] = values
                report(done_s.values())
            elif kind == "part":
                worker, part = values
                done_s[part.number] = part.end_s - plan.starts_s[part.number]
                pool.hand(worker, todo)
                yield part
            elif kind == "failed" or pool.expects(values[0]):
                raise pool.failure(*values)
    finally:
        # Whatever ends this early (Ctrl-C, a full disk) must not wait for parts half done.
        pool.stop()


class _Pool:
    """Processes that index parts of one plan."""

    def __init__(self, plan: Plan, instances: Instances) -> None:
        self._plan, self._instances = plan, instances
        # Forking would copy the threads of the store; only fresh processes are safe.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[tuple[Any, Connection]] = []
        self._pending: dict[Connection, int] = {}
        self._inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._waker, self._wake = multiprocessing.Pipe(duplex=False)
        # A process that has finished a part goes on while an earlier one is being stored.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def is_busy(self) -> bool:
        return any(self._pending.values())

    def start(self, todo: Iterator[int]) -> None:
        """One more process, with its first parts."""
        ours, theirs = self._context.Pipe()
        arguments = (self._plan, self._instances, theirs)
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        # Numerical libraries read this as a new process loads them. Threads beyond the cores there
        # are would spin in each other's way.
        with environment(OMP_NUM_THREADS="1"), uninterrupted():
            try:
                process.start()
            except (AttributeError, TypeError, PicklingError) as error:
                raise BackendError(
                    f"a model that was handed in cannot go to another process ({error});"
                    " use one process: jobs=1"
                ) from error
            finally:
                # If only the process has this end, its death closes the pipe.
                theirs.close()
        self._workers.append((process, ours))
        self._pending[ours] = 0
        for _ in range(_IN_FLIGHT):
            self.hand(ours, todo, first=True)
        self._wake.send_bytes(b"new")

    def hand(self, worker: Connection, todo: Iterator[int], first: bool = False) -> None:
        """The next part, if there is one, to a process that has finished one."""
        if not first:
            self._pending[worker] -= 1
        number = next(todo, None)
        if number is not None:
            # A process that has died says so when it is listened to.
            with suppress(OSError):
                worker.send(number)
            self._pending[worker] += 1

    def receive(self) -> tuple[Any, ...]:
        """The next message of any process: a tick, a part, or how it failed."""
        return self._inbox.get()

    def _listen(self) -> None:
        gone: set[Connection] = set()
        while True:
            open_ = [ours for _, ours in self._workers if ours not in gone]
            for ready in wait([self._waker, *open_]):
                if ready is self._waker:
                    if self._waker.recv_bytes() == b"end":
                        return
                    continue
                assert isinstance(ready, Connection)
                try:
                    kind, *values = ready.recv()
                    self._inbox.put((kind, *([ready] if kind == "part" else []), *values))
                except (EOFError, OSError):
                    gone.add(ready)
                    self._inbox.put(("died", ready))

    def expects(self, worker: Connection) -> bool:
        """Whether a process still owes a part."""
        return self._pending[worker] > 0

    def failure(self, error: BaseException | Connection, told: str = "") -> BaseException:
        """What to raise where a process failed: its own error, or that it died."""
        if isinstance(error, BaseException):
            error.__cause__ = RuntimeError(f"in a worker process:\n{told}")
            return error
        return VideoError(
            f"{self._plan.source}: a worker process died. If memory ran out, run it again with"
            " fewer jobs: what is done is kept. If this is a Python script, let it index under"
            ' `if __name__ == "__main__":`, because each worker imports it anew'
        )

    def stop(self) -> None:
        """End all processes: a closed pipe tells each of them."""
        self._wake.send_bytes(b"end")
        self._listener.join()
        for _, ours in self._workers:
            ours.close()
        until = time.monotonic() + _PATIENCE_S
        for process, _ in self._workers:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        self._wake.close()
        self._waker.close()


def _serve(plan: Plan, instances: Instances, pipe: Connection) -> None:
    """What a worker process does: index the parts it is sent until the pipe is closed."""
    # Ctrl-C in a terminal goes to every process; the parent stops its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If the parent is killed nobody else would stop a worker that loads or computes.
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    last = time.monotonic()

    def tick(number: int, done_s: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _TICK_S:
            last = time.monotonic()
            pipe.send(("tick", number, done_s))

    try:
        models = Models.load(plan.options, instances)
        while True:
            pipe.send(("part", index_part(plan, pipe.recv(), models, tick)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The parent has no use for this part any more.
        return
    except Exception as error:
        with suppress(OSError):
            pipe.send(("failed", error, traceback.format_exc()))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
