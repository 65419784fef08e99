"""Export: moments as files for people, players and editing programs.

tables      CSV and JSON
cues        SubRip and WebVTT
edl         an edit decision list (CMX 3600)      otio    an OpenTimelineIO timeline
timecode    frame rates and timecode              order   how moments follow each other there
clips       a folder with a clip of each moment
cut         one stretch of a video as a file      copying the same without encoding it anew
output      the files that both write
exported    the result

`render` makes the bytes of a file from moments, and needs no video. `cut` makes one clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from seal.errors import OptionError
from seal.export.clips import at_hand, clip_name, new_files, write_clips
from seal.export.cues import srt, vtt
from seal.export.cut import cut
from seal.export.edl import edl
from seal.export.exported import Clip, Exported
from seal.export.otio import otio
from seal.export.tables import table, values
from seal.files import write_whole
from seal.results import Found
from seal.store import VideoRecord

FORMATS: Final[dict[str, Callable[[Found, Mapping[str, VideoRecord]], bytes]]] = {
    ".csv": table,
    ".json": values,
    ".srt": srt,
    ".vtt": vtt,
    ".edl": edl,
    ".otio": otio,
}
"""By suffix: what makes a file of moments."""
STORYBOARD: Final = ".html"
"""The suffix of a storyboard, which shows more than moments: see `seal.show`."""
CLIPS: Final = "/"
"""How the name of a folder of clips ends."""


def form_of(path: str | Path) -> str:
    """What a path is exported as: a suffix of `FORMATS`, `STORYBOARD`, or `CLIPS` for a path that
    ends with a slash or is a folder. Raises OptionError, which lists the suffixes, for another."""
    if str(path).endswith(CLIPS) or Path(path).is_dir():
        return CLIPS
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS and suffix != STORYBOARD:
        raise OptionError(
            f"moments are exported to a file that ends in one of {', '.join(FORMATS)},"
            f" {STORYBOARD}, or to a folder of clips, whose name ends in /; got {str(path)!r}"
        )
    return suffix


def check_copy(path: str | Path, copy: bool) -> None:
    """Raise OptionError where clips are to be copies and the path is not one for clips."""
    if copy and form_of(path) != CLIPS:
        raise OptionError(f"copy is about clips, which go to a folder such as clips/; got {path}")


def render(found: Found, videos: Sequence[VideoRecord], suffix: str) -> bytes:
    """Moments as a file of the format `suffix`, one of `FORMATS`.

    `videos` are the records of their videos, in the order in which edited films have them. Raises
    OptionError for another suffix and for moments that the format cannot hold.
    """
    if suffix not in FORMATS:
        raise OptionError(f"no format {suffix!r}; expected one of {', '.join(FORMATS)}")
    return FORMATS[suffix](found, {record.id: record for record in videos})


def write(
    found: Found,
    videos: Sequence[VideoRecord],
    path: str | Path,
    *,
    copy: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Write moments to a file or a folder of clips, by `form_of`; a storyboard is not written here.

    A file is replaced once the new one is whole; clips replace nothing. `copy` and `say` are those
    of `write_clips`. Raises as it and `render` do, and DataError if `path` cannot be written.
    """
    check_copy(path, copy)
    names = [record.id for record in videos]
    if form_of(path) == CLIPS:
        records = {record.id: record for record in videos}
        found = at_hand(found, records, say)
        clips = write_clips(found, records, Path(path), copy, say)
        return Exported(Path(path), found, names, clips)
    write_whole(path, render(found, videos, form_of(path)))
    return Exported(Path(path), found, names)


__all__ = [
    "CLIPS",
    "FORMATS",
    "STORYBOARD",
    "Clip",
    "Exported",
    "check_copy",
    "clip_name",
    "cut",
    "form_of",
    "new_files",
    "render",
    "write",
]
