"""Query-focused video summarisation (Sharghi, Laurel and Gong, CVPR 2017).

Hours of egocentric video as 5-second shots, each with the concepts it shows (of 48). There are
queries of two concepts, each with the summaries of three people, and an oracle that agrees best
with all three. A machine's summary is compared with each person's by what the shots show. Shots are
paired by maximum-weight bipartite matching, the weight of a pair being the IoU of their concepts.

Here selectors see the concepts as embeddings: [48] 0 or 1, L2-normalised. The relevance of a shot
is the share of the query's concepts that it shows: 0, 0.5 or 1. It has been measured to serve every
selector better than the cosine of shot and query, which prefers shots that show little else. The
budget is the oracle's length. The data set has no questions in words; selectors that read them get
"Summarize the video, above all Book and Street".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import Candidates
from seal.errors import DataError
from seal.evaluate.cases import Case, Comparison, Fit, leave_one_out
from seal.evaluate.methods import Method
from seal.files import read_text
from seal.types import Float32, Int64
from seal.weights import require

SHOT_S = 5.0
USERS = (1, 2, 3)
_ALL = ""
_TAGS = "Dense_per_shot_tags"
_SUMMARIES = "Query-Focused_Summaries"


@dataclass(frozen=True, eq=False)
class SummaryQuery:
    """Two concepts, and what people and the oracle would show of the video for them."""

    name: str
    concepts: Int64
    """[2] columns of `QfvsVideo.tags`."""
    oracle: Int64
    """[m] rows of `QfvsVideo.tags`: shots, in ascending order, each once."""
    users: tuple[Int64, ...]
    """The same of each of three people."""


@dataclass(frozen=True, eq=False)
class QfvsVideo:
    """One video: what its shots show, and the queries asked of it."""

    name: str
    tags: Float32
    """[n, 48] 1 where a shot shows a concept, otherwise 0."""
    queries: list[SummaryQuery]
    concepts: tuple[str, ...]
    """The names of the columns."""

    def cases(self) -> Iterator[SummaryCase]:
        """Every query of the video; intervals are over queries."""
        for query in self.queries:
            yield SummaryCase(
                question=" ".join(self.concepts[column] for column in query.concepts.tolist()),
                unit=f"{self.name}/{query.name}",
                group=self.name,
                candidates=self.candidates(query),
                sizes={"": len(query.oracle)},
                tags=self.tags,
                users=query.users,
            )

    def candidates(self, query: SummaryQuery) -> Candidates:
        """The shots as selectors see them; a shot without concepts has an embedding of zeros."""
        norms = np.linalg.norm(self.tags, axis=1, keepdims=True)
        return Candidates(
            relevance=self.tags[:, query.concepts].mean(1),
            embeddings=self.tags / np.maximum(norms, 1),
            times_s=SHOT_S * (np.arange(len(self.tags), dtype=np.float64) + 0.5),
            query=f"Summarize the video, above all {query.name.replace('_', ' and ')}",
        )


def read(folder: str | Path) -> list[QfvsVideo]:
    """All videos in a folder laid out as the dataset is published.

    Files list shots by their number from 1 on, some of them twice; a shot is in a summary or not.
    Raises DataError, naming the file, if one is missing or does not say what it should.
    """
    folder = Path(folder)
    words = " ".join(_lines(folder / _TAGS / "Dictionary.txt")).split()
    concepts = {word.strip("'"): column for column, word in enumerate(words)}
    names = sorted(path.name for path in (folder / _TAGS).iterdir() if path.is_dir())
    if not names:
        raise DataError(f"{folder / _TAGS} has no folder of a video, such as P01")
    return [_read_video(folder, name, concepts) for name in names]


def _read_video(folder: Path, name: str, concepts: dict[str, int]) -> QfvsVideo:
    path = folder / _TAGS / name / f"{name}.txt"
    lines = _lines(path)
    tags = np.zeros((len(lines), len(concepts)), np.float32)
    for row, line in enumerate(lines):
        for tag in filter(None, (tag.strip() for tag in line.split(","))):
            if tag not in concepts:
                raise DataError(f"{path}, line {row + 1}: {tag!r} is not in Dictionary.txt")
            tags[row, concepts[tag]] = 1
    summaries = folder / _SUMMARIES
    oracles = sorted((summaries / "Oracle_Summaries" / name).glob("*_oracle.txt"))
    if not oracles:
        where = summaries / "Oracle_Summaries" / name
        raise DataError(f"{where} has no summaries, such as Book_Street_oracle.txt")
    queries = []
    for path in oracles:
        query = path.name.removesuffix("_oracle.txt")
        asked = query.split("_")
        if len(asked) != 2 or not set(asked) <= concepts.keys():
            raise DataError(f"{path}: its name is not two concepts of Dictionary.txt")
        users = [summaries / "User_Summaries" / name / f"{query}_user{user}.txt" for user in USERS]
        queries.append(
            SummaryQuery(
                name=query,
                concepts=np.array([concepts[concept] for concept in asked]),
                oracle=_read_shots(path, len(tags)),
                users=tuple(_read_shots(user, len(tags)) for user in users),
            )
        )
    return QfvsVideo(name, tags, queries, tuple(concepts))


def _read_shots(path: Path, count: int) -> Int64:
    """The rows of the shots that a file lists."""
    shots = set()
    for number, line in enumerate(_lines(path), start=1):
        for word in line.split():
            if not (word.isascii() and word.isdigit() and 1 <= int(word) <= count):
                expected = f"a shot from 1 to {count}"
                raise DataError(f"{path}, line {number}: expected {expected}, got {word!r}")
            shots.add(int(word) - 1)
    if not shots:
        raise DataError(f"{path} lists no shots")
    return np.array(sorted(shots))


def _lines(path: Path) -> list[str]:
    lines = read_text(path).splitlines()
    if not lines:
        raise DataError(f"{path} is empty")
    return lines


def matching_f1(tags: Float32, machine: Int64, human: Int64) -> float:
    """How well two summaries, rows of `tags` [n, c], agree: section 3.2 of the paper.

    With w the weight of the best matching, precision is w / |machine|, recall w / |human|, and the
    score is their harmonic mean: 0 to 1, symmetric. A pair of shots without concepts weighs 0.
    """
    if not len(machine) or not len(human):
        return 0.0
    shared = tags[machine] @ tags[human].T
    union = tags[machine].sum(1)[:, None] + tags[human].sum(1) - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    rows, columns = require("scipy.optimize", "eval").linear_sum_assignment(iou, maximize=True)
    # The harmonic mean of w / a and w / b.
    return float(2 * iou[rows, columns].sum(dtype=np.float64) / (len(machine) + len(human)))


@dataclass(frozen=True, eq=False)
class SummaryCase(Case):
    """A query of two concepts, and what three people would show for it."""

    tags: Float32
    """[n, 48] as in `QfvsVideo`."""
    users: tuple[Int64, ...]
    """As in `SummaryQuery`."""

    def scores(self, rows: Int64) -> dict[str, float]:
        """F1: the mean of `matching_f1` over the three people."""
        return {"f1": float(np.mean([matching_f1(self.tags, rows, user) for user in self.users]))}


def evaluate(
    videos: list[QfvsVideo],
    methods: Mapping[str, Method],
    *,
    default: str = "seal",
    fit: Fit | None = None,
) -> dict[str, Any]:
    """F1 of every method, mean over the three people, with intervals over the queries, and by how
    much the method `default` is ahead of every other one.

    What `fit` makes of the queries of all other videos is compared as well, each video by itself.

    Returns plain values: see `seal eval qfvs --json`. Raises DataError if there is something to fit
    and one video alone.
    """
    require("scipy.optimize", "eval")
    cases = [case for video in videos for case in video.cases()]
    queries = [query for video in videos for query in video.queries]
    known, asked = (
        {name: Comparison() for name in (_ALL, *(video.name for video in videos))} for _ in range(2)
    )
    for case, query in zip(cases, queries, strict=True):
        rows = {"oracle": case.scores(query.oracle), "people": {"f1": _among_people(case)}}
        for group in (_ALL, case.group):
            known[group].add(case.unit, rows)
    folds: Iterable[tuple[Mapping[str, Method], Sequence[Case]]] = [({}, cases)]
    if fit is not None:
        folds = leave_one_out(cases, fit)
    for fitted, own in folds:
        for each in own:
            asked[each.group].add(each.unit, asked[_ALL].ask({**methods, **fitted}, each))
    return {
        "videos": {video.name: len(video.tags) for video in videos},
        "queries": [case.unit for case in cases],
        "default": default,
        **_figures(known, default)["methods"],
        **_figures(asked, default),
    }


def _among_people(case: SummaryCase) -> float:
    """How well people agree with each other, mean over pairs."""
    return float(np.mean([matching_f1(case.tags, a, b) for a, b in combinations(case.users, 2)]))


def _figures(comparisons: Mapping[str, Comparison], default: str) -> dict[str, Any]:
    """`methods`, also by video and query by query, and `ahead`."""
    found = {name: one.figures(default) for name, one in comparisons.items()}
    figures = found.pop(_ALL)
    for name, row in figures["methods"].items():
        row["videos"] = {video: each["methods"][name]["f1"] for video, each in found.items()}
        row["scores"] = comparisons[_ALL].scores(name, "f1")
    return figures
