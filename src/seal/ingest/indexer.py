"""One video, from its plan to its commit, and several with the same engine and models."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from seal.config import Options
from seal.decompose import Instances, Models
from seal.errors import NotIndexedError
from seal.ingest.batch import Batch
from seal.ingest.engine import Board, OnProgress, Progress, engine
from seal.ingest.plan import Plan, Stage, prepare
from seal.ingest.shard import Shard
from seal.ingest.work import IndexedPart
from seal.inventory import DeadLetter, Share
from seal.store import Store, VideoRecord, letters
from seal.types import Tokens
from seal.video import VideoReader, is_pipe, open_video, shown
from seal.video.source import has_no_end, is_handed_open, named_file

_log = logging.getLogger(__name__)


class Indexer:
    """Indexes videos into a store, with one engine and with models that are loaded once."""

    def __init__(
        self,
        store: Store,
        options: Options | None = None,
        *,
        quick: bool = False,
        jobs: int | None = 1,
        videos: int = 1,
        instances: Instances | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """So many `videos` are to come. For the rest see `seal.ingest.index`, also for errors."""
        self._instances = instances or Instances()
        self._options = self._instances.named_in(options or Options.load())
        self._store, self._quick, self._say = store, quick, say
        self._engine = engine(self._options, 1 if quick else jobs, videos)
        self._models: Models | None = None
        self._to_plan = videos
        self._contents = set[str]()
        """Of the videos that are being indexed."""
        self._changed = threading.Condition()

    def close(self) -> None:
        """End what is being indexed."""
        self._engine.close()

    def each(
        self, sources: Sequence[str | Path], shard: Shard, on_progress: OnProgress
    ) -> Generator[tuple[int, Callable[[], Share]], None, None]:
        """The place of each source and what does it, or has done it, in their order.

        The engine decides how many videos are worked on at a time. Its end closes the indexer.
        """

        def work(place: int, on_progress: OnProgress, end_turn: Callable[[], None]) -> Share:
            return self.index(sources[place], replace(shard, place=place), on_progress, end_turn)

        at_once, places = self._engine.videos_at_once, range(len(sources))
        return iter(Batch(work, places, at_once, on_progress, self.close))

    def index(
        self,
        source: str | Path,
        shard: Shard,
        on_progress: OnProgress,
        end_turn: Callable[[], None] = lambda: None,
    ) -> Share:
        """Index a shard's share of a video: see `seal.ingest.index_share`.

        `end_turn` is called as soon as this video needs nothing more of this process but to be
        stored: another thread may then begin with the next video.
        """
        began, store, options = time.monotonic(), self._store, self._options
        on_progress(Progress("reading"))
        source = named_file(source)
        if (has_no_end(source) or is_pipe(source)) and not shard.has(0):
            return Share("", shown(source), None, 0, False, shard=str(shard))
        with open_video(source, options.video) as video:
            self._engine.expect(_expected(video, source, options, shard), options)
            if shard.count > 1:
                parts = len(video.part_starts(options.video.part_s))
                if not any(map(shard.has, range(parts))):
                    is_there = _is_there(source, store)
                    return Share("", shown(source), parts, 0, is_there, shard=str(shard))
            models = self._loaded()
            stage = self._stage(source, video, models, shard)
            record, plan = stage.record, stage.plan
            with self._ending(record), self._threads(shard):
                if plan is None:
                    if store.resolve(record.id) != record:
                        # The file was moved.
                        store.finish(record, record.keys)
                    known = _share(store.resolve(record.id), None, shard, True)
                    return replace(known, is_new=False)
                for text in stage.losses if shard.has(0) else ():
                    self._say(f"{record.path}: {text}")
                cut = f"{len(plan.todo)} parts" if plan.is_cut else "one pass"
                _log.info("%s: %s, profile %s", record.id, cut, options.profile)
                letters.forget(store, record.id, plan.todo)
                kept, planned = _Kept(store, record, plan, on_progress), time.monotonic()
                found = self._engine.run(plan, video, models, self._instances, kept.board)
                # The models are loaded anew where they work.
                del models
                if plan.is_shareable:
                    end_turn()
                # It ends here and not when Python gets round to it, whatever ends this early.
                with closing(found), video.files.unchanged():
                    for part in found:
                        kept.add(part)
                if not kept.is_complete():
                    return _share(record, plan, shard, False, kept.dead)
                on_progress(Progress("storing"))
                # Processes may have been at other videos first.
                waited_s = (kept.board.begun or planned) - planned
                finished = kept.finished(video, stage.notes, time.monotonic() - began - waited_s)
                store.finish(finished, plan.keys)
                return _share(store.resolve(record.id), plan, shard, True, kept.dead)

    def _loaded(self) -> Models:
        """The models by which videos are planned. They go with the last one: other processes may
        need the memory."""
        models = self._models or self._engine.models(self._options, self._instances)
        self._to_plan -= 1
        self._models = models if self._to_plan > 0 else None
        return models

    def _stage(self, source: str | Path, video: VideoReader, models: Models, shard: Shard) -> Stage:
        """Where a video stands, when no copy of it is being indexed any more."""
        while True:
            stage = prepare(source, video, self._store, self._options, models, self._quick, shard)
            with self._changed:
                if stage.record.content_id not in self._contents:
                    self._contents.add(stage.record.content_id)
                    return stage
                self._changed.wait()

    @contextmanager
    def _threads(self, shard: Shard) -> Iterator[None]:
        """Shards may share the cores of a machine: one that indexes by itself has one thread of
        OpenCV meanwhile, as worker processes have. The number is one for the whole process, so that
        it stays where several videos are worked on at a time."""
        if shard.count == 1 or self._engine.videos_at_once > 1:
            yield
            return
        import cv2

        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(before)

    @contextmanager
    def _ending(self, record: VideoRecord) -> Iterator[None]:
        """Copies of a video wait until it ends here."""
        try:
            yield
        finally:
            with self._changed:
                self._contents.remove(record.content_id)
                self._changed.notify_all()


class _Kept:
    """What has come of the parts of a plan: it is stored, and the rest is counted here."""

    def __init__(
        self, store: Store, record: VideoRecord, plan: Plan, on_progress: OnProgress
    ) -> None:
        self._store, self._record, self._plan = store, record, plan
        self._on_progress = on_progress
        self._stored = len(plan.own) - len(plan.todo)
        self._end_s, self._languages = record.start_s, Counter[str]()
        self.dead: list[DeadLetter] = []
        self.board = Board(self._report)

    def _report(self, board: Board) -> None:
        plan = self._plan
        parts = (self._stored, len(plan.own)) if plan.is_shareable else None
        total_s, skipped_s = plan.info.duration_s, plan.skipped_s
        self._on_progress(
            Progress("indexing", board.done_s, skipped_s, total_s, board.workers, parts)
        )

    def add(self, part: IndexedPart | DeadLetter) -> None:
        """Store a part, or bury it: with its reason, or as a gap of the video."""
        store, video_id, plan = self._store, self._record.id, self._plan
        if isinstance(part, IndexedPart):
            made = part.tokens, part.pictures, part.gaps, part.meanings
            store.add(video_id, part.number, part.keys, *made)
            self._stored += 1
            self._report(self.board)
            self._end_s = max(self._end_s, part.end_s)
            if part.language:
                self._languages[part.language] += 1
            return
        self.dead.append(part)
        if plan.options.engine.dead_parts == "unfinished":
            letters.keep(store, video_id, self._record.path, part)
            return
        gap = part.start_s, part.end_s, f"not indexed, tried {part.tries} times: {part.reason}"
        store.add(video_id, part.part, plan.missing(part.part), Tokens.none(1), {}, [gap])

    def is_complete(self) -> bool:
        """Whether all parts of the video are stored, by whomever."""
        if not (self._plan.is_cut or self.dead):
            return True
        return self._plan.is_done_by(self._store.begin(self._record, self._plan.keys).done)

    def finished(self, video: VideoReader, notes: Sequence[str], seconds: float) -> VideoRecord:
        """The record of the whole video, with these notes on its words."""
        record, languages = self._record, self._languages
        # A length that nobody measured is a claim; it counts only for parts that were not read now.
        length_s = self._end_s - record.start_s
        if video.info.is_continuous is not None or self._plan.skipped_s:
            length_s = max(length_s, video.info.duration_s or 0.0)
        noticed = tuple((note.time_s, note.text) for note in video.notes)
        return replace(
            record,
            duration_s=length_s,
            notes=noticed + tuple((record.start_s, text) for text in notes),
            indexed_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=seconds,
            language=max(languages, key=lambda name: languages[name], default=self._plan.language),
        )


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
