"""What an engine is: it takes plans, and yields the parts of each as they get done.

A part that fails is tried again, after the parts that wait. A part that failed each time is a dead
letter: the engine yields it with its reason and goes on with the others.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from seal import backends
from seal.config import Options
from seal.decompose import Instances, Models
from seal.ingest.plan import Plan
from seal.ingest.work import IndexedPart
from seal.inventory import DeadLetter
from seal.video import VideoReader, shown

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerProgress:
    """How far a worker is with its part."""

    name: str
    part: int
    done_s: float
    """Seconds of the part that are done."""


@dataclass(frozen=True)
class Progress:
    """How far the indexing of one video has come."""

    stage: str
    """What is going on: "reading", "indexing" or "storing"."""
    done_s: float = 0.0
    """Seconds of video indexed in this run."""
    skipped_s: float = 0.0
    """Seconds of video that an earlier run had indexed."""
    total_s: float | None = None
    """Length of the video; None where it is not known."""
    workers: tuple[WorkerProgress, ...] = ()
    """The workers that are at a part, and how far each is with it."""
    stored: tuple[int, int] | None = None
    """How many of the parts to do are stored, and how many there are, with those of earlier runs;
    None where parts are not known."""


OnProgress = Callable[[Progress], None]


class Board:
    """Who is at which part, and how far each part is."""

    def __init__(self, tell: Callable[[Board], None] = lambda board: None) -> None:
        self._tell = tell
        self._done_s: dict[int, float] = {}
        self._at: dict[str, int] = {}
        self.begun: float | None = None
        """When somebody was at a part for the first time, by the monotonic clock."""

    def at(self, worker: str, number: int, done_s: float) -> None:
        """A worker is so far with a part."""
        self.begun = self.begun or time.monotonic()
        self._at[worker], self._done_s[number] = number, done_s
        self._tell(self)

    def left(self, number: int, done_s: float) -> None:
        """Nobody is at a part any more, and so much of it is done: all, or nothing if it failed."""
        self._at = {worker: part for worker, part in self._at.items() if part != number}
        self._done_s[number] = done_s
        self._tell(self)

    @property
    def done_s(self) -> float:
        """Seconds of the video that are done."""
        return sum(self._done_s.values())

    @property
    def workers(self) -> tuple[WorkerProgress, ...]:
        """The workers that are at a part, in order of their names."""
        return tuple(
            WorkerProgress(name, part, self._done_s[part])
            for name, part in sorted(self._at.items())
        )


class PartQueue:
    """The parts of a plan that wait, and how often each has failed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._waiting = deque(plan.todo)
        self._failures = Counter[int]()
        self._deaths = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> int:
        """The number of the next part."""
        return self._waiting.popleft()

    def failed(self, number: int, reason: str) -> DeadLetter | None:
        """A part has failed: it waits again, or is a dead letter if it has failed too often."""
        self._failures[number] += 1
        if self._failures[number] <= self._plan.options.engine.retries:
            self._waiting.append(number)
            return None
        return DeadLetter(number, *self._plan.span_s(number), reason, self._failures[number])

    def died(self, number: int, reason: str) -> DeadLetter | None:
        """As `failed`, of a part whose process died. A warning says so where the part waits again:
        nobody would look for memory that runs out in a run that succeeds."""
        self._deaths += 1
        letter = self.failed(number, reason)
        if letter is None:
            _log.warning(
                "%s: part %d is tried again: %s; %d so far",
                shown(self._plan.source),
                number,
                reason,
                self._deaths,
            )
        return letter


class StoppedError(Exception):
    """Nobody waits any more for what a thread does."""


class Engine(ABC):
    """Does the parts of plans, all with the same options and objects handed in.

    Up to `videos_at_once` threads may run a plan each.
    """

    def __init__(self, options: Any, jobs: int | None = None, videos: int = 1) -> None:
        """`jobs` is how many parts are worked on at a time; None leaves it to the engine. About so
        many `videos` are to come."""
        self.options, self.jobs, self.videos = options, jobs, videos

    @property
    def videos_at_once(self) -> int:
        """How many videos are worth to be worked on at a time."""
        return 1

    def expect(self, parts: int, options: Options) -> None:
        """About so many parts of a video are to come, with these options: time to start what takes
        long to start."""
        return

    def models(self, options: Options, instances: Instances) -> Models:
        """The models of a run, by which it is planned and parts are done in this process.

        Raises BackendError as `Models.load`.
        """
        return Models.load(options, instances)

    @abstractmethod
    def run(
        self, plan: Plan, video: VideoReader, models: Models, instances: Instances, board: Board
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        """Every part of the plan that is to do, as a part or as a dead letter.

        `video` is the source, open in this process, and `models` come from `models`. A source that
        cannot be shared (`Plan.is_shareable`) is read by this process, once.

        Raises VideoError if a source that is read once fails, whatever a back end raises, and
        StoppedError if the engine is closed meanwhile.
        """

    def close(self) -> None:
        """Free what was started. It may be called twice, and by another thread than those that run
        plans."""
        return


def engine(options: Options, jobs: int | None = None, videos: int = 1) -> Engine:
    """The engine that the options name. Raises OptionError and BackendError as `seal.backends`."""
    made: Engine = backends.make("engine", options.engine, Engine, jobs, videos)
    return made
