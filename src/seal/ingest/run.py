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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from multiprocessing.connection import Connection, wait
from pickle import PicklingError
from typing import Any, NamedTuple

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
"""Parts for each process that are worked on or wait to be stored: they are memory."""
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
    pool = _Pool(plan, instances, jobs)
    done_s: dict[int, float] = {}
    try:
        pool.start()
        while pool.is_busy:
            message = pool.receive()
            if isinstance(message, _Tick):
                done_s[message.number] = message.done_s
                report(done_s.values())
            elif isinstance(message, IndexedPart):
                done_s[message.number] = message.end_s - plan.starts_s[message.number]
                yield message
            else:
                raise message
    finally:
        # Whatever ends this early (Ctrl-C, a full disk) must not wait for parts half done.
        pool.stop()


class _Tick(NamedTuple):
    """How far a process is with a part."""

    number: int
    done_s: float


class _Failure(NamedTuple):
    """What a process raised, and where."""

    error: Exception
    traceback: str


class _Pool:
    """Processes that index the parts of one plan, each the next part as soon as it is free."""

    def __init__(self, plan: Plan, instances: Instances, jobs: int) -> None:
        self._plan, self._instances, self._jobs = plan, instances, jobs
        self._todo = deque(plan.todo)
        # Forking would copy the threads of the store; only fresh processes are safe.
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[tuple[Any, Connection]] = []
        self._idle: list[Connection] = []
        self._working: set[Connection] = set()
        self._inbox: queue.SimpleQueue[_Tick | IndexedPart | Exception] = queue.SimpleQueue()
        self._unread = 0
        """Parts in the inbox: they are memory, and a free process waits if there are too many."""
        self._lock = threading.Lock()
        self._waker, self._wake = multiprocessing.Pipe(duplex=False)
        # A process gets its next part while an earlier one is being stored.
        self._listener = threading.Thread(target=self._listen, daemon=True)

    @property
    def is_busy(self) -> bool:
        """Whether a part is still to come."""
        with self._lock:
            return bool(self._todo or self._working or self._unread)

    def start(self) -> None:
        """Start all processes. Raises BackendError if a model cannot be handed to them."""
        for _ in range(self._jobs):
            ours, theirs = self._context.Pipe()
            arguments = (self._plan, self._instances, theirs)
            process = self._context.Process(target=_serve, args=arguments, daemon=True)
            # Numerical libraries read this as a new process loads them. Threads beyond the cores
            # there are would spin in each other's way.
            with environment(OMP_NUM_THREADS="1"), uninterrupted():
                try:
                    process.start()
                except (AttributeError, TypeError, PicklingError) as error:
                    raise BackendError(
                        "a model that was handed in cannot go to another process"
                        f" ({error}); use one process: jobs=1"
                    ) from error
                finally:
                    # If only the process has this end, its death closes the pipe.
                    theirs.close()
            self._processes.append((process, ours))
            self._idle.append(ours)
        self._hand_out()
        self._listener.start()

    def _hand_out(self) -> None:
        with self._lock:
            room = _IN_FLIGHT * self._jobs - self._unread - len(self._working)
            while self._idle and self._todo and room > 0:
                process, room = self._idle.pop(0), room - 1
                self._working.add(process)
                # A process that has died says so when it is listened to.
                with suppress(OSError):
                    process.send(self._todo.popleft())

    def receive(self) -> _Tick | IndexedPart | Exception:
        """The next message: how far a part is, a part, or what has to be raised."""
        message = self._inbox.get()
        if isinstance(message, IndexedPart):
            with self._lock:
                self._unread -= 1
            self._hand_out()
        return message

    def _listen(self) -> None:
        every = [ours for _, ours in self._processes]
        while self._waker not in (ready := wait([self._waker, *every])):
            for process in ready:
                assert isinstance(process, Connection)
                try:
                    self._take(process, process.recv())
                except (EOFError, OSError):
                    every.remove(process)
                    if process in self._working:
                        self._inbox.put(self._died())

    def _take(self, process: Connection, message: Any) -> None:
        if isinstance(message, _Failure):
            message.error.__cause__ = RuntimeError(f"in a worker process:\n{message.traceback}")
            message = message.error
        if isinstance(message, IndexedPart):
            with self._lock:
                self._working.remove(process)
                self._idle.append(process)
                self._unread += 1
            self._hand_out()
        self._inbox.put(message)

    def _died(self) -> VideoError:
        return VideoError(
            f"{self._plan.source}: a worker process died. If memory ran out, run it again with"
            " fewer jobs: what is done is kept. If this is a Python script, let it index under"
            ' `if __name__ == "__main__":`, because each worker imports it anew'
        )

    def stop(self) -> None:
        """End all processes: a closed pipe tells each of them."""
        if self._listener.is_alive():
            self._wake.send_bytes(b"")
            self._listener.join()
        for _, ours in self._processes:
            ours.close()
        until = time.monotonic() + _PATIENCE_S
        for process, _ in self._processes:
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
            pipe.send(_Tick(number, done_s))

    try:
        models = Models.load(plan.options, instances)
        while True:
            pipe.send(index_part(plan, pipe.recv(), models, tick))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The parent has no use for this part any more.
        return
    except Exception as error:
        with suppress(OSError):
            pipe.send(_Failure(error, traceback.format_exc()))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
