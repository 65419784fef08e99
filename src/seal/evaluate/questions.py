"""Questions about videos, and the data sets that ask them, in the formats that they come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from string import ascii_uppercase
from typing import Any

from seal.datacheck import (
    VIDEO_SUFFIXES,
    DataReport,
    Problem,
    Say,
    check_videos,
    files_by_name,
    find_files,
)
from seal.errors import DataError


@dataclass(frozen=True)
class BenchmarkQuestion:
    """A question about a video, and its right answer."""

    id: str
    video: str
    """The name of its file without the suffix, after that of its folder where names repeat."""
    text: str
    """Without its options."""
    answer: str
    """The letter of the right option, or the right answer itself."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Letter -> text, in order; none where the answer is free."""
    types: tuple[str, ...] = ()
    """What the question is about: it counts in each of these categories."""
    until_s: float | None = None
    """If it is asked in the middle of the video: how many seconds of it have been seen."""
    duration_s: float | None = None
    """Of the video, if that is published."""

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError."""
        texts = (self.id, self.video, self.text, self.answer, *self.types, *self.options.values())
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"expected text, got {text!r}")
        for seconds in (self.until_s, self.duration_s):
            if not isinstance(seconds, (int, float, type(None))):
                raise TypeError(f"expected seconds, got {seconds!r}")
        if not self.text.strip():
            raise ValueError("the question is empty")


def lettered(texts: Any) -> dict[str, str]:
    """A list of options by their letters. Raises TypeError if it is none."""
    if not isinstance(texts, list):
        raise TypeError(f"expected a list of options, got {texts!r}")
    return dict(zip(ascii_uppercase, map(str, texts), strict=False))


@dataclass(frozen=True)
class Published:
    """A data set of questions about videos."""

    title: str
    page: str
    """Where to get it."""
    files: tuple[str, ...]
    """The names of the annotation files, or patterns of them."""
    entries: Callable[[Path], Any]
    """From a file to the list of its entries."""
    questions: Callable[[str, int, Any], Iterable[BenchmarkQuestion]]
    """From the name of a file without its suffix, the number of an entry in it and the entry to its
    questions; KeyError, TypeError, ValueError or ZeroDivisionError if it is not as published."""
    folders: tuple[str, ...] = (".",)
    """Where the files may be in the data set's folder: the first that has any counts."""
    videos: tuple[str, ...] = (".", "videos")
    """Where the videos may be in the data set's folder."""

    def read(self, path: str | Path) -> list[BenchmarkQuestion]:
        """The questions in an annotation file, or in all of those of the data set's folder.

        Raises DataError, naming file and entry, if one is missing or not as published.
        """
        path = Path(path)
        if path.is_dir():
            found = [each for name in self.files for each in self._named(path, name)]
        else:
            found = self._read(path)
        questions: dict[str, BenchmarkQuestion] = {}
        for each in found:
            if isinstance(each, DataError):
                raise each
            if each.id in questions:
                raise DataError(f"{path} has two questions of the id {each.id}")
            questions[each.id] = each
        if not questions:
            raise DataError(f"{path} has no questions")
        return list(questions.values())

    def check(self, folder: Path, say: Say) -> DataReport:
        """What of the data set is in `folder`."""
        found = [(name, each) for name in self.files for each in self._named(folder, name)]
        problems = [
            Problem("annotations", name, str(each))
            for name, each in found
            if isinstance(each, DataError)
        ]
        questions = [each for _, each in found if isinstance(each, BenchmarkQuestion)]
        lengths = {question.video: question.duration_s for question in questions}
        videos = self._videos(folder, lengths)
        if lengths:
            say(f"{len(lengths):,} videos in {folder}")
            problems += check_videos(lengths, videos)
        counts = {"questions": len(questions), "videos": len(lengths.keys() & videos.keys())}
        return DataReport(self.title, self.page, counts, tuple(problems))

    def _named(self, folder: Path, name: str) -> list[BenchmarkQuestion | DataError]:
        """What is in the files of this name or pattern."""
        try:
            paths = find_files(folder, self.folders, name, f"{self.title} is at {self.page}")
        except DataError as error:
            return [error]
        return [each for path in paths for each in self._read(path)]

    def _read(self, path: Path) -> list[BenchmarkQuestion | DataError]:
        """The questions in a file, with an error for each entry that is not as published."""
        try:
            entries = self.entries(path)
        except DataError as error:
            return [error]
        if not isinstance(entries, list):
            return [DataError(f"{path} must be a list, as {self.title} is published")]
        return [
            each
            for number, entry in enumerate(entries)
            for each in self._taken(path, number, entry)
        ]

    def _taken(
        self, path: Path, number: int, entry: Any
    ) -> Sequence[BenchmarkQuestion | DataError]:
        try:
            return list(self.questions(path.stem, number, entry))
        except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            where = f"{path}: entry {number + 1}"
            return [DataError(f"{where} is not as {self.title} is published: {error!r}")]

    def _videos(self, folder: Path, names: Iterable[str]) -> dict[str, Path]:
        """The video files that are there, by the names that questions have for them."""
        return {
            str(inside / name): path
            for inside in dict.fromkeys(PurePath(name).parent for name in names)
            for name, path in files_by_name(
                folder, (f"{place}/{inside}" for place in self.videos), VIDEO_SUFFIXES
            ).items()
        }
