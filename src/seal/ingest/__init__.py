"""Video to stored tokens: one decode pass, in parts, over all cores, resumable at every part.

plan    which parts of a video there are, and under which keys they are stored
work    one part, from frames to tokens
run     the local engine: parts one after another, or by several processes
ahead   decoding while a device computes
places  which device each of several processes sees
worker  what such a process does
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from seal.config import Options
from seal.decompose import Instances, Models
from seal.ingest.places import places, uses_devices
from seal.ingest.plan import Plan, Stage, prepare
from seal.ingest.run import Workers, in_process, in_processes
from seal.ingest.work import IndexedPart, index_part
from seal.store import Store, VideoRecord
from seal.video import VideoReader, open_video
from seal.video.source import is_handed_open, named_file

_log = logging.getLogger(__name__)

__all__ = [
    "IndexedPart",
    "Instances",
    "OnProgress",
    "Plan",
    "Progress",
    "Stage",
    "default_jobs",
    "index",
    "index_part",
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


OnProgress = Callable[[Progress], None]


def index(
    source: str | Path,
    store: Store,
    options: Options | None = None,
    *,
    quick: bool = False,
    jobs: int = 1,
    instances: Instances | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> VideoRecord:
    """Turn a video into tokens in `store`; what is stored already is not done again.

    `options` are by default those of the profile `mini`; `instances` are models that stand in for
    those that the options name. `jobs` is the number of processes. A live source is a new recording
    each time.

    With `quick` only the pictures that the codec stores whole are looked at, one for each scene
    token, by one process. A later run without it puts all tokens in their place.

    Raises VideoError if the video cannot be read, StoreError if the store cannot be written. Raises
    BackendError if a back end cannot be loaded and OptionError for options that do not fit it.
    """
    began = time.monotonic()
    instances = instances or Instances()
    options = instances.named_in(options or Options.load())
    on_progress(Progress("reading"))
    source = named_file(source)
    processes = 1 if quick else jobs
    with (
        open_video(source, options.video) as video,
        closing(Workers(options, _expected(video, source, options, processes))) as workers,
    ):
        models = Models.load(options, instances)
        stage = prepare(source, video, store, options, models, quick)
        record, plan = stage.record, stage.plan
        if plan is None:
            if store.resolve(record.id) != record:
                # The file was moved.
                store.finish(record, record.keys)
            return store.resolve(record.id)
        total_s, skipped_s = video.info.duration_s, plan.skipped_s

        def report(done_s: Iterable[float]) -> None:
            on_progress(Progress("indexing", sum(done_s), skipped_s, total_s))

        jobs = min(jobs, len(plan.todo)) if plan.is_cut and not is_handed_open(source) else 1
        cut = f"{len(plan.todo)} parts" if plan.is_cut else "one pass"
        _log.info("%s: %s, profile %s, %d processes", record.id, cut, options.profile, jobs)
        if jobs > 1:
            # The models are loaded anew where they work.
            del models
            parts = in_processes(plan, instances, workers, jobs, report)
        else:
            workers.close()
            parts = in_process(plan, video, models, report)
        end_s, languages = video.info.start_s, Counter[str]()
        # Processes end here and not when Python gets round to it, whatever ends this early.
        with closing(parts), video.files.unchanged():
            for part in parts:
                stored = part.tokens, part.pictures, part.gaps, part.meanings
                store.add(record.id, part.number, part.keys, *stored)
                end_s = max(end_s, part.end_s)
                if part.language:
                    languages[part.language] += 1
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
    return store.resolve(record.id)


def _expected(video: VideoReader, source: str | Path, options: Options, jobs: int) -> int:
    """How many worker processes there will be, by the length that the source states; 0 if none."""
    if video.info.is_live or is_handed_open(source):
        return 0
    parts = math.ceil((video.info.duration_s or 0) / options.video.part_s)
    count = min(jobs, parts)
    return count if count > 1 else 0


def default_jobs(options: Options) -> int:
    """One process per core; where a back end runs on a device, one process per device."""
    if uses_devices(options):
        return len(places(options))
    # Not all cores of the machine may be ours.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
