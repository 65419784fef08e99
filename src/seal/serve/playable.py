"""Copies of videos that browsers play: H.264 or what else they decode, in MP4.

A copy begins at 0, which is the time of the first picture: `VideoRecord.start_s`. Copies lie in the
folder `playable` of the state, one for each video, and go with their videos.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from seal.errors import StoreFullError, VideoError
from seal.ingest import Progress
from seal.lookup import source_options
from seal.results import Result
from seal.serve.browsers import Way, makeup_of
from seal.serve.originals import original_file
from seal.store import Store, VideoRecord

KIND = "playable"
"""The kind of job that makes a copy."""
_SAME_S = 0.001
"""Containers round times to milliseconds."""


@dataclass(frozen=True, eq=False)
class Playability(Result):
    """Whether browsers play a video, and what can be done where they do not."""

    state: Way | Literal["ready"]
    """ "ready" where there is a copy that browsers play."""
    why: str
    job: str | None
    """The id of the job that is making a copy."""

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "why": self.why, "job": self.job}

    def __str__(self) -> str:
        return f"{self.state}: {self.why}"


class PlayableCopies:
    """The copies in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, video: str) -> Path | None:
        """The copy of a video; None where there is none."""
        path = self.place(video)
        return path if path.is_file() else None

    def place(self, video: str) -> Path:
        """Where the copy of a video lies, once there is one."""
        # An id may be longer than a file name may be.
        return self._folder / f"{blake2b(video.encode(), digest_size=16).hexdigest()}.mp4"

    def forget(self, video: str) -> None:
        """Remove the copy of a video."""
        self.place(video).unlink(missing_ok=True)

    def tidy(self, videos: Iterable[str]) -> None:
        """Remove what killed jobs have left, and copies of others than these videos. No job may run
        meanwhile."""
        kept = {self.place(video) for video in videos}
        for path in self._folder.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            elif path not in kept:
                path.unlink()


def playability(record: VideoRecord, copies: PlayableCopies, job: str | None = None) -> Playability:
    """Whether browsers play a video; `job` makes a copy of it.

    Raises MissingError if its file is not at hand, and VideoError if it cannot be read.
    """
    if copies.find(record.id) is not None:
        return Playability("ready", "there is a copy that browsers play", job)
    way, why = makeup_of(original_file(record), source_options(record)).way()
    return Playability(way, why, job)


def make_copy(job: Mapping[str, Any], on_progress: Callable[[Progress], None]) -> str:
    """Make the copy of a video; gives back the id of the video.

    The packets are copied where browsers play the codecs, and the film begins with its first
    packet; otherwise pictures and sound are encoded anew. The job names the store, the video, the
    `output`, and what has to stay free of the disk. Raises MissingError and VideoError as
    `playability`, StoreFullError if the disk is full, NotIndexedError for a video that is removed.
    """
    store, output = Store(job["store"]), Path(job["output"])
    record = store.record(job["video"])
    source = original_file(record)
    way, _ = makeup_of(source, source_options(record)).way()
    drafts = output.with_suffix("")
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir(parents=True)
    draft = drafts / output.name
    try:
        if not (way == "remux" and _write(job, record, source, draft, True, on_progress)):
            _write(job, record, source, draft, False, on_progress)
        # The video may have been removed meanwhile, and nobody would remove the copy.
        store.record(record.id)
        os.replace(draft, output)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    return record.id


def _write(
    job: Mapping[str, Any],
    record: VideoRecord,
    source: Path,
    draft: Path,
    copy: bool,
    on_progress: Callable[[Progress], None],
) -> bool:
    """Write a copy; gives back whether its time is that of the video.

    A copy of packets has another time, or is none, where the first packets cannot be decoded or do
    not say when they are shown.
    """
    from seal.export import cut

    stage = "copying" if copy else "encoding"

    def tell(done_s: float) -> None:
        if shutil.disk_usage(draft.parent).free < job["min_free_bytes"]:
            raise StoreFullError(
                f"no space left for a playable copy of {record.id}: {done_s:.0f} of"
                f" {record.duration_s:.0f} s were written, and {job['min_free_bytes']:,} bytes of"
                " the disk have to stay free"
            )
        on_progress(Progress(stage, done_s, total_s=record.duration_s))

    end_s = record.start_s + record.duration_s
    options = source_options(record)
    try:
        span = cut(
            source, record.start_s, end_s, draft, copy=copy, options=options, on_progress=tell
        )
    except VideoError:
        if not copy:
            raise
        return False
    return abs(span.start_s - record.start_s) <= _SAME_S
