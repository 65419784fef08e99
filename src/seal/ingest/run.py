"""The local engine: the parts of a plan, by this process or by several."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from functools import partial
from itertools import groupby
from typing import Any

from seal import kinds
from seal.config import Options
from seal.decompose import Instances, Models
from seal.errors import VideoError
from seal.ingest.engine import Board, Engine, PartQueue
from seal.ingest.plan import Plan
from seal.ingest.pool import Pool
from seal.ingest.work import IndexedPart, frames_of, index_frames, index_part
from seal.inventory import DeadLetter
from seal.video import Frame, VideoReader
from seal.words.listening import Listener

_VIDEOS = 2
"""Videos for each process: while it works on one, another one is planned, or is stored."""


class LocalEngine(Engine):
    """Processes of this machine, or this process alone where there is one job."""

    def __init__(self, options: Any, jobs: int | None = None, videos: int = 1) -> None:
        super().__init__(options, jobs, videos)
        self._count = jobs or 1
        self._pool = Pool(self._count)

    @property
    def videos_at_once(self) -> int:
        return 1 if self._count == 1 else _VIDEOS * self._count

    def expect(self, parts: int, options: Options) -> None:
        if min(self._count, parts) > 1:
            self._pool.start(min(self._count, parts), options)

    def run(
        self, plan: Plan, video: VideoReader, models: Models, instances: Instances, board: Board
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        if plan.is_shareable and self._count > 1 and max(self.videos, len(plan.todo)) > 1:
            # The processes open it themselves: one that is open holds pictures.
            video.close()
            return self._pool.run(plan, instances, board)
        found = in_process(plan, video, models, board)
        if self._count > 1 and self.videos > 1:
            return self._seated(found)
        # Processes that were expected to have something to do.
        self.close()
        return found

    def _seated(
        self, found: Generator[IndexedPart | DeadLetter, None, None]
    ) -> Generator[IndexedPart | DeadLetter, None, None]:
        with self._pool.seat():
            yield from found

    def close(self) -> None:
        self._pool.close()


def in_process(
    plan: Plan, video: VideoReader, models: Models, board: Board
) -> Generator[IndexedPart | DeadLetter, None, None]:
    """Every part to do, by this process, from a video that is open already."""
    this = f"process {os.getpid()}"
    tick = partial(board.at, this)
    if plan.todo:
        tick(plan.todo[0], 0.0)
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
