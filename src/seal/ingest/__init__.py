"""Video to stored tokens: one decode pass, in parts, over all cores, resumable at every part.

plan     which parts of a video there are, and under which keys they are stored
losses   what indexing a video again takes away from it
shard    which of them belong to one of several processes that know nothing of each other
work     one part, from frames to tokens
engine   what takes a plan and yields its parts as they get done
run      the local engine: parts one after another, or by several processes
pool     these processes, which the plans of several videos share
ahead    decoding while a device computes
places   which device each of several processes sees
worker   what each of these processes does
cluster  the engine `ray`: parts as tasks of a Ray cluster
host     the address of a cluster, and a cluster that this process starts
servers  actors of Ray that hold the weights of models, and what stands for these models in tasks
indexer  one video, from its plan to its commit, and several with the same engine and models
batch    several videos, one after another or some at a time
estimate what it will cost
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from seal.config import Options
from seal.decompose import Instances
from seal.errors import UnfinishedError
from seal.ingest.engine import Engine, OnProgress, Progress, WorkerProgress
from seal.ingest.indexer import Indexer
from seal.ingest.places import places, uses_devices
from seal.ingest.plan import Plan, Stage, prepare
from seal.ingest.shard import WHOLE, Shard
from seal.ingest.work import IndexedPart, index_part
from seal.inventory import Share
from seal.store import Store, VideoRecord

__all__ = [
    "Engine",
    "IndexedPart",
    "Indexer",
    "Instances",
    "OnProgress",
    "Plan",
    "Progress",
    "Shard",
    "Stage",
    "WorkerProgress",
    "default_jobs",
    "index",
    "index_part",
    "index_share",
    "prepare",
]


def index(
    source: str | Path,
    store: Store,
    options: Options | None = None,
    *,
    quick: bool = False,
    jobs: int | None = 1,
    instances: Instances | None = None,
    on_progress: OnProgress = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> VideoRecord:
    """Turn a video into tokens in `store`; what is stored already is not done again.

    `options` are by default those of the profile `mini`; `instances` are models that stand in for
    those that the options name. `jobs` is the number of parts that are worked on at a time; None
    leaves it to the engine. A live source is a new recording each time. `say` is told, before the
    work, which tokens of an earlier run this one takes away.

    With `quick` only the pictures that the codec stores whole are looked at, one for each scene
    token, by one process. A later run without it puts all tokens in their place.

    Raises VideoError if the video cannot be read, and its subclass UnfinishedError if some parts
    failed and the others are stored. Raises StoreError if the store cannot be written, BackendError
    if a back end cannot be loaded and OptionError for options that do not fit it.
    """
    share = index_share(
        source,
        store,
        options,
        quick=quick,
        jobs=jobs,
        instances=instances,
        on_progress=on_progress,
        say=say,
    )
    if not share.is_complete:
        raise UnfinishedError(share.failure, [share])
    return store.resolve(share.video)


def index_share(
    source: str | Path,
    store: Store,
    options: Options | None = None,
    *,
    shard: Shard = WHOLE,
    quick: bool = False,
    jobs: int | None = 1,
    instances: Instances | None = None,
    on_progress: OnProgress = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> Share:
    """Index the share of one shard, by default all of the video. See `index`.

    The process that finds the video complete commits it. Several may at once. A video of which the
    shard has no part is not read.
    """
    indexer = Indexer(store, options, quick=quick, jobs=jobs, instances=instances, say=say)
    with closing(indexer):
        return indexer.index(source, shard, on_progress)


def default_jobs(options: Options) -> int:
    """One process per core; where a back end runs on a device, one process per device."""
    if uses_devices(options):
        return len(places(options))
    # Not all cores of the machine may be ours.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
