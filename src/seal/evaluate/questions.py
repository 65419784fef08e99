"""Questions about videos, and the data sets that ask them, in the formats that they come in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from seal.datacheck import (
    VIDEO_SUFFIXES,
    DataReport,
    EntryError,
    Named,
    Problem,
    Say,
    Skipped,
    check_videos,
    each,
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
        """Raises EntryError."""
        texts = (self.id, self.video, self.text, self.answer, *self.types, *self.options.values())
        for text in texts:
            if not isinstance(text, str):
                raise EntryError("a number or a list in the place of a text", text)
        for seconds in (self.until_s, self.duration_s):
            if seconds is not None and not _is_time(seconds):
                raise EntryError("a time that is no number of seconds", seconds)
        if not self.text.strip():
            raise EntryError("a question without text", self.text)
        if not self.video:
            raise EntryError("a question about no video", self.video)
        if self.options and self.answer not in self.options:
            raise EntryError("an answer that is none of the options", self.answer)


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


class QuestionList(list[BenchmarkQuestion]):
    """The questions of a data set that can be used, in its order, and what cannot: `skipped`."""

    def __init__(
        self, questions: Iterable[BenchmarkQuestion] = (), skipped: Iterable[Skipped] = ()
    ) -> None:
        super().__init__(questions)
        self.skipped = tuple(skipped)


def single(key: str) -> Callable[[Any], Iterable[Named]]:
    """The `Published.parts` of a data set of which each entry is a question; `key` names it."""

    def parts(entry: Any) -> Iterator[Named]:
        yield f"{key} {entry[key]}", entry

    return parts


@dataclass(frozen=True)
class Published:
    """A data set of questions about videos."""

    title: str
    page: str
    """Where to get it."""
    files: tuple[str, ...]
    """The names of the annotation files, or patterns of them."""
    entries: Callable[[Path], Any]
    """From a file to the list of its entries. An entry that cannot be read is a DataError."""
    parts: Callable[[Any], Iterable[Named]]
    """From an entry to its questions as published, each after its name; raises as `question`."""
    question: Callable[[str, int, Any], BenchmarkQuestion]
    """From the name of a file without its suffix, the number of an entry in it and one of its parts
    to the question. Raises what `seal.datacheck.each` knows if it is not as published."""
    folders: tuple[str, ...] = (".",)
    """Where the files may be in the data set's folder: the first that has any counts."""
    videos: tuple[str, ...] = (".", "videos")
    """Where the videos may be in the data set's folder."""

    def read(self, path: str | Path) -> QuestionList:
        """The questions in an annotation file, or in all of those of the data set's folder.

        Entries that cannot be used are left out, and so are files that are missing beside others:
        see `QuestionList.skipped`. Raises DataError, naming file and entry, if no question is left.
        """
        path = Path(path)
        if path.is_dir():
            found = [one for name in self.files for one in self._named(path, name)]
        else:
            found = self._read(path)
        questions: dict[str, BenchmarkQuestion] = {}
        skipped: list[Skipped] = []
        for one in found:
            if isinstance(one, Skipped):
                skipped.append(one)
            elif one.id in questions:
                reason = "an id that another question has"
                item = f"{path}: question {one.id} about {one.video}"
                skipped.append(Skipped(item, reason, f"{item}: {reason}"))
            else:
                questions[one.id] = one
        if not questions:
            why = skipped[0].message if skipped else f"{path} has no questions"
            raise DataError(f"no question of {self.title} can be used: {why}")
        return QuestionList(questions.values(), skipped)

    def check(self, folder: Path, say: Say) -> DataReport:
        """What of the data set is in `folder`."""
        found = [(name, one) for name in self.files for one in self._named(folder, name)]
        problems = [
            Problem("annotations", name, one.message)
            for name, one in found
            if isinstance(one, Skipped)
        ]
        questions = [one for _, one in found if isinstance(one, BenchmarkQuestion)]
        lengths = {question.video: question.duration_s for question in questions}
        videos = self.find_videos(folder, lengths)
        if lengths:
            say(f"{len(lengths):,} videos in {folder}")
            problems += check_videos(lengths, videos)
        counts = {"questions": len(questions), "videos": len(lengths.keys() & videos.keys())}
        return DataReport(self.title, self.page, counts, tuple(problems))

    def _named(self, folder: Path, name: str) -> list[BenchmarkQuestion | Skipped]:
        """What is in the files of this name or pattern."""
        try:
            paths = find_files(folder, self.folders, name, f"{self.title} is at {self.page}")
        except DataError as error:
            return [Skipped(name, "a file that is missing", str(error))]
        return [one for path in paths for one in self._read(path)]

    def _read(self, path: Path) -> list[BenchmarkQuestion | Skipped]:
        """The questions in a file, and the entries that are not as published."""
        try:
            entries = self.entries(path)
        except DataError as error:
            return [Skipped(str(path), "a file that cannot be read", str(error))]
        if not isinstance(entries, list):
            reason = "a file that is no list"
            message = f"{path} must be a list, as {self.title} is published"
            return [Skipped(str(path), reason, message)]
        return [
            one
            for number, entry in enumerate(entries)
            for one in each(
                each([(f"{path}: entry {number + 1}", entry)], partial(self._parts, path, number)),
                partial(self._question, path.stem, number),
            )
        ]

    def _question(self, file: str, number: int, part: Any) -> list[BenchmarkQuestion]:
        return [self.question(file, number, part)]

    def _parts(self, path: Path, number: int, entry: Any) -> Iterator[Named]:
        for name, part in self.parts(entry):
            yield f"{path}: entry {number + 1}, {name}", part

    def find_videos(self, folder: Path, names: Iterable[str]) -> dict[str, Path]:
        """The video files that are there, by the names that questions have for them."""
        return {
            str(inside / name): path
            for inside in dict.fromkeys(PurePath(name).parent for name in names)
            for name, path in files_by_name(
                folder, (f"{place}/{inside}" for place in self.videos), VIDEO_SUFFIXES
            ).items()
        }
