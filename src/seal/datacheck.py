"""What is missing or damaged of a data set on disk.

`seal data check` takes the names that `seal.backends` has under "data set": each is something with
a `check`. What data sets have in common, such as videos, is checked by functions here.

One damaged entry stops no data set. Every reader goes through its entries with `each`, which leaves
out the entries that cannot be used and names each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from seal.config import VideoOptions
from seal.errors import DataError, VideoError
from seal.video import open_video

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")

# Annotations round durations, and some count from the first picture and others from zero.
_SLACK_S = 2.0

_SHOWN = 200
"""An error shows so many characters of a value."""

Say = Callable[[str], None]
"""Told what is looked at now, for that can take long."""

T = TypeVar("T")


class EntryError(ValueError):
    """An entry of a data set that cannot be used.

    `reason` is the same for all entries with the same fault; `came` is what the entry has.
    """

    def __init__(self, reason: str, came: object) -> None:
        super().__init__(f"{reason} ({repr(came)[:_SHOWN]})")
        self.reason = reason


class Skipped(NamedTuple):
    """An entry that was left out of a data set, or a part of it."""

    item: str
    reason: str
    message: str
    """All that is to be said."""


Named = tuple[str, Any]
"""An entry of a file, or a part of an entry, after the name that errors give it."""


def each(
    entries: Iterable[Named | Skipped], read: Callable[[Any], Iterable[T]]
) -> Iterator[T | Skipped]:
    """What `read` makes of every entry; of one that is not as published, why it is left out.

    An entry may be the DataError that reading it ended in. Entries that were left out before stay
    left out, so that calls can follow each other: from a video to its questions, for example.
    """
    for named in entries:
        if isinstance(named, Skipped):
            yield named
            continue
        item, entry = named
        try:
            if isinstance(entry, DataError):
                raise EntryError("an entry that cannot be read", str(entry))
            found = list(read(entry))
        except EntryError as error:
            yield Skipped(item, error.reason, f"{item}: {error}")
        except KeyError as error:
            reason = f"an entry without {error}"
            yield Skipped(item, reason, f"{item}: {reason}")
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = "an entry that is not laid out as published"
            yield Skipped(item, reason, f"{item}: {reason} ({error!r})")
        else:
            yield from found


def reasons(skipped: Iterable[Skipped]) -> dict[str, int]:
    """How many entries were left out, by reason."""
    return dict(Counter(each.reason for each in skipped))


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
    skipped: tuple[Skipped, ...] = ()
    """The annotations that cannot be used: the data set is published with them."""
    corrected: tuple[Skipped, ...] = ()
    """What was cut off or left out of annotations that can be used."""


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
    return length_fault(length_s, duration_s)


def length_fault(length_s: float, annotated_s: float | None) -> str | None:
    """What is wrong with a video of this length, or None: it must not be shorter than annotated."""
    if annotated_s is None or length_s >= annotated_s - _SLACK_S:
        return None
    return f"is {length_s:.1f} s long, and annotated as {annotated_s:.1f} s"
