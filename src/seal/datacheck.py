"""What is missing or damaged of a data set on disk.

`seal data check` takes the names that `seal.backends` has under "data set": each is something with
a `check`. What data sets have in common, such as videos, is checked by functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from seal.config import VideoOptions
from seal.errors import DataError, VideoError
from seal.video import open_video

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")

# Annotations round durations, and some count from the first picture and others from zero.
_SLACK_S = 2.0

Say = Callable[[str], None]
"""Told what is looked at now, for that can take long."""


class Problem(NamedTuple):
    """One thing that is not as it should be."""

    kind: str
    """Of what: annotations, videos, features."""
    item: str
    """A path, or the name of what is missing."""
    fault: str


@dataclass(frozen=True)
class DataReport:
    """What is there of a data set, and what is not."""

    title: str
    page: str
    """Where to get what is missing."""
    found: Mapping[str, int]
    """How many there are of each kind, damaged ones included."""
    problems: tuple[Problem, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    """How many annotations cannot be used, by reason: the data set is published with them."""


class Checkable(Protocol):
    """A data set as `seal data check` knows it."""

    def check(self, folder: Path, say: Say) -> DataReport:
        """What is in `folder`; missing and damaged files are problems and no errors."""
        ...


def find_files(folder: Path, places: Iterable[str], name: str, source: str) -> list[Path]:
    """The files of this name, which may be a pattern, in the first of these folders of `folder`
    that has any.

    Raises DataError if none has; `source` says where to get them.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; {source}")
    looked = [folder / place for place in places]
    for place in looked:
        found = sorted(path for path in place.glob(name) if not path.name.startswith("."))
        if found:
            return found
    raise DataError(f"{name} is not in {', '.join(map(str, looked))}; {source}")


def files_by_name(folder: Path, places: Iterable[str], suffixes: Iterable[str]) -> dict[str, Path]:
    """The files with these suffixes in these folders of `folder`, by name without the suffix."""
    suffixes = tuple(suffixes)
    return {
        path.stem: path
        for place in places
        for path in sorted((folder / place).glob("*"))
        if path.suffix.lower() in suffixes
    }


def check_videos(wanted: Mapping[str, float | None], files: Mapping[str, Path]) -> list[Problem]:
    """What is wrong with videos: `wanted` has their seconds, if known, by name, and `files` those
    that are there.

    If none of them is there, that is one problem.
    """
    if wanted and not wanted.keys() & files.keys():
        kinds = ", ".join(VIDEO_SUFFIXES)
        return [Problem("videos", next(iter(wanted)), f"none of {len(wanted)} is there ({kinds})")]
    problems = [Problem("videos", name, "missing") for name in wanted if name not in files]
    for name, duration_s in wanted.items():
        fault = video_fault(files[name], duration_s) if name in files else None
        if fault is not None:
            problems.append(Problem("videos", str(files[name]), fault))
    return problems


def video_fault(path: Path, duration_s: float | None) -> str | None:
    """Why a video cannot be used, or None: its first and last pictures are decoded, and it must not
    be shorter than `duration_s`."""
    try:
        with open_video(path, VideoOptions(), threads=1) as video:
            length_s = video.info.duration_s or 0.0
            last_s = video.info.start_s + max(0.0, length_s - _SLACK_S)
            for _ in video.frames(last_s):
                pass
            gaps = video.gaps
    except VideoError as error:
        return str(error)
    if gaps:
        return f"damaged at {gaps[0].span.start_s:.1f} s: {gaps[0].reason}"
    if duration_s is not None and length_s < duration_s - _SLACK_S:
        return f"is {length_s:.1f} s long, and annotated as {duration_s:.1f} s"
    return None
