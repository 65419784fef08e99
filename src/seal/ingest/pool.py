"""Worker processes of this machine, which do the parts of several plans.

They talk over their standard input and output (`seal.ingest.worker`). A killed run leaves nothing
behind, such as named semaphores, and the user's script is not imported again.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from seal.config import Options
from seal.decompose import Instances
from seal.errors import BackendError, VideoError
from seal.ingest.engine import Board, PartQueue, StoppedError
from seal.ingest.places import places
from seal.ingest.plan import Plan
from seal.ingest.work import IndexedPart
from seal.ingest.worker import Failure, Ticked, Unreadable
from seal.inventory import DeadLetter
from seal.processes import uninterrupted

_IN_FLIGHT = 2
"""Parts for each process that are worked on, wait to be stored or are stored: they are memory."""
_PATIENCE_S = 5.0
"""How long a process that closed its output may take to end."""
_COMMAND = "from seal.ingest.worker import main; main()"

Process = subprocess.Popen[bytes]


class Pool:
    """Up to `jobs` processes, each of which does the next part as soon as it is free.

    Parts of the plan that came first are done first. The processes stay from one plan to the next,
    with their models: all plans have the same options and objects handed in. A thread listens to
    each process and hands out parts, because the threads that store parts may be busy.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = self._seats = jobs
        self._plans: list[_Running] = []
        self._models = b""
        self._processes: dict[Process, threading.Thread] = {}
        """Each with the thread that listens to it."""
        self._idle: deque[Process] = deque()
        self._working: dict[Process, tuple[_Running, int]] = {}
        self._has: dict[Process, _Running] = {}
        """The plan that a process was sent last."""
        self._devices: list[dict[str, str]] = []
        self._started = 0
        self._is_stopped = False
        self._changed = threading.Condition()

    @property
    def processes(self) -> list[Process]:
        """Those that live, as far as is known."""
        return list(self._processes)

    def start(self, count: int, options: Options) -> None:
        """See to it that `count` processes are there, at the devices of the options in turn. What
        they import takes as long as a plan does, so this may come before there is one."""
        with self._changed:
            self._check()
            self._devices = self._devices or places(options)
            for _ in range(count - len(self._processes)):
                self._start()

    def _check(self) -> None:
        if self._is_stopped:
            raise StoppedError

    def _start(self) -> None:
        here = self._devices[self._started % len(self._devices)]
        self._started += 1
        # Numerical libraries read the number of threads as they are loaded. Threads beyond the
        # cores there are would spin in each other's way.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        with uninterrupted():
            process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment | here,
            )
            self._processes[process] = threading.Thread(
                target=self._listen, args=(process,), daemon=True
            )
            self._idle.append(process)
            self._processes[process].start()

    def run(
        self, plan: Plan, instances: Instances, board: Board
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        """Every part of a plan that is to do. An early end waits for no part half done.

        Raises BackendError at once if a model cannot go to another process. Then raises VideoError
        if the file has changed meanwhile, StoppedError, and what a process raises.
        """
        running = _Running(plan)
        with self._changed:
            self._check()
            self._devices = self._devices or places(plan.options)
            self._models = self._models or _portable(plan.options, instances)
            self._plans.append(running)
            self._hand_out()
        return self._parts(running, board)

    def _parts(
        self, running: _Running, board: Board
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        try:
            while self._is_busy(running):
                news = running.inbox.get()
                if isinstance(news, Exception):
                    raise news
                if isinstance(news, _Left):
                    board.left(news.number, news.done_s)
                    if news.found is not None:
                        yield news.found
                    with self._changed:
                        running.unread -= 1
                        self._hand_out()
                else:
                    name, ticked = news
                    board.at(name, *ticked)
        finally:
            with self._changed:
                # What its processes are at comes to nothing.
                self._plans.remove(running)
                self._hand_out()

    def _is_busy(self, running: _Running) -> bool:
        """Whether something is still to come of a plan."""
        with self._changed:
            at_work = any(plan is running for plan, _ in self._working.values())
            return self._is_stopped or at_work or bool(running.queue or running.unread)

    @contextmanager
    def seat(self) -> Iterator[None]:
        """One process fewer works meanwhile, for this process does the work of one.

        Raises StoppedError.
        """
        with self._changed:
            self._seats -= 1
        try:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_stopped or len(self._working) <= self._seats
                )
                self._check()
            yield
        finally:
            with self._changed:
                self._seats += 1
                self._hand_out()

    def _hand_out(self) -> None:
        for running in self._plans:
            while running.queue and self._has_room:
                if not self._idle:
                    self._start()
                process, number = self._idle.popleft(), running.queue.take()
                self._working[process] = running, number
                if process not in self._has:
                    _send(process, self._models)
                if self._has.get(process) is not running:
                    _send(process, running.task)
                    self._has[process] = running
                _send(process, pickle.dumps(number))
                running.ticked(process, Ticked(number, 0.0))
        self._changed.notify_all()

    @property
    def _has_room(self) -> bool:
        """Whether one part more may be worked on."""
        count = len(self._working)
        held = count + sum(running.unread for running in self._plans)
        return not self._is_stopped and count < self._seats and held < _IN_FLIGHT * self._jobs

    def _listen(self, process: Process) -> None:
        """Take what a process says until it ends. What it says comes from our own code."""
        answers = process.stdout
        assert answers is not None
        try:
            with answers:
                while True:
                    self._take(process, pickle.load(answers))
        except (EOFError, OSError, pickle.UnpicklingError):
            self._ended(process)
        except Exception as error:
            process.kill()
            self._ended(process, error)

    def _take(self, process: Process, message: Any) -> None:
        running, number = self._working[process]
        if isinstance(message, Ticked):
            running.ticked(process, message)
            return
        if isinstance(message, Failure):
            # The process ends now.
            message.error.__cause__ = RuntimeError(f"in a worker process:\n{message.traceback}")
            self._left(process, message.error)
            return
        what: IndexedPart | DeadLetter | Exception | None = message
        if isinstance(message, Unreadable):
            what = _changed_meanwhile(running.plan)
        with self._changed:
            if isinstance(message, Unreadable) and what is None:
                what = running.queue.failed(number, str(message.error))
            self._left(process, what)
            self._idle.append(process)
            self._hand_out()

    def _left(self, process: Process, what: IndexedPart | DeadLetter | Exception | None) -> None:
        """A process has left its part. Of a plan that nobody waits for this is dropped."""
        with self._changed:
            running, number = self._working.pop(process)
            if running not in self._plans:
                return
            done_s = 0.0
            if isinstance(what, IndexedPart):
                done_s = what.end_s - running.plan.starts_s[number]
            running.tell(what if isinstance(what, Exception) else _Left(number, done_s, what))

    def _ended(self, process: Process, error: Exception | None = None) -> None:
        """A process is gone: its part has failed, and another process takes its place."""
        how = _how(process)
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        with self._changed:
            self._processes.pop(process)
            self._has.pop(process, None)
            if process in self._idle:
                self._idle.remove(process)
            if process in self._working and not self._is_stopped:
                running, number = self._working[process]
                reason = f"its worker process died ({how})"
                self._left(process, error or running.queue.died(number, reason))
            self._hand_out()

    def close(self) -> None:
        """End all processes, whatever they are at. Who waits for parts gets StoppedError."""
        with self._changed:
            self._is_stopped = True
            for running in self._plans:
                running.tell(StoppedError())
            ending = dict(self._processes)
            self._changed.notify_all()
        for process in ending:
            process.kill()
        for process, listener in ending.items():
            process.wait()
            listener.join()


class _Left(NamedTuple):
    """A process has left a part, with so much of it done."""

    number: int
    done_s: float
    found: IndexedPart | DeadLetter | None
    """None where the part is to be tried again."""


class _Running:
    """A plan that processes work on."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.task = plan, pickle.dumps(plan)
        self.queue = PartQueue(plan)
        self.inbox: queue.SimpleQueue[tuple[str, Ticked] | _Left | Exception] = queue.SimpleQueue()
        self.unread = 0
        """Parts and errors in the inbox, and the part that is being stored."""

    def ticked(self, process: Process, how_far: Ticked) -> None:
        """Have it read, when there is time, how far a process is."""
        self.inbox.put((f"process {process.pid}", how_far))

    def tell(self, news: _Left | Exception) -> None:
        """Have it read by whoever waits for the parts."""
        self.unread += 1
        self.inbox.put(news)


def _portable(options: Options, instances: Instances) -> bytes:
    """Raises BackendError."""
    try:
        return pickle.dumps((options, instances))
    except Exception as error:  # Whatever the pickling of somebody else's object raises.
        raise BackendError(
            f"a model that was handed in cannot go to another process ({error}); use one"
            " process: jobs=1"
        ) from error


def _changed_meanwhile(plan: Plan) -> VideoError | None:
    """What is wrong with a video whose file has changed: that is no matter of one part."""
    try:
        plan.files.check()
    except VideoError as error:
        return error
    return None


def _how(process: Process) -> str:
    """How a process ended that was not told to."""
    try:
        code = process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return "it closed its output"
    if code >= 0:
        return f"exit code {code}"
    return f"{signal.Signals(-code).name}; if memory ran out, use fewer jobs"


def _send(process: Process, message: bytes) -> None:
    # A process that has died says so when it is listened to; ValueError: it was told to end.
    with suppress(OSError, ValueError):
        process.stdin.write(message)  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
