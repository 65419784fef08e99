"""Video to stored tokens: one decode pass, in parts, over all cores, resumable at every part.

plan     which parts of a video there are, and under which keys they are stored
losses   what indexing a video again takes away from it
shard    which of them belong to one of several processes that know nothing of each other
work     one part, from frames to tokens
engine   what takes a plan and yields its parts as they get done
run      the local engine: parts one after another, or by several processes
ahead    decoding while a device computes
places   which device each of several processes sees
worker   what such a process does
cluster  the engine `ray`: parts as tasks of a Ray cluster
host     the address of a cluster, and a cluster that this process starts
servers  actors of Ray that hold the weights of models, and what stands for these models in tasks
batch    several videos, one after another or some at a time
estimate what it will cost
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from seal.config import Options
from seal.decompose import Instances
from seal.errors import NotIndexedError, UnfinishedError
from seal.ingest.engine import Board, Engine, WorkerProgress, engine
from seal.ingest.places import places, uses_devices
from seal.ingest.plan import Plan, Stage, prepare
from seal.ingest.shard import WHOLE, Shard
from seal.ingest.work import IndexedPart, index_part
from seal.inventory import DeadLetter, Share
from seal.store import Store, VideoRecord, letters
from seal.types import Tokens
from seal.video import VideoReader, is_pipe, open_video, shown
from seal.video.source import has_no_end, is_handed_open, named_file

_log = logging.getLogger(__name__)

__all__ = [
    "Engine",
    "IndexedPart",
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
    began = time.monotonic()
    instances = instances or Instances()
    options = instances.named_in(options or Options.load())
    on_progress(Progress("reading"))
    source = named_file(source)
    if (has_no_end(source) or is_pipe(source)) and not shard.has(0):
        return Share("", shown(source), None, 0, False, shard=str(shard))
    with (
        closing(engine(options, 1 if quick else jobs)) as running,
        open_video(source, options.video) as video,
    ):
        running.expect(_expected(video, source, options, shard), options)
        if shard.count > 1:
            parts = len(video.part_starts(options.video.part_s))
            if not any(map(shard.has, range(parts))):
                return Share(
                    "", shown(source), parts, 0, _is_there(source, store), shard=str(shard)
                )
        models = running.models(options, instances)
        stage = prepare(source, video, store, options, models, quick, shard)
        record, plan = stage.record, stage.plan
        if plan is None:
            if store.resolve(record.id) != record:
                # The file was moved.
                store.finish(record, record.keys)
            return replace(_share(store.resolve(record.id), None, shard, True), is_new=False)
        for text in stage.losses if shard.has(0) else ():
            say(f"{record.path}: {text}")
        total_s, skipped_s = video.info.duration_s, plan.skipped_s

        own, stored = len(plan.own), len(plan.own) - len(plan.todo)

        def report(board: Board) -> None:
            parts = (stored, own) if plan.is_shareable else None
            on_progress(
                Progress("indexing", board.done_s, skipped_s, total_s, board.workers, parts)
            )

        cut = f"{len(plan.todo)} parts" if plan.is_cut else "one pass"
        _log.info("%s: %s, profile %s", record.id, cut, options.profile)
        letters.forget(store, record.id, plan.todo)
        end_s, languages, dead = video.info.start_s, Counter[str](), list[DeadLetter]()
        board = Board(report)
        found = running.run(plan, video, models, instances, board)
        # The models are loaded anew where they work.
        del models
        # Processes end here and not when Python gets round to it, whatever ends this early.
        with closing(found), video.files.unchanged():
            for part in found:
                if isinstance(part, DeadLetter):
                    dead.append(part)
                    _bury(store, plan, record, part)
                    continue
                made = part.tokens, part.pictures, part.gaps, part.meanings
                store.add(record.id, part.number, part.keys, *made)
                stored += 1
                report(board)
                end_s = max(end_s, part.end_s)
                if part.language:
                    languages[part.language] += 1
        if (plan.is_cut or dead) and not plan.is_done_by(store.begin(record, plan.keys).done):
            return _share(record, plan, shard, False, dead)
        # A length that nobody measured is a claim; it counts only for parts that were not read now.
        length_s = end_s - record.start_s
        if video.info.is_continuous is not None or skipped_s:
            length_s = max(length_s, video.info.duration_s or 0.0)
        notes = tuple((note.time_s, note.text) for note in video.notes)
        notes += tuple((record.start_s, text) for text in stage.notes)
    on_progress(Progress("storing"))
    finished = replace(
        record,
        duration_s=length_s,
        notes=notes,
        indexed_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
        language=max(languages, key=lambda name: languages[name], default=plan.language),
    )
    store.finish(finished, plan.keys)
    return _share(store.resolve(record.id), plan, shard, True, dead)


def _share(
    record: VideoRecord,
    plan: Plan | None,
    shard: Shard,
    is_complete: bool,
    dead: Sequence[DeadLetter] = (),
) -> Share:
    parts = None if plan is None or not plan.is_shareable else len(plan.starts_s)
    own = 0 if plan is None else len(plan.own)
    in_order = sorted(dead, key=lambda letter: letter.part)
    return Share(record.id, record.path, parts, own, is_complete, in_order, str(shard))


def _bury(store: Store, plan: Plan, record: VideoRecord, letter: DeadLetter) -> None:
    """Keep a dead letter in the store: with its reason, or as a gap of the video."""
    if plan.options.engine.dead_parts == "unfinished":
        letters.keep(store, record.id, record.path, letter)
        return
    gap = letter.start_s, letter.end_s, f"not indexed, tried {letter.tries} times: {letter.reason}"
    store.add(record.id, letter.part, plan.missing(letter.part), Tokens.none(1), {}, [gap])


def _expected(video: VideoReader, source: str | Path, options: Options, shard: Shard) -> int:
    """How many parts there will be to share out, by the length that the source states."""
    if video.info.is_live or is_handed_open(source):
        return 0
    parts = math.ceil((video.info.duration_s or 0) / options.video.part_s)
    return sum(map(shard.has, range(parts)))


def _is_there(source: str | Path, store: Store) -> bool:
    """Whether a video of this path is committed, be it an older version of the file."""
    try:
        store.resolve(shown(source))
    except NotIndexedError:
        return False
    return True


def default_jobs(options: Options) -> int:
    """One process per core; where a back end runs on a device, one process per device."""
    if uses_devices(options):
        return len(places(options))
    # Not all cores of the machine may be ours.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
