"""Video to stored tokens: one decode pass, in parts, over all cores, resumable at every part."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from itertools import groupby
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event
from pathlib import Path, PurePath

import cv2

from seal.config import Options, as_dict, digest
from seal.decompose import Models, decompose
from seal.errors import VideoError
from seal.processes import uninterrupted
from seal.store import Store, VideoRecord
from seal.types import Tokens
from seal.video import Frame, Video, VideoInfo, content_id, is_address, open_video

# How often the progress of the workers is looked at.
_POLL_S = 0.2


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


def index_video(
    source: str | Path,
    store: Store,
    options: Options | None = None,
    *,
    jobs: int = 1,
    on_progress: OnProgress = lambda progress: None,
) -> VideoRecord:
    """Turn a video into tokens in `store`; what is stored already is not done again.

    `options` are by default those of the profile `mini`. `jobs` is the number of processes; with
    more than one, a script needs the usual `if __name__ == "__main__":`, because each of them
    imports it anew. A live source is a new recording each time.

    Raises VideoError if the video cannot be read, StoreError if the store cannot be written,
    BackendError if a back end cannot be loaded and OptionError for options that do not fit it.
    """
    began = time.monotonic()
    options = options or Options.load()
    on_progress(Progress("reading"))
    with open_video(source, options.video) as video:
        info = video.info
        starts_s = video.part_starts(options.video.part_s)
        content = content_id(source, options.video.timeout_s)
        if info.is_live:
            content = digest(content, time.time_ns())
        models = Models.load(options)
        keys = models.keys(options)
        record = _record(source, content, info, options, models)
        known = [stored for stored in store.videos() if stored.content_id == content]
        if known:
            # A copy, or a file that was moved.
            record = replace(record, id=known[-1].id)
        stored = store.begin(record, keys)
        if stored.complete >= set(keys):
            return _moved(store, known[-1], record)
        run = _Run(str(source), record.id, options, info, tuple(starts_s), keys, stored.done)
        end_s = info.start_s
        for part in _parts(run, video, models, jobs, on_progress):
            store.add(record.id, part.number, part.keys, part.tokens, part.pictures, part.gaps)
            end_s = max(end_s, part.end_s)
    on_progress(Progress("storing"))
    finished = replace(
        record,
        duration_s=info.duration_s or end_s - info.start_s,
        indexed_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
    )
    store.finish(finished, keys)
    return store.resolve(record.id)


def default_jobs(options: Options) -> int:
    """One process per core, and a single one where a back end runs on a device, whose memory the
    processes would share."""
    stages = (options.segment, options.track, options.encode)
    if any(hasattr(stage, "device") for stage in stages):
        return 1
    # Not all cores of the machine may be ours.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _record(
    source: str | Path, content: str, info: VideoInfo, options: Options, models: Models
) -> VideoRecord:
    return VideoRecord(
        id=f"{_slug(str(source))}-{content[:8]}",
        path=str(source),
        location=str(source) if is_address(source) else str(Path(source).absolute()),
        content_id=content,
        duration_s=info.duration_s or 0.0,
        start_s=info.start_s,
        width=info.width,
        height=info.height,
        codec=info.codec,
        rate_hz=info.rate_hz,
        profile=options.profile,
        encoder=models.encoder.fingerprint,
        encoder_options=as_dict(options.encode),
        options=asdict(options),
        indexed_at="",
        seconds=0.0,
        size_bytes=info.size_bytes,
    )


def _moved(store: Store, known: VideoRecord, now: VideoRecord) -> VideoRecord:
    """What is known of a video that is indexed already, with where it lies now."""
    if (known.path, known.location) != (now.path, now.location):
        store.finish(replace(known, path=now.path, location=now.location), known.keys)
    return store.resolve(known.id)


@dataclass(frozen=True)
class _Run:
    """What a process needs to know to index any part of a video."""

    source: str
    video_id: str
    options: Options
    info: VideoInfo
    starts_s: tuple[float, ...]
    """Where the parts begin; a single one if the source can only be read from start to end."""
    keys: Mapping[str, str]
    """kind -> key."""
    done: frozenset[tuple[str, int]]
    """(kind, part) pairs that need no work."""

    def missing(self, number: int) -> dict[str, str]:
        """kind -> key of what has to be made of a part."""
        return {kind: key for kind, key in self.keys.items() if (kind, number) not in self.done}

    def bounds_s(self, number: int) -> tuple[float, float | None]:
        """Start and end of a part; the last one ends with the video."""
        end_s = self.starts_s[number + 1] if number + 1 < len(self.starts_s) else None
        return self.starts_s[number], end_s

    def part_at(self, frame: Frame) -> int:
        """The part of a frame of a source that cannot be entered in the middle."""
        return max(0, int((frame.time_s - self.info.start_s) // self.options.video.part_s))


@dataclass(frozen=True)
class _Part:
    """One part, indexed."""

    number: int
    keys: Mapping[str, str]
    tokens: Tokens
    pictures: dict[int, bytes]
    gaps: list[tuple[float, float, str]]
    end_s: float


Tick = Callable[[int, float], None]
"""Called with a part's number and how many seconds of it are done."""


def _parts(
    run: _Run, video: Video, models: Models, jobs: int, on_progress: OnProgress
) -> Iterator[_Part]:
    """Every part that is not done yet, as it gets done."""
    numbers = [number for number in range(len(run.starts_s)) if run.missing(number)]
    total_s = run.info.duration_s
    ends_s = [*run.starts_s[1:], run.info.start_s + (total_s or 0.0)]
    skipped_s = sum(
        ends_s[number] - run.starts_s[number]
        for number in range(len(run.starts_s))
        if number not in numbers
    )

    def report(done_s: Iterable[float]) -> None:
        on_progress(Progress("indexing", sum(done_s), skipped_s, total_s))

    if len(run.starts_s) > 1 and min(jobs, len(numbers)) > 1:
        yield from _in_processes(run, numbers, min(jobs, len(numbers)), report)
        return
    ticks: dict[int, float] = {}

    def tick(number: int, done_s: float) -> None:
        ticks[number] = done_s
        report(ticks.values())

    if len(run.starts_s) > 1:
        for number in numbers:
            frames = video.frames(*run.bounds_s(number))
            yield _part(run, models, video, number, run.starts_s[number], frames, tick)
    else:
        for number, frames in groupby(video.frames(), run.part_at):
            start_s = run.info.start_s + number * run.options.video.part_s
            if run.missing(number):
                yield _part(run, models, video, number, start_s, frames, tick)


def _part(
    run: _Run,
    models: Models,
    video: Video,
    number: int,
    start_s: float,
    frames: Iterator[Frame],
    tick: Tick,
) -> _Part:
    end_s = start_s
    known_gaps = len(video.gaps)

    def watched() -> Iterator[Frame]:
        nonlocal end_s
        for frame in frames:
            yield frame
            end_s = float(frame.end_pts * frame.time_base)
            tick(number, end_s - start_s)

    keys = run.missing(number)
    batches = list(
        decompose(
            watched(),
            keys,
            run.options,
            models,
            run.info,
            start_s=start_s,
            video_id=run.video_id,
        )
    )
    return _Part(
        number=number,
        keys=keys,
        tokens=Tokens.concatenate(batch.tokens for batch in batches),
        pictures={pts: jpeg for batch in batches for pts, jpeg in batch.pictures.items()},
        gaps=[(g.span.start_s, g.span.end_s, g.reason) for g in video.gaps[known_gaps:]],
        end_s=end_s,
    )


def _slug(source: str) -> str:
    """The name of a source, fit for a command line."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", PurePath(source.rstrip("/")).stem).strip("-") or "video"


# Processes


def _in_processes(
    run: _Run, numbers: list[int], jobs: int, report: Callable[[Iterable[float]], None]
) -> Iterator[_Part]:
    """The parts `numbers`, by several processes with one thread each."""
    # Forking would copy the threads of the store; only fresh processes are safe.
    context = multiprocessing.get_context("spawn")
    ticks = context.Array("d", len(run.starts_s))
    stop = context.Event()
    arguments = (run, ticks, stop)
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=arguments)
    # Numerical libraries read this as a new process loads them. Threads beyond the cores there are
    # would spin in each other's way.
    inherited = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    waiting = iter(numbers)
    pending: set[Future[_Part]] = set()
    try:
        while True:
            # One part in reserve for each process; results must not pile up.
            for number in waiting:
                with uninterrupted():
                    pending.add(pool.submit(_work, number))
                if len(pending) == 2 * jobs:
                    break
            if not pending:
                return
            done, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            report(ticks[:])
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise VideoError(
            f"{run.source}: a worker process died. If memory ran out, run it again with fewer jobs:"
            " what is done is kept. If this is a Python script, let it index under"
            ' `if __name__ == "__main__":`, because each worker imports it anew'
        ) from error
    finally:
        # Whatever ends this early (Ctrl-C, a full disk) must not wait for parts half done.
        stop.set()
        pool.shutdown(cancel_futures=True)
        if inherited is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = inherited


class _StoppedError(Exception):
    """The parent has no use for this part any more."""


_worker: tuple[_Run, Models, Tick]


def _start_worker(run: _Run, ticks: SynchronizedArray[float], stop: Event) -> None:
    global _worker
    # If the parent is killed nobody else would stop us.
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    cv2.setNumThreads(1)

    def tick(number: int, done_s: float) -> None:
        if stop.is_set():
            raise _StoppedError
        ticks[number] = done_s

    _worker = run, Models.load(run.options), tick


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int) -> _Part:
    run, models, tick = _worker
    with open_video(run.source, run.options.video, threads=1) as video:
        frames = video.frames(*run.bounds_s(number))
        return _part(run, models, video, number, run.starts_s[number], frames, tick)
