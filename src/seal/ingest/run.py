"""The local engine: the parts of a plan, one after another or by several processes.

An engine takes a plan and yields its parts as they get done. Worker processes talk over their
standard input and output (`seal.ingest.worker`). A killed run leaves nothing behind, such as named
semaphores, and the user's script is not imported again.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any

from seal import kinds
from seal.config import Options
from seal.decompose import Instances, Models
from seal.errors import BackendError, VideoError
from seal.ingest.places import places
from seal.ingest.plan import Plan
from seal.ingest.work import IndexedPart, frames_of, index_frames
from seal.ingest.worker import Failure, Ticked
from seal.processes import uninterrupted
from seal.video import Frame, VideoReader
from seal.words.listening import Listener

Report = Callable[[Iterable[float]], None]
"""Takes the seconds done of each part that was begun."""

_IN_FLIGHT = 2
"""Parts for each process that are worked on or wait to be stored: they are memory."""
_PATIENCE_S = 5.0
"""How long a process may take to end."""
_COMMAND = "from seal.ingest.worker import main; main()"


def in_process(
    plan: Plan, video: VideoReader, models: Models, report: Report
) -> Generator[IndexedPart, None, None]:
    """Every part that lacks something, by this process, from a video that is open already."""
    done_s: dict[int, float] = {}

    def tick(number: int, seconds: float) -> None:
        done_s[number] = seconds
        report(done_s.values())

    if plan.is_quick:
        scenes, length_s = plan.options.scenes, plan.info.duration_s
        every_s = length_s / scenes.count if scenes.count and length_s else scenes.interval_s
        frames = video.keyframes(every_s)
        yield index_frames(plan, 0, plan.starts_s[0], frames, video, models, tick)
        return
    if plan.is_cut:
        for number in plan.todo:
            frames, start_s = frames_of(plan, number, video), plan.starts_s[number]
            yield index_frames(plan, number, start_s, frames, video, models, tick)
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

    def __init__(self, options: Options, jobs: int) -> None:
        self.idle: list[subprocess.Popen[bytes]] = []
        self._options = options
        self._started = 0
        self.start(jobs)

    def start(self, jobs: int) -> None:
        """See to it that `jobs` of them are idle."""
        # Numerical libraries read the number of threads as they are loaded. Threads beyond the
        # cores there are would spin in each other's way.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        missing = jobs - len(self.idle)
        devices = places(self._options) if missing > 0 else []
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
    plan: Plan, instances: Instances, workers: Workers, jobs: int, report: Report
) -> Generator[IndexedPart, None, None]:
    """Every part that lacks something, by `jobs` of the workers, which decode with one thread each.

    Raises VideoError if the video cannot be read or a process dies, and what a process raises.
    """
    pool = _Pool(plan, instances, workers, jobs)
    done_s: dict[int, float] = {}
    try:
        pool.start()
        while pool.is_busy:
            message = pool.receive()
            if isinstance(message, Ticked):
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


class _Pool:
    """Processes that index the parts of one plan, each the next part as soon as it is free."""

    def __init__(self, plan: Plan, instances: Instances, workers: Workers, jobs: int) -> None:
        self._plan, self._instances = plan, instances
        self._workers, self._jobs = workers, jobs
        self._todo = deque(plan.todo)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listeners: list[threading.Thread] = []
        self._idle: list[subprocess.Popen[bytes]] = []
        self._working: dict[subprocess.Popen[bytes], int] = {}
        self._inbox: queue.SimpleQueue[Ticked | IndexedPart | Exception] = queue.SimpleQueue()
        self._unread = 0
        """Parts in the inbox: they are memory, and a free process waits if there are too many."""
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a part is still to come."""
        with self._lock:
            return bool(self._todo or self._working or self._unread)

    def start(self) -> None:
        """Hand the plan to the processes. Raises BackendError if a model cannot go there."""
        try:
            task = pickle.dumps((self._plan, self._instances))
        except Exception as error:  # Whatever the pickling of somebody else's object raises.
            raise BackendError(
                f"a model that was handed in cannot go to another process ({error}); use one"
                " process: jobs=1"
            ) from error
        self._workers.start(self._jobs)
        for _ in range(self._jobs):
            process = self._workers.idle.pop()
            self._processes.append(process)
            with self._lock:
                self._idle.append(process)
            _send(process, task)
            listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
            listener.start()
            self._listeners.append(listener)
        self._hand_out()

    def _hand_out(self) -> None:
        with self._lock:
            room = _IN_FLIGHT * self._jobs - self._unread - len(self._working)
            while self._idle and self._todo and room > 0:
                process, number, room = self._idle.pop(0), self._todo.popleft(), room - 1
                self._working[process] = number
                _send(process, pickle.dumps(number))

    def receive(self) -> Ticked | IndexedPart | Exception:
        """The next message: how far a part is, a part, or what has to be raised."""
        message = self._inbox.get()
        if isinstance(message, IndexedPart):
            with self._lock:
                self._unread -= 1
            self._hand_out()
        return message

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
            message = message.error
        if isinstance(message, IndexedPart):
            with self._lock:
                del self._working[process]
                self._idle.append(process)
                self._unread += 1
            self._hand_out()
        self._inbox.put(message)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        """A process is gone. That is an error if it had a part, or if nobody is left for one."""
        with self._lock:
            lost = self._working.pop(process, None) is not None
            if process in self._idle:
                self._idle.remove(process)
            lost = lost or bool(self._todo and not self._idle and not self._working)
        if lost:
            self._inbox.put(
                VideoError(
                    f"{self._plan.info.source}: a worker process died. If memory ran out, run it"
                    " again with fewer jobs: finished parts are kept"
                )
            )

    def stop(self) -> None:
        """End all processes: the end of its input tells each of them."""
        with self._lock:
            self._todo.clear()
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


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    # A process that has died says so when it is listened to; ValueError: it was told to end.
    with suppress(OSError, ValueError):
        process.stdin.write(message)  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
