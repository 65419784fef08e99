"""What the pages, the REST API, the OpenAI-style endpoint and MCP have in common.

Videos are named by their ids alone. A path would let a stranger ask which files there are.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from threading import Lock
from typing import Any, Literal, TypeVar
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync

from seal import arguments
from seal.answer import Answerer, load
from seal.arguments import merged
from seal.config import NoAnswer, Options
from seal.config.serving import ServeOptions
from seal.errors import AnswerError, NotIndexedError, OptionError, SealError
from seal.indexed import LocalVideo
from seal.inventory import Removed
from seal.library import LocalLibrary
from seal.serve import playable
from seal.serve.events import EventStreams
from seal.serve.gate import Gate
from seal.serve.jobs import Job, Jobs
from seal.serve.playable import Playability, PlayableCopies
from seal.serve.problems import BusyError, ConflictError, status_of
from seal.serve.state import ServerState
from seal.settings import split
from seal.store import VideoRecord

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

_QUERY_OPTIONS = ("attention.", "find.")
_INDEX_OPTIONS = ("scenes.", "objects.", "actions.", "speech.", "text.")
"""Clients may set these. Other options name files, models and addresses: the operator sets them."""
_ANSWERING = ("answer.", "attention.", "find.", "head.")
"""What the operator sets of these is about answers; all else is about indexing."""
_NOT_THEIRS = ("find.head", "find.device", "attention.candidates", "attention.memory")
_LOADED = 4
"""Options of which a model is at hand. A model on this machine has one network for all of them."""
_INDEXING = (
    "SELECT id FROM jobs WHERE kind = 'index' AND json_extract(spec, '$.source') = ?"
    " AND state IN ('queued', 'running')"
)
"""The unfinished jobs that index a file."""
_LISTED = 5
"""How many videos an error about an id lists."""
_RETRY_S = 2.0
"""After how long a client may ask again that has found too many waiting."""


class _Lock:
    """A lock that can be referred to weakly."""

    def __init__(self) -> None:
        self.lock = Lock()


@dataclass(frozen=True)
class Chosen:
    """What the operator has chosen for everything that is indexed and asked."""

    profile: str = Options.profile
    settings: tuple[str, ...] = ()
    """Settings of indexing and of answers, such as "transcribe.backend=whisper"."""
    answerer: str | None = None
    """The model that answers, such as "openai:MODEL"; None gives evidence and moments."""
    defaults: tuple[str, ...] = ()
    """Settings below those of the operator and of clients, such as those of a configuration
    file: see `Options.load`."""

    def __post_init__(self) -> None:
        """Raises OptionError for a setting that no task reads."""
        Options.load(self.profile, self.of("index"), "index", self.defaults)
        self.answer(self.asking())

    @property
    def is_local(self) -> bool:
        """Whether the model that answers runs in this process."""
        return (self.answerer or "").partition(":")[0] == "hf"

    def asking(self, more: Iterable[str] = ()) -> list[str]:
        """The settings of a question, with those of a client."""
        chosen = arguments.asking(None, self.answerer or "none")
        return merged([*self.of("ask"), *more], chosen)

    def answer(self, settings: Iterable[str]) -> NoAnswer:
        """The options of the model that answers, with the settings of a question."""
        chosen: NoAnswer = Options.load(self.profile, settings, "ask", self.defaults).answer
        return chosen

    @property
    def model(self) -> str | None:
        """The model that answers as clients may know it: of a folder, its name alone."""
        backend, _, model = (self.answerer or "").partition(":")
        return (
            f"{backend}:{PurePath(model).name}" if PurePath(model).is_absolute() else self.answerer
        )

    def of(self, task: Literal["index", "ask"]) -> list[str]:
        """The settings of a task."""
        is_answering = [setting.startswith(_ANSWERING) for setting in self.settings]
        wanted = task == "ask"
        return [
            one for one, mine in zip(self.settings, is_answering, strict=True) if mine == wanted
        ]


class Service:
    """A library behind a server."""

    def __init__(
        self, library: LocalLibrary, state: ServerState, options: ServeOptions, models: Chosen
    ) -> None:
        self.library = library
        self.state = state
        self.options = options
        self.models = models
        self.gate = Gate(options.hosts, options.allow_private)
        self.jobs = Jobs(state, options, self.gate)
        self.copies = PlayableCopies(state.folder / "playable")
        self._lock = Lock()
        self._queries = anyio.CapacityLimiter(options.queries)
        # A model on this machine answers one at a time.
        self._answers = anyio.CapacityLimiter(1 if models.is_local else options.answers)
        self._loaded: OrderedDict[NoAnswer, Answerer | None] = OrderedDict()
        self._clips = anyio.CapacityLimiter(options.clips)
        self.streams = EventStreams(options.max_streams)
        self._named: WeakValueDictionary[str, _Lock] = WeakValueDictionary()

    async def compute(self, work: Callable[[], Result]) -> Result:
        """Run a query in a thread, when its turn comes.

        Raises BusyError if too many wait already.
        """
        return await self._in_turn(work, self._queries)

    async def converse(self, work: Callable[[], Result]) -> Result:
        """As `compute`, for what waits for a model: it holds up no query."""
        return await self._in_turn(work, self._answers)

    async def cut(self, work: Callable[[], Result]) -> Result:
        """As `compute`, for what encodes clips as fast as a client takes them."""
        return await self._in_turn(work, self._clips)

    async def _in_turn(self, work: Callable[[], Result], turns: anyio.CapacityLimiter) -> Result:
        now = turns.statistics()
        is_full = now.borrowed_tokens >= now.total_tokens
        if is_full and now.tasks_waiting >= self.options.waiting:
            raise BusyError("too many questions wait already", _RETRY_S)
        return await run_sync(work, limiter=turns)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """One at a time does something to what has this name."""
        with self._lock:
            mine = self._named.setdefault(name, _Lock())
        with mine.lock:
            yield

    def record(self, name: str) -> VideoRecord:
        """The record of a video by its id, or by a beginning that no other id has.

        Raises NotIndexedError, for several videos with their ids.
        """
        store = self.library.store
        try:
            return store.record(name)
        except NotIndexedError:
            begin_so = [record for record in store.videos() if name and record.id.startswith(name)]
            if len(begin_so) == 1:
                return begin_so[0]
            if not begin_so:
                raise
        listed = ", ".join(record.id for record in begin_so[-_LISTED:])
        raise NotIndexedError(f"several ids begin with {name!r}: {listed}; give more of the id")

    def video(self, name: str) -> LocalVideo:
        """A video by its id, or by a beginning that no other id has. Raises NotIndexedError."""
        return self.library.by_id(self.record(name).id)

    def asked(self, name: str | None) -> LocalVideo | LocalLibrary:
        """What a question is put to: the video of this id, or all of them."""
        return self.library if name is None else self.video(name)

    def titles(self) -> dict[str, str]:
        """The names of uploaded files by where they lie."""
        return {row["location"]: row["name"] for row in self.state.rows("SELECT * FROM titles")}

    def title(self, path: str, titles: Mapping[str, str] | None = None) -> str:
        """What people call a video: the name of the file as it was uploaded, or as it is."""
        known = self.titles() if titles is None else titles
        return known.get(path) or PurePath(path).name or path

    def told(self, error: SealError) -> str:
        """What a stranger is told of an error: nothing about the insides of the machine."""
        if isinstance(error, AnswerError) or status_of(error) < 500:
            return self.public(str(error))
        _log.error("%s", error)
        return "the store or a back end of the server cannot be used; its log says more"

    def public(self, text: str) -> str:
        """A text without the folders of this machine, which are no business of clients."""
        if "/" not in text:  # The store need not be read.
            return text
        folders, store = [self.state.folder, *self.options.media], self.library.store.path
        if isinstance(store, Path):
            folders.append(store)
        else:
            text = text.replace(f"{store}/", "").replace(store, "the library")
        folders += [Path(record.location).parent for record in self.library.store.videos()]
        hidden = {str(each) for one in folders for each in (one, one.resolve())}
        for folder in sorted(hidden, key=len, reverse=True):
            if folder.startswith("/") and folder != "/":
                text = text.replace(f"{folder}/", "").replace(folder, "the library")
        return text

    def remove(self, name: str, purge: bool = False) -> Removed:
        """Remove a video from the library, indexed or half indexed, with its playable copy, and its
        file if it was uploaded. The beginning of an id is no name here: NotIndexedError."""
        begun = {video.id: video.path for video in self.library.store.unfinished()}
        if name in begun:
            for row in self.state.rows(_INDEXING, begun[name]):
                self._cancel(row["id"])
            removed = self.library.remove(name, purge=purge)
            self._forget_upload(begun[name])
            return removed
        record = self.library.store.record(name)
        removed = self.library.remove(record.id, purge=purge)
        if (job := self.jobs.doing(playable.KIND, record.id)) is not None:
            self._cancel(job.id)
        self.copies.forget(record.id)
        self._forget_upload(record.location)
        return removed

    def forget(self, job: str) -> None:
        """Forget a job that is over. With a job that has indexed nothing go the file that was
        uploaded for it, and what is stored of the half indexed video.

        Raises as `Jobs.remove` does.
        """
        source = self.jobs.remove(job).get("source")
        if any(source == record.location for record in self.library.store.videos()):
            return
        begun = [video.id for video in self.library.store.unfinished() if video.path == source]
        for video in begun:
            self.remove(video)
        if source is not None and not begun:
            self._forget_upload(source)

    def _cancel(self, job: str) -> None:
        with suppress(ConflictError):  # It is over by now.
            self.jobs.cancel(job)

    def _forget_upload(self, location: str) -> None:
        """Remove a file if it was uploaded."""
        if self.state.change("DELETE FROM titles WHERE location = ?", location):
            Path(location).unlink(missing_ok=True)
            # Its folder had no other file, or something else is there.
            with suppress(OSError):
                Path(location).parent.rmdir()

    def playability(self, name: str) -> Playability:
        """Whether browsers play a video. Raises NotIndexedError, and as `playable.playability`."""
        record = self.record(name)
        job = self.jobs.doing(playable.KIND, record.id)
        return playable.playability(record, self.copies, None if job is None else job.id)

    def queue_copy(self, rows: sqlite3.Connection, name: str, found: Playability) -> Job:
        """The job that makes a copy of a video that browsers play, queued if it is not yet.

        Raises ConflictError for a video that browsers play as it is, or has a copy already.
        """
        record = self.record(name)
        if (job := self.jobs.doing(playable.KIND, record.id)) is not None:
            return job
        if found.state in ("original", "ready"):
            raise ConflictError(f"no copy is needed: {found.why}")
        spec = {
            "store": str(self.library.store.path),
            "video": record.id,
            "output": str(self.copies.place(record.id)),
            "min_free_bytes": self.options.min_free_bytes,
        }
        return self.jobs.add(rows, playable.KIND, self.title(record.location), spec)

    def queue_index(self, title: str, location: str, *, quick: bool = False) -> Job:
        """The job that indexes what lies at a location, queued. Raises BusyError."""
        spec = self.spec(location, quick=quick)
        with self.state.transaction() as rows:
            job = self.jobs.add(rows, "index", title, spec)
        self.jobs.wake()
        return job

    def answering(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """The arguments of `ask` and its like: what the operator and the client have set."""
        settings = self.models.asking(allowed(options))
        return {"answerer": self.answerer(self.models.answer(settings)), "options": settings}

    def check_answerer(self) -> None:
        """Load the model that answers. Raises BackendError and OptionError if it cannot be used."""
        self.answerer(self.models.answer(self.models.asking()))

    def answerer(self, options: NoAnswer) -> Answerer | None:
        """The model with these options, which is loaded once. Raises BackendError."""
        with self._lock:
            if options not in self._loaded:
                known = next(iter(self._loaded.values()), None)
                made = load(options) if known is None else known.with_options(options)
                self._loaded[options] = made
                if len(self._loaded) > _LOADED:
                    self._loaded.popitem(last=False)
            return self._loaded[options]

    def spec(
        self,
        source: str,
        *,
        quick: bool = False,
        options: Mapping[str, Any] | None = None,
        task: Literal["index", "watch"] = "index",
    ) -> dict[str, Any]:
        """What a worker that indexes or watches is told. Raises OptionError for a wrong option."""
        theirs = _INDEX_OPTIONS if task == "index" else (*_INDEX_OPTIONS, *_QUERY_OPTIONS)
        settings = [*self.models.of("index"), *allowed(options, theirs)]
        Options.load(self.models.profile, settings, task, self.models.defaults)
        return {
            "source": source,
            "store": str(self.library.store.path),
            "profile": self.models.profile,
            "options": settings,
            "defaults": self.models.defaults,
            "quick": quick,
            "jobs": None if quick else self.options.jobs,
        }


def allowed(options: Mapping[str, Any] | None, stages: Iterable[str] = _QUERY_OPTIONS) -> list[str]:
    """The settings that a client has given. Raises OptionError for those that it may not set."""
    settings = [f"{key}={value}" for key, value in (options or {}).items()]
    for setting in settings:
        key = split(setting)[0]
        if not key.startswith(tuple(stages)) or key in _NOT_THEIRS:
            valid = ", ".join(f"{stage}*" for stage in stages)
            raise OptionError(f"{key} cannot be set over the network; what can is {valid}")
    return settings
