"""A folder of clips: one file for each moment, cut from the videos."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from seal.clock import clock
from seal.errors import DataError, VideoError
from seal.export.copying import copy_suffix
from seal.export.cut import cut
from seal.export.exported import Clip
from seal.files import writing
from seal.lookup import original, source_options
from seal.printing import printable
from seal.results import Found
from seal.store import VideoRecord

_NAME_LENGTH = 60


def write_clips(
    found: Found,
    videos: Mapping[str, VideoRecord],
    folder: Path,
    copy: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> list[Clip]:
    """Cut a clip for each moment, best first, and give what was written: see `seal.export.cut`.

    The folder is made where there is none. Names hold the rank, the video and the start, and no
    file is replaced: DataError, before any clip is cut, if there is one of such a name. VideoError
    if a video is not at hand. `say` is told of each clip.
    """
    wanted = [videos[moment.video] for moment in found.moments]
    sources = {record.id: _source(record) for record in wanted}
    suffixes = {
        record.id: copy_suffix(sources[record.id], source_options(record)) if copy else ".mp4"
        for record in {record.id: record for record in wanted}.values()
    }
    names = [
        _name(rank, record, moment.span.start_s) + suffixes[record.id]
        for rank, (moment, record) in enumerate(zip(found.moments, wanted, strict=True), 1)
    ]
    paths, clips = new_files(folder, names), []
    for moment, record, path in zip(found.moments, wanted, paths, strict=True):
        span = cut(
            sources[record.id],
            moment.span.start_s,
            moment.span.end_s,
            path,
            copy=copy,
            options=source_options(record),
        )
        clips.append(Clip(path, span))
        say(f"{printable(str(path))}: {len(clips)} of {len(paths)} clips")
    return clips


def new_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The paths of files that are not there yet, in a folder that is made where there is none.

    Raises DataError if there is one of such a name.
    """
    paths = [folder / name for name in names]
    for path in paths:
        if path.exists():
            raise DataError(
                f"{path} is there already, and clips replace no file: remove it or name another"
                " folder"
            )
    with writing(folder):
        folder.mkdir(exist_ok=True)
    return paths


def clip_name(rank: int, video: str, offset_s: float) -> str:
    """The name of a clip without its suffix, such as 001_holiday_1-02-03.4: it has no characters
    that file systems or shells take amiss."""
    stem = re.sub(r"[^\w.-]+", "_", printable(video))[:_NAME_LENGTH]
    return f"{rank:03d}_{stem}_{clock(max(0.0, offset_s)).replace(':', '-')}"


def _source(record: VideoRecord) -> str:
    """The file or address of a video. Raises VideoError where it is not at hand."""
    where = original(record)
    if not where:
        raise VideoError(
            f"{record.path}: clips are cut from the video, which is not where it was indexed"
            f" ({record.location}) or has changed since; put it back, or index it again"
        )
    return where


def _name(rank: int, record: VideoRecord, start_s: float) -> str:
    return clip_name(rank, PurePath(record.path).stem, start_s - record.start_s)
