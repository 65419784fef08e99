"""A folder of clips: one file for each moment, cut from the videos."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
    file is replaced: DataError, before any clip is cut, if there is one of such a name. All videos
    are `at_hand`. `say` is told of each clip.
    """
    wanted = [videos[moment.video] for moment in found.moments]
    sources = {record.id: original(record) for record in wanted}
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


def at_hand(
    found: Found, videos: Mapping[str, VideoRecord], say: Callable[[str], None] = lambda text: None
) -> Found:
    """The moments of videos that are at hand; `say` is told of each other video.

    Raises VideoError if no video is.
    """
    records = {moment.video: videos[moment.video] for moment in found.moments}
    missing = {name: _missing(one) for name, one in records.items() if not original(one)}
    if records and len(missing) == len(records):
        raise VideoError("; ".join(missing.values()))
    for each in missing.values():
        say(each)
    return replace(found, moments=[one for one in found.moments if one.video not in missing])


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


def _missing(record: VideoRecord) -> str:
    return (
        f"{printable(record.path)}: clips are cut from the video, which is not where it was indexed"
        f" ({printable(record.location)}) or has changed since; put it back, or index it again"
    )


def _name(rank: int, record: VideoRecord, start_s: float) -> str:
    return clip_name(rank, PurePath(record.path).stem, start_s - record.start_s)
