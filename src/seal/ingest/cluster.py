"""The engine `ray`: the parts of a plan as tasks of a Ray cluster.

A task is one try of one part. It decodes and does the classical work on CPUs, and sends what a
model on a device has to look at to a model server (`seal.ingest.servers`). The process that runs
the engine is the only one that writes to the store. It stores a part when the task has ended, so
that a part that two tasks have done counts once, and other machines need the videos alone.

Ray itself tries nothing again: `PartQueue` counts the tries, so that dead letters are exact.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Generator
from itertools import count as count_from
from typing import Any, NamedTuple
from uuid import uuid4

from seal.config import STAGES, Options, as_dict, digest
from seal.decompose import Instances, Models
from seal.dependencies import dependency
from seal.errors import BackendError, VideoError
from seal.ingest.engine import Board, Engine, PartQueue
from seal.ingest.host import own_cluster, reach
from seal.ingest.plan import Plan
from seal.ingest.run import in_process
from seal.ingest.servers import (
    About,
    LostServerError,
    ModelServer,
    ServerLine,
    stages_with_device,
    with_stand_ins,
)
from seal.ingest.work import IndexedPart, index_part
from seal.ingest.worker import Failure, Unreadable, portable
from seal.inventory import DeadLetter
from seal.video import VideoReader

_TICK_S = 0.5
"""How often the cluster is asked for news, and a task says how far it is."""
_QUEUED = 2.0
"""Tasks for each CPU of the cluster. The second one waits there, so that no CPU waits for this
process, and an autoscaler sees that more nodes would have work."""
_SERVER_PATIENCE_S = 600.0
"""How long a node for a model server may take to come."""


class RayEngine(Engine):
    """Tasks of a Ray cluster."""

    def __init__(self, options: Any, jobs: int | None = None, videos: int = 1) -> None:
        super().__init__(options, jobs, videos)
        self._cluster = _cluster(options.address)
        self._servers: _Servers | None = None
        self._spare: int | None = None

    @property
    def videos_at_once(self) -> int:
        return int(self.options.videos)

    def models(self, options: Options, instances: Instances) -> Models:
        self._servers = self._cluster.servers(options)
        if self._servers is not None:
            line = ServerLine()
            server, self._spare, holder = self._servers.spare()
            line.connect(server, self._spare, holder)
            instances = with_stand_ins(instances, self._servers.about, line)
        return Models.load(options, instances)

    def close(self) -> None:
        if self._servers is not None and self._spare is not None:
            self._servers.give_back(self._spare)
            self._spare = None

    def run(
        self, plan: Plan, video: VideoReader, models: Models, instances: Instances, board: Board
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        if not plan.is_shareable:
            return in_process(plan, video, models, board)
        return self._in_tasks(plan, instances, board)

    def _in_tasks(
        self, plan: Plan, instances: Instances, board: Board
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        ray, queue = self._cluster.ray, PartQueue(plan)
        about = self._servers.about if self._servers else {}
        shared = ray.put((plan, instances, about))
        task = ray.remote(num_cpus=self.options.cpus, max_retries=0)(do_part)
        ticks = ray.remote(num_cpus=0)(Ticks).options(**self._cluster.here()).remote()
        running: dict[Any, _Try] = {}
        try:
            while queue or running:
                while queue and (lease := self._lease()) is not None:
                    number = queue.take()
                    running[task.remote(shared, number, lease.slot, ticks)] = _Try(number, lease)
                at_work = {tried.number for tried in running.values()}
                for worker, number, done_s in _said(ray, ticks, wait=not running):
                    # A word may be late, of a part that is stored already.
                    if number in at_work:
                        board.at(worker, number, done_s)
                ended, _ = ray.wait([*running], timeout=_TICK_S) if running else ([], [])
                for promised in ended:
                    found = self._taken(plan, queue, promised, running.pop(promised), board)
                    if found is not None:
                        yield found
        finally:
            for promised, tried in running.items():
                ray.cancel(promised, force=True)
                tried.lease.give_back()
            ray.kill(ticks)

    def _lease(self) -> _Lease | None:
        if self._servers is not None:
            return self._servers.lease()
        cpus = self._cluster.ray.cluster_resources().get("CPU", 0.0)
        most = self.jobs or max(1, int(_QUEUED * cpus / self.options.cpus))
        return self._cluster.lease(most)

    def _taken(
        self, plan: Plan, queue: PartQueue, promised: Any, tried: _Try, board: Board
    ) -> IndexedPart | DeadLetter | None:
        """What has come of a try; None if the part waits for another one."""
        ray, number = self._cluster.ray, tried.number
        try:
            said = ray.get(promised)
        except ray.exceptions.RayError as error:
            said = Lost(number, f"its worker process died ({_how(error)})")
        finally:
            tried.lease.give_back()
        done_s = said.end_s - plan.starts_s[number] if isinstance(said, IndexedPart) else 0.0
        board.left(number, done_s)
        if isinstance(said, IndexedPart):
            return said
        if isinstance(said, Failure):
            raise said.error from RuntimeError(f"in a task of Ray:\n{said.traceback}")
        if isinstance(said, Unreadable):
            # A file that has changed is no matter of one part.
            plan.files.check()
            return queue.failed(number, str(said.error))
        return queue.died(number, said.reason)


def _how(error: Exception) -> str:
    """How a task ended that did not say so itself."""
    return f"{type(error).__name__}; if memory ran out, use fewer jobs or a larger engine.cpus"


class Lost(NamedTuple):
    """A try that failed, although the part may be in order."""

    number: int
    reason: str


class Ticks:
    """An actor that hears how far the tasks are."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}

    def tick(self, worker: str, number: int, done_s: float) -> None:
        """A worker has done so many seconds of a part."""
        self._last[worker] = number, done_s

    def take(self) -> list[tuple[str, int, float]]:
        """The last word of each worker since this was asked before."""
        said = [(worker, *last) for worker, last in self._last.items()]
        self._last.clear()
        return said


def _said(ray: Any, ticks: Any, wait: bool) -> list[tuple[str, int, float]]:
    if wait:
        time.sleep(_TICK_S)
    try:
        said: list[tuple[str, int, float]] = ray.get(ticks.take.remote())
    except ray.exceptions.RayError:
        # The node of this process is gone; the next call that matters will say so.
        return []
    return said


def do_part(
    shared: tuple[Plan, Instances, About],
    number: int,
    slot: tuple[Any, int, str] | None,
    ticks: Any,
) -> IndexedPart | Unreadable | Failure | Lost:
    """What a task does: one try of one part."""
    import cv2
    import ray

    cv2.setNumThreads(1)
    plan, instances, about = shared
    worker, last = f"{ray.util.get_node_ip_address()} process {os.getpid()}", time.monotonic()

    def tick(number: int, done_s: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _TICK_S:
            last = time.monotonic()
            ticks.tick.remote(worker, number, done_s)

    try:
        models, line = _loaded(plan.options, instances, about)
        if slot is not None:
            line.connect(*slot)
        return index_part(plan, number, models, tick)
    except LostServerError as error:
        return Lost(number, str(error))
    except VideoError as error:
        return Unreadable(number, error)
    except Exception as error:
        return Failure(portable(error), traceback.format_exc())


_kept: tuple[str, Models, ServerLine] | None = None
"""Ray gives a process one task after another; the models of the last one stay."""


def _loaded(options: Options, instances: Instances, about: About) -> tuple[Models, ServerLine]:
    global _kept
    key = _key(options, repr(about))
    if _kept is None or _kept[0] != key:
        _kept, line = None, ServerLine()
        _kept = key, Models.load(options, with_stand_ins(instances, about, line)), line
    return _kept[1:]


def _key(options: Options, *more: Any) -> str:
    """Stands for all that decides which models are loaded."""
    return digest({stage: as_dict(getattr(options, stage)) for stage in STAGES}, *more)


class _Lease:
    """The right to have one task in flight, with a slot of a model server where there are some."""

    def __init__(self, given_back: Any, slot: tuple[Any, int, str] | None = None) -> None:
        self.slot, self._given_back = slot, given_back

    def give_back(self) -> None:
        self._given_back(self)


class _Try(NamedTuple):
    number: int
    lease: _Lease


class _Cluster:
    """A connection to a Ray cluster, which all plans of this process share."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        self._in_flight = 0
        self._served: tuple[str, _Servers] | None = None
        self._lock = threading.Lock()

    def here(self) -> dict[str, Any]:
        """The options of an actor that is to stay on the node of this process."""
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        node = self.ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": strategy(node, soft=True)}

    def lease(self, most: int) -> _Lease | None:
        """The right to a task, unless `most` are in flight."""
        with self._lock:
            if self._in_flight >= most:
                return None
            self._in_flight += 1
            return _Lease(self._take_back)

    def _take_back(self, lease: _Lease) -> None:
        with self._lock:
            self._in_flight -= 1

    def servers(self, options: Options) -> _Servers | None:
        """The model servers for these options; None where tasks have the models themselves.

        Tasks have the models if no back end runs on a device, or if the cluster has no GPUs and
        `engine.servers` is not set.

        Raises BackendError if no node has room for a server.
        """
        stages, chosen = stages_with_device(options), options.engine
        gpus = self.ray.cluster_resources().get("GPU", 0.0)
        on_cpu = all(getattr(options, stage).device == "cpu" for stage in stages)
        if not stages or (chosen.servers is None and (on_cpu or not gpus)):
            return None
        share = 0.0 if on_cpu else chosen.gpus
        count = chosen.servers or max(1, int(gpus / share) if share else 1)
        key = _key(options)
        with self._lock:
            if self._served is None or self._served[0] != key:
                if self._served is not None:
                    self._served[1].close()
                self._served = key, _Servers(self.ray, options, stages, count, share)
            return self._served[1]


class _Servers:
    """Model servers, and the slots of each."""

    def __init__(
        self, ray: Any, options: Options, stages: tuple[str, ...], count: int, gpus: float
    ) -> None:
        # Ray starts a dead server anew; the parts that it worked for have failed.
        actor = ray.remote(num_gpus=gpus, num_cpus=0, max_restarts=-1)(ModelServer)
        self._ray, self._slots = ray, options.engine.server_parts
        self._servers = [actor.remote(options, stages) for _ in range(count)]
        self._free = [
            (server, slot) for slot in range(self._slots) for server in reversed(self._servers)
        ]
        self._spares: list[int] = []
        self._made = count_from(self._slots)
        self._lock = threading.Lock()
        try:
            self.about: About = ray.get(self._servers[0].about.remote(), timeout=_SERVER_PATIENCE_S)
        except ray.exceptions.GetTimeoutError as error:
            raise BackendError(
                f"no node of the Ray cluster has had {gpus:g} GPUs free for a model server in"
                f" {_SERVER_PATIENCE_S:.0f} s; see `ray status`, or set engine.gpus to less"
            ) from error
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error

    def spare(self) -> tuple[Any, int, str]:
        """A slot beside those that are leased, for a thread of this process, to be given back."""
        with self._lock:
            slot = self._spares.pop() if self._spares else next(self._made)
        return self._servers[0], slot, uuid4().hex

    def give_back(self, spare: int) -> None:
        with self._lock:
            self._spares.append(spare)

    def lease(self) -> _Lease | None:
        """The right to a slot, unless all are taken."""
        with self._lock:
            if not self._free:
                return None
            server, slot = self._free.pop()
        return _Lease(self._take_back, (server, slot, uuid4().hex))

    def _take_back(self, lease: _Lease) -> None:
        assert lease.slot is not None
        with self._lock:
            self._free.insert(0, lease.slot[:2])

    def close(self) -> None:
        for server in self._servers:
            self._ray.kill(server)


_connected: tuple[str | None, _Cluster] | None = None
_connecting = threading.Lock()


def _cluster(address: str | None) -> _Cluster:
    """The cluster at an address; see `seal.config.RayOptions.address`.

    A script that has called `ray.init` itself is asked for no other cluster. Raises BackendError if
    Ray is not installed, no cluster answers, or this process is connected to another one.
    """
    global _connected
    # Otherwise Ray reports to its maker which libraries are used with it.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    where, needed = address or os.environ.get("RAY_ADDRESS"), dependency("ray", "ray")
    with _connecting:
        # Ray reads its variables as it is imported.
        is_late = "ray" in sys.modules or not needed.is_met
        own = None if where or is_late else own_cluster()
        ray = needed.require("the engine ray")
        if not ray.is_initialized():
            if not (where or own):
                raise BackendError(
                    "the engine ray starts a cluster before Ray is imported, and here it is: call"
                    " ray.init yourself, or set engine.address or RAY_ADDRESS"
                )
            if where:
                reach(where)
            try:
                ray.init(where or own, log_to_driver=False, logging_level="ERROR")
            except ConnectionError as error:
                raise BackendError(
                    f"{where or own} answers, and does not take this process as a part of its Ray"
                    f" cluster ({error}): a cluster that asks for a token needs"
                    " RAY_AUTH_MODE=token and the token in ~/.ray/auth_token or RAY_AUTH_TOKEN"
                ) from error
            _connected = where, _Cluster(ray)
        if _connected is None:
            _connected = where, _Cluster(ray)
        if _connected[0] != where:
            raise BackendError(
                f"this process is connected to the Ray cluster {_connected[0] or 'on this machine'}"
                f" already, and cannot use {where or 'another one'}: use another process"
            )
        return _connected[1]
