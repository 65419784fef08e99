"""The local engine: the parts of a plan, one after another or by several processes.

Worker processes talk over their standard input and output (`seal.ingest.worker`). A killed run
leaves nothing behind, such as named semaphores, and the user's script is not imported again.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from seal import kinds
from seal.config import Options
from seal.decompose import Instances, Models
from seal.errors import BackendError, VideoError
from seal.ingest.engine import Board, Engine, PartQueue
from seal.ingest.places import places
from seal.ingest.plan import Plan
from seal.ingest.work import IndexedPart, frames_of, index_frames, index_part
from seal.ingest.worker import Failure, Ticked, Unreadable
from seal.inventory import DeadLetter
from seal.processes import uninterrupted
from seal.video import Frame, VideoReader
from seal.words.listening import Listener

_IN_FLIGHT = 2
"""Parts for each process that are worked on or wait to be stored: they are memory."""
_PATIENCE_S = 5.0
"""How long a process may take to end."""
_COMMAND = "from seal.ingest.worker import main; main()"


class LocalEngine(Engine):
    """Processes of this machine, or this process alone where there is one job."""

    def __init__(self, options: Any, jobs: int | None = None) -> None:
        super().__init__(options, jobs)
        self._workers = Workers()

    def expect(self, parts: int, options: Options) -> None:
        count = min(self.jobs or 1, parts)
        if count > 1:
            self._workers.start(count, options)

    def run(
        self, plan: Plan, video: VideoReader, models: Models, instances: Instances, board: Board
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        jobs = min(self.jobs or 1, len(plan.todo)) if plan.is_shareable else 1
        if jobs > 1:
            return in_processes(plan, instances, self._workers, jobs, board)
        self.close()
        return in_process(plan, video, models, board)

    def close(self) -> None:
        self._workers.close()


def in_process(
    plan: Plan, video: VideoReader, models: Models, board: Board
) -> Generator[IndexedPart | DeadLetter, None, None]:
    """Every part to do, by this process, from a video that is open already."""
    this = f"process {os.getpid()}"
    tick = partial(board.at, this)
    if plan.is_cut:
        yield from _one_by_one(plan, video, models, board, this)
        return
    if not plan.own:
        return
    if plan.is_quick:
        scenes, length_s = plan.options.scenes, plan.info.duration_s
        every_s = length_s / scenes.count if scenes.count and length_s else scenes.interval_s
        frames = video.keyframes(every_s)
        yield index_frames(plan, 0, plan.starts_s[0], frames, video, models, tick)
        return
    listener = None
    if plan.listens and models.transcriber is not None:
        listener = Listener(models.transcriber, until_s=plan.until_s)
        video.sound.listen(listener.add)
    for number, frames in _parted(plan, _heard_out(video, listener)):
        start_s = plan.info.start_s + number * plan.options.video.part_s
        end_s = start_s + plan.options.video.part_s
        listen = None if listener is None else partial(listener.heard, end_s)
        if plan.missing(number):
            yield index_frames(plan, number, start_s, frames, video, models, tick, listen)
        if listener is not None:
            # What was not asked for is stored already.
            deque(frames, maxlen=0)
            listener.skip(end_s)


def _one_by_one(
    plan: Plan, video: VideoReader, models: Models, board: Board, this: str
) -> Generator[IndexedPart | DeadLetter, None, None]:
    """The parts of a video that can be entered in the middle."""
    tick, queue, failed = partial(board.at, this), PartQueue(plan), set[int]()
    while queue:
        number, found = queue.take(), None
        try:
            if number in failed:
                # What the open video has come to is part of what failed.
                part: IndexedPart | DeadLetter = index_part(plan, number, models, tick)
            else:
                frames, start_s = frames_of(plan, number, video), plan.starts_s[number]
                part = index_frames(plan, number, start_s, frames, video, models, tick)
        except VideoError as error:
            plan.files.check()
            board.left(number, 0.0)
            failed.add(number)
            video.gaps = []
            found = queue.failed(number, str(error))
            if found is None:
                continue
            part = found
        yield part


def _heard_out(video: VideoReader, listener: Listener | None) -> Iterator[Frame]:
    """All frames; the listener is told that no more sound is to come."""
    yield from video.frames()
    if listener is not None:
        listener.end()


def _parted(plan: Plan, read: Iterator[Frame]) -> Iterator[tuple[int, Iterator[Frame]]]:
    """The parts of a source that cannot be entered in the middle, with their frames. Where a
    picture stays for longer than a part, people may speak all the same."""
    following, speaks = 0, not kinds.heard().isdisjoint(plan.keys)
    for number, frames in groupby(read, plan.part_at):
        for between in range(following, number if speaks else following):
            yield between, iter(())
        yield number, frames
        following = number + 1
    for between in range(following, len(plan.nominal_starts_s) if speaks else following):
        yield between, iter(())


class Workers:
    """Worker processes. They are started before there is a plan: what they import takes as long as
    the plan does."""

    def __init__(self) -> None:
        self.idle: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def start(self, jobs: int, options: Options) -> None:
        """See to it that `jobs` of them are idle, each at one of the devices of the options."""
        # Numerical libraries read the number of threads as they are loaded. Threads beyond the
        # cores there are would spin in each other's way.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        missing = jobs - len(self.idle)
        devices = places(options) if missing > 0 else []
        for _ in range(missing):
            here = devices[self._started % len(devices)]
            self._started += 1
            with uninterrupted():
                self.idle.append(
                    subprocess.Popen(
                        [sys.executable, "-c", _COMMAND],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        env=environment | here,
                    )
                )

    def close(self) -> None:
        """End those that were given no plan."""
        for process in self.idle:
            process.kill()
            process.communicate()
        self.idle = []


def in_processes(
    plan: Plan, instances: Instances, workers: Workers, jobs: int, board: Board
) -> Generator[IndexedPart | DeadLetter, None, None]:
    """Every part to do, by `jobs` of the workers, which decode with one thread each.

    Raises VideoError if the file has changed meanwhile, and what a process raises.
    """
    pool = _Pool(plan, instances, workers, jobs, board)
    try:
        pool.start()
        while pool.is_busy:
            found = pool.receive()
            if found is not None:
                yield found
    finally:
        # Whatever ends this early (Ctrl-C, a full disk) must not wait for parts half done.
        pool.stop()


class _Left(NamedTuple):
    """A process has left a part, with so much of it done."""

    number: int
    done_s: float
    found: IndexedPart | DeadLetter | None
    """None where the part is to be tried again."""


class _Pool:
    """Processes that index the parts of one plan, each the next part as soon as it is free.

    A thread listens to each process and hands out parts: the thread that stores parts may be busy.
    """

    def __init__(
        self, plan: Plan, instances: Instances, workers: Workers, jobs: int, board: Board
    ) -> None:
        self._plan, self._instances, self._board = plan, instances, board
        self._workers, self._jobs = workers, jobs
        self._queue = PartQueue(plan)
        self._task = b""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listeners: list[threading.Thread] = []
        self._idle: deque[subprocess.Popen[bytes]] = deque()
        self._working: dict[subprocess.Popen[bytes], int] = {}
        self._inbox: queue.SimpleQueue[tuple[str, Ticked] | _Left | Exception] = queue.SimpleQueue()
        self._unread = 0
        """Parts in the inbox: they are memory, and a free process waits if there are too many."""
        self._is_stopping = False
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a part is still to come."""
        with self._lock:
            return bool(self._queue or self._working or self._unread)

    def start(self) -> None:
        """Hand the plan to the processes. Raises BackendError if a model cannot go there."""
        try:
            self._task = pickle.dumps((self._plan, self._instances))
        except Exception as error:  # Whatever the pickling of somebody else's object raises.
            raise BackendError(
                f"a model that was handed in cannot go to another process ({error}); use one"
                " process: jobs=1"
            ) from error
        self._workers.start(self._jobs, self._plan.options)
        with self._lock:
            for _ in range(self._jobs):
                self._employ()
            self._hand_out()

    def _employ(self) -> None:
        """One process more."""
        self._workers.start(1, self._plan.options)
        process = self._workers.idle.pop()
        self._processes.append(process)
        self._idle.append(process)
        _send(process, self._task)
        listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        self._listeners.append(listener)
        listener.start()

    def _hand_out(self) -> None:
        room = _IN_FLIGHT * self._jobs - self._unread - len(self._working)
        while self._idle and self._queue and room > 0:
            process, number, room = self._idle.popleft(), self._queue.take(), room - 1
            self._working[process] = number
            _send(process, pickle.dumps(number))

    def receive(self) -> IndexedPart | DeadLetter | None:
        """The next part or dead letter; None for other news. Raises what has to be raised."""
        news = self._inbox.get()
        if isinstance(news, Exception):
            raise news
        if isinstance(news, _Left):
            with self._lock:
                self._unread -= 1
                self._hand_out()
            self._board.left(news.number, news.done_s)
            return news.found
        name, ticked = news
        self._board.at(name, *ticked)
        return None

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
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
            self._inbox.put(error)

    def _take(self, process: subprocess.Popen[bytes], message: Any) -> None:
        if isinstance(message, Failure):
            message.error.__cause__ = RuntimeError(f"in a worker process:\n{message.traceback}")
            self._inbox.put(message.error)
        elif isinstance(message, Ticked):
            self._inbox.put((f"process {process.pid}", message))
        elif isinstance(message, Unreadable):
            # A file that has changed is no matter of one part.
            self._plan.files.check()
            self._left(process, str(message.error))
        else:
            self._left(process, message)

    def _left(self, process: subprocess.Popen[bytes], what: IndexedPart | str) -> None:
        """A process is done with its part, or has failed for a reason."""
        with self._lock:
            number, done_s = self._working.pop(process), 0.0
            if isinstance(what, str):
                found: IndexedPart | DeadLetter | None = self._queue.failed(number, what)
            else:
                found, done_s = what, what.end_s - self._plan.starts_s[number]
            self._idle.append(process)
            self._unread += 1
            self._inbox.put(_Left(number, done_s, found))
            self._hand_out()

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        """A process is gone: its part has failed, and another process takes its place."""
        how = _how(process)
        with self._lock:
            number = self._working.pop(process, None)
            if process in self._idle:
                self._idle.remove(process)
            if self._is_stopping:
                return
            if number is not None:
                found = self._queue.died(number, f"its worker process died ({how})")
                self._unread += 1
                self._inbox.put(_Left(number, 0.0, found))
            if len(self._queue) > len(self._idle):
                self._employ()
            self._hand_out()

    def stop(self) -> None:
        """End all processes: the end of its input tells each of them."""
        with self._lock:
            self._is_stopping = True
        for process in self._processes:
            with suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
        until = time.monotonic() + _PATIENCE_S
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            process.kill()
            process.wait()
        for listener in self._listeners:
            listener.join()


def _how(process: subprocess.Popen[bytes]) -> str:
    """How a process ended that was not told to."""
    try:
        code = process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return "it closed its output"
    if code >= 0:
        return f"exit code {code}"
    return f"{signal.Signals(-code).name}; if memory ran out, use fewer jobs"


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    # A process that has died says so when it is listened to; ValueError: it was told to end.
    with suppress(OSError, ValueError):
        process.stdin.write(message)  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
