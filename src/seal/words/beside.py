"""Subtitle files that lie beside a video, and what their names say of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from seal.errors import OptionError
from seal.video.source import VIDEO_SUFFIXES
from seal.words.charset import UnreadableSubtitlesError, decode
from seal.words.formats import RawCue, parse
from seal.words.languages import suffixes

SUBTITLE_SUFFIXES: Final = (
    *(".srt", ".vtt", ".ass", ".ssa", ".sub", ".sbv", ".smi", ".sami", ".ttml", ".dfxp", ".mpl"),
)
"""Files beside a video that are looked at; of two for one language the earlier suffix wins."""
_FOLDERS = frozenset({"sub", "subs", "subtitle", "subtitles"})
MAX_BYTES: Final = 64 * 2**20
"""Larger files are no subtitles: ten hours of speech are 2 MB."""
# What a VobSub file begins with: a pack of an MPEG program stream.
_VOBSUB = b"\0\0\x01\xba"


@dataclass(frozen=True)
class SubtitleFile:
    """A subtitle file and what its name says."""

    path: Path
    language: str = ""
    """ISO 639-1; empty if the name does not say."""
    marks: frozenset[str] = frozenset()
    """Such as "forced" and "sdh"."""


def beside(video: Path) -> list[SubtitleFile]:
    """The subtitle files of a video: in its folder, and in a folder `subs` there.

    Plain names come first, then those with a language by their names.
    """
    found = [_named(path, video) for path in _listed(video.parent)]
    for folder in _folders(video.parent):
        found += [_named(path, video) for path in _listed(folder)]
        own = folder / video.stem
        is_only = not _has_other(video)
        for path in [
            *(_listed(own) if own.is_dir() else ()),
            *(_listed(folder) if is_only else ()),
        ]:
            # Named after its language alone, such as 2_English.srt.
            told = suffixes(path.stem.split("."))
            if told is not None and told[0]:
                found.append(SubtitleFile(path, told[0], frozenset(told[1])))
    unique = {each.path: each for each in reversed(found) if each is not None}
    return sorted(unique.values(), key=_order)


def check_no_subtitles(path: str | Path, named: Iterable[str | Path] = ()) -> None:
    """Raise OptionError for an existing file that SEAL reads as the subtitles of a video.

    It lies beside the video, or is one of those that the options of a video name. Speech tokens are
    made of it, so that it is not written over.
    """
    path = Path(path)
    if not path.is_file():
        return
    for place in {path.absolute(), path.resolve()}:
        if (video := _video_of(place)) is not None:
            raise OptionError(
                f"{path} would be written over: SEAL reads it as the subtitles of {video.name};"
                f" write another file, such as {path.stem}.new{path.suffix}, or delete it first"
            )
    if any(os.path.exists(each) and os.path.samefile(each, path) for each in named):
        raise OptionError(
            f"{path} would be written over: the video was indexed with it as its subtitles; write"
            " another file"
        )


def _video_of(path: Path) -> Path | None:
    """The video that a subtitle file belongs to by its name and place; None for no video."""
    if path.suffix.lower() not in SUBTITLE_SUFFIXES:
        return None
    for video in _videos(path.parent):
        if _named(path, video) is not None:
            return video
    # In a folder `subs`, or in one there that is named after its video.
    for folder in (path.parent, path.parent.parent):
        if folder.name.lower() in _FOLDERS:
            for video in _videos(folder.parent):
                if path in (each.path for each in beside(video)):
                    return video
    return None


def _videos(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries]
    except OSError:
        return []
    return [folder / name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES]


def _order(each: SubtitleFile) -> tuple[bool, bool, bool, str, bool, int, str]:
    suffix = SUBTITLE_SUFFIXES.index(each.path.suffix.lower())
    is_extra = bool(each.marks & {"sdh", "cc", "hoh", "hi", "commentary", "comment"})
    is_chosen = "default" in each.marks
    is_plain = not each.language
    forced = "forced" in each.marks
    return forced, not is_chosen, not is_plain, each.language, is_extra, suffix, str(each.path)


def _named(path: Path, video: Path) -> SubtitleFile | None:
    """A file whose name is that of the video with marks behind it; None for any other."""
    name = path.stem.casefold()
    for own in (video.name.casefold(), video.stem.casefold()):
        if name == own:
            return SubtitleFile(path)
        if name.startswith(f"{own}."):
            told = suffixes(path.stem[len(own) + 1 :].split("."))
            if told is not None:
                return SubtitleFile(path, told[0], frozenset(told[1]))
    return None


def _listed(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if entry.name.lower().endswith(SUBTITLE_SUFFIXES)
            )
    except OSError:
        # A folder that can be entered and not listed: the video is found by its name alone.
        return
    yield from (folder / name for name in names if (folder / name).is_file())


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            named = [entry.path for entry in entries if entry.name.lower() in _FOLDERS]
    except OSError:
        return []
    return [Path(path) for path in sorted(named) if os.path.isdir(path)]


def _has_other(video: Path) -> bool:
    """Whether another video lies in the folder, which a file in `subs` may belong to."""
    with os.scandir(video.parent) as entries:
        return any(
            entry.name != video.name and Path(entry.name).suffix.lower() in VIDEO_SUFFIXES
            for entry in entries
        )


def read_subtitles(path: Path, rate_hz: float | None = None) -> tuple[list[RawCue], list[str]]:
    """The cues of a file, whose times count from 0, and notes on what is wrong with it.

    `rate_hz` is the frame rate of the video, because some formats count frames. Raises
    UnreadableSubtitlesError, also for a file that cannot be opened.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableSubtitlesError(f"larger than {MAX_BYTES // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableSubtitlesError(error.strerror or str(error)) from error
    if data.startswith(_VOBSUB):
        raise UnreadableSubtitlesError("pictures (VobSub), which SEAL does not read from a file")
    cues, bad = parse(decode(data), rate_hz)
    return cues, [f"{bad} lines of it could not be read"] if bad else []
