"""The data sets of temporal localisation, in the formats that they are published in.

Every one is a `Source`: which files it has, and how their rows are read. `seal.backends` names them
under "data".
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

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
from seal.errors import DataError, OptionError
from seal.files import read_json, read_text, tried_json_lines
from seal.ground.data.features import Features, check_features, feature_stores
from seal.ground.data.samples import Dataset, Sample, SourceRow, SplitPart, collect
from seal.types import Span


@dataclass(frozen=True)
class Source:
    """A data set of queries about videos, as it is published."""

    title: str
    page: str
    """Where to get it."""
    files: Mapping[str, tuple[str, ...]]
    """split -> the names of its annotation files, the one with the queries first."""
    rows: Callable[..., Iterable[SourceRow | Skipped]]
    """From the paths of a split's files to its queries, those left out included; AttributeError,
    KeyError, TypeError or ValueError if a file is not as published."""
    folders: tuple[str, ...] = ("annotations",)
    """Where the files may be in the data set's folder, besides in itself."""
    videos: tuple[str, ...] = ("videos",)
    """Where the videos are in the data set's folder."""
    stored: tuple[str, ...] = ("features",)
    """Where features are, those of several kinds in folders or .hdf5 files there."""
    withheld: frozenset[str] = frozenset()
    """The splits of which the answers are not published."""
    rate_hz: float | None = None
    """How many rows a second the features of whole videos have, where those are published."""

    def paths(self, folder: str | Path, split: str) -> list[Path]:
        """The annotation files of a split. Raises DataError, naming the missing one and where to
        get it, and OptionError for an unknown split."""
        if split not in self.files:
            valid = ", ".join(self.files)
            raise OptionError(f"{self.title} has no split {split!r}; valid: {valid}")
        places, source = (".", *self.folders), f"{self.title} is at {self.page}"
        return [find_files(Path(folder), places, name, source)[0] for name in self.files[split]]

    def read(self, folder: str | Path, split: str) -> Dataset:
        """The queries of a split: those that can be used, and what is wrong with the others.

        Raises DataError, naming the file, if one is missing or not as published.
        """
        paths = self.paths(folder, split)
        try:
            rows = list(self.rows(*paths))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{paths[0]} is not laid out as {self.title}: {error!r}") from error
        if not rows:
            raise DataError(f"{paths[0]} has no queries")
        left_out = [row.message for row in rows if isinstance(row, Skipped)]
        if len(left_out) == len(rows):
            raise DataError(f"no query of {self.title} can be used: {left_out[0]}")
        if split not in self.withheld:
            rows = [_answered(row) for row in rows]
        return collect(rows, split)

    def features(self, folder: str | Path, dimension: int | None = None) -> Features:
        """The features in a folder, or .hdf5 file, of this data set. Raises DataError."""
        return Features(folder, dimension, self.rate_hz)

    def check(self, folder: Path, say: Say) -> DataReport:
        """What of the data set is in `folder`. It takes videos, or features, or both."""
        samples: dict[str, Sample] = {}
        problems: list[Problem] = []
        skipped: list[Skipped] = []
        corrected: list[Skipped] = []
        found = dict.fromkeys(("annotations", "queries", "videos", "features"), 0)
        for split in self.files:
            try:
                data = self.read(folder, split)
            except DataError as error:
                problems.append(Problem("annotations", split, str(error)))
                continue
            found["annotations"] += 1
            found["queries"] += len(data.samples)
            skipped += data.skipped
            corrected += data.corrected
            samples |= {sample.video: sample for sample in data.samples}
        stores = [store for place in self.stored for store in feature_stores(folder / place)]
        for store in stores if samples else ():
            say(f"features of {len(samples):,} videos in {store}")
            count, wrong = check_features(self.features(store), samples.values())
            found["features"] += count
            problems += wrong
        files = files_by_name(folder, self.videos, VIDEO_SUFFIXES)
        if samples and (files or not stores):
            say(f"{len(samples):,} videos in {', '.join(str(folder / at) for at in self.videos)}")
            found["videos"] = len(samples.keys() & files.keys())
            lengths = {video: sample.duration_s for video, sample in samples.items()}
            problems += check_videos(lengths, files)
        return DataReport(
            self.title, self.page, found, tuple(problems), tuple(skipped), tuple(corrected)
        )


def _answered(row: SourceRow | Skipped) -> SourceRow | Skipped:
    """A row of a split with answers: a row without times has none where it should have some."""
    if isinstance(row, Skipped) or row.times_s is not None:
        return row
    return replace(row, times_s=[])


class LanguageQuery(NamedTuple):
    """An entry of an annotation file of Ego4D-NLQ, and what it stands in."""

    video: dict[str, Any]
    clip: dict[str, Any]
    annotation_uid: str
    query_idx: int
    entry: dict[str, Any]


def language_queries(path: str | Path) -> Iterator[Named | Skipped]:
    """All of a file, in its order, each a `LanguageQuery`, and what cannot be read of it.

    Raises KeyError or TypeError if the file is not as published.
    """

    def clips(video: dict[str, Any]) -> Iterator[Named]:
        for clip in video["clips"]:
            yield f"{path}: a clip of video {video['video_uid']}", (video, clip)

    def annotations(of: tuple[dict[str, Any], dict[str, Any]]) -> Iterator[Named]:
        video, clip = of
        for annotation in clip["annotations"]:
            yield f"{path}: an annotation of clip {clip['clip_uid']}", (video, clip, annotation)

    def queries(of: tuple[dict[str, Any], ...]) -> Iterator[Named]:
        video, clip, annotation = of
        uid = annotation["annotation_uid"]
        for index, entry in enumerate(annotation["language_queries"]):
            asked = LanguageQuery(video, clip, uid, index, entry)
            yield f"{path}: query {index} of {uid}, video {clip['clip_uid']}", asked

    videos = _numbered(path, "video", read_json(path)["videos"])
    return each(each(each(videos, clips), annotations), queries)


def _ego4d_rows(path: Path) -> Iterator[SourceRow | Skipped]:
    return each(language_queries(path), _ego4d_row)


def _ego4d_row(of: LanguageQuery) -> Iterator[SourceRow]:
    times_s = of.entry.get("clip_start_sec"), of.entry.get("clip_end_sec")
    yield SourceRow(
        video=of.clip["clip_uid"],
        duration_s=of.clip["clip_end_sec"],
        query=of.entry.get("query"),
        times_s=None if times_s == (None, None) else [times_s],
        annotation=of.annotation_uid,
        index=of.query_idx,
        part_of=_part(of.video["video_uid"], of.clip),
    )


def _numbered(path: str | Path, noun: str, entries: Iterable[Any]) -> Iterator[Named]:
    for number, entry in enumerate(entries, start=1):
        yield f"{path}: {noun} {number}", entry


def _part(video: str, clip: dict[str, Any]) -> SplitPart | None:
    start_s, end_s = clip.get("video_start_sec"), clip.get("video_end_sec")
    return None if start_s is None or end_s is None else SplitPart(video, Span(start_s, end_s))


def _charades_rows(path: Path, durations: Path) -> Iterator[SourceRow | Skipped]:
    lengths = {
        row["id"]: row["length"] for row in csv.DictReader(io.StringIO(read_text(durations)))
    }
    index: Counter[str] = Counter()

    def rows(line: str) -> Iterator[SourceRow]:
        head, marks, query = line.partition("##")
        words = head.split()
        if not marks or len(words) != 3:
            raise EntryError("a line that is not VIDEO START END##QUERY", line)
        video, *times_s = words
        yield SourceRow(video, lengths.get(video), query, [times_s], video, index[video])
        index[video] += 1

    # Not splitlines: a query may hold other line separators, such as U+2028, as they are.
    lines = _numbered(path, "line", read_text(path).split("\n"))
    return each(((item, line) for item, line in lines if line.strip()), rows)


def _sentences(
    path: Path, row: Callable[[str, dict[str, Any], int, Any, Any], SourceRow]
) -> Iterator[SourceRow | Skipped]:
    """The rows of a file of videos by name, each with its `sentences` and their `timestamps`.

    `row` is handed the name, the video, and number, text and times of a sentence.
    """

    def asked(of: tuple[str, dict[str, Any]]) -> Iterator[Named]:
        name, video = of
        sentences = zip(video["sentences"], video["timestamps"], strict=True)
        for index, (query, times) in enumerate(sentences):
            yield f"{path}: query {index} of video {name}", (name, video, index, query, times)

    videos = ((f"{path}: video {name}", (name, video)) for name, video in read_json(path).items())
    return each(each(videos, asked), lambda of: [row(*of)])


def _tacos_rows(path: Path) -> Iterator[SourceRow | Skipped]:
    """Times are numbers of frames at a constant rate."""

    def row(name: str, video: dict[str, Any], index: int, query: Any, frames: Any) -> SourceRow:
        rate_hz = float(video["fps"])
        if not (math.isfinite(rate_hz) and rate_hz > 0):
            raise EntryError("no frame rate of the video", video["fps"])
        times_s = [frame / rate_hz for frame in frames]
        stem = name.removesuffix(".avi")
        return SourceRow(stem, video["num_frames"] / rate_hz, query, [times_s], stem, index)

    return _sentences(path, row)


def _activitynet_rows(path: Path) -> Iterator[SourceRow | Skipped]:
    def row(name: str, video: dict[str, Any], index: int, query: Any, times_s: Any) -> SourceRow:
        return SourceRow(name, video["duration"], query, [times_s], name, index)

    return _sentences(path, row)


def _qvhighlights_rows(path: Path) -> Iterator[SourceRow | Skipped]:
    def rows(entry: dict[str, Any]) -> Iterator[SourceRow]:
        times_s, qid = entry.get("relevant_windows"), str(entry["qid"])
        yield SourceRow(entry["vid"], entry["duration"], entry["query"], times_s, qid, 0)

    return each(_numbered(path, "entry", tried_json_lines(path)), rows)


def _ego4d(version: str) -> Source:
    return Source(
        f"Ego4D-NLQ {version}",
        "ego4d-data.org: sign the licence, then run the tool `ego4d`"
        f" --version {version} --datasets annotations clips",
        {
            "train": ("nlq_train.json",),
            "val": ("nlq_val.json",),
            "test": ("nlq_test_unannotated.json",),
        },
        _ego4d_rows,
        folders=(f"{version}/annotations", "annotations"),
        videos=(f"{version}/clips", "clips", "videos"),
        stored=(
            f"{version}/slowfast8x8_r101_k400",
            f"{version}/omnivore_video_swinl_fp16",
            "features",
        ),
        withheld=frozenset({"test"}),
        rate_hz=30 / 16,
    )


EGO4D_V1, EGO4D_V2 = _ego4d("v1"), _ego4d("v2")

CHARADES_STA = Source(
    "Charades-STA",
    "github.com/jiyanggao/TALL (sentences), prior.allenai.org/projects/charades (videos, CSV)",
    {
        "train": ("charades_sta_train.txt", "Charades_v1_train.csv"),
        "test": ("charades_sta_test.txt", "Charades_v1_test.csv"),
    },
    _charades_rows,
    folders=("annotations", "Charades"),
    videos=("videos", "Charades_v1_480", "Charades_v1"),
)

TACOS = Source(
    "TACoS",
    "github.com/microsoft/2D-TAN (annotations), mpi-inf.mpg.de: MPII Cooking 2 (videos)",
    {split: (f"{split}.json",) for split in ("train", "val", "test")},
    _tacos_rows,
)

QVHIGHLIGHTS = Source(
    "QVHighlights",
    "github.com/jayleicn/moment_detr (annotations, features, videos)",
    {split: (f"highlight_{split}_release.jsonl",) for split in ("train", "val", "test")},
    _qvhighlights_rows,
    folders=("annotations", "data"),
    withheld=frozenset({"test"}),
)

ACTIVITYNET_CAPTIONS = Source(
    "ActivityNet Captions",
    "cs.stanford.edu/people/ranjaykrishna/densevid (annotations), activity-net.org (videos)",
    # As in the literature on localisation: the second validation set is what is tested on.
    {"train": ("train.json",), "val": ("val_1.json",), "test": ("val_2.json",)},
    _activitynet_rows,
    folders=("annotations", "captions"),
)
