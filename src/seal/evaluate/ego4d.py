"""The files of Ego4D-NLQ (Grauman et al., CVPR 2022): annotations as published, versions 1 and 2,
and predictions as the benchmark's server and its official script take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seal.datacheck import EntryError, Skipped, each
from seal.errors import DataError
from seal.files import read_json, write_text
from seal.ground.data.sources import LanguageQuery, language_queries
from seal.types import Float64

VERSION = "1.0"
CHALLENGE = "ego4d_nlq_challenge"


class Key(NamedTuple):
    """What names a query in annotations and predictions."""

    clip_uid: str
    annotation_uid: str
    query_idx: int

    def __str__(self) -> str:
        return f"query {self.query_idx} of annotation {self.annotation_uid}, clip {self.clip_uid}"


@dataclass(frozen=True)
class NlqQuery:
    """A question about a clip."""

    key: Key
    text: str
    """Empty where the annotations have none: some queries of version 1."""
    template: str | None
    """The kind of question."""
    truth: tuple[tuple[float, float], ...]
    """When the clip shows the answer, as annotated: starts and ends in seconds from its start, one
    pair in Ego4D, perhaps an instant, or ending before it starts. Empty in the test split."""

    @property
    def obstacle(self) -> str | None:
        """Why no answer to this query can be right or wrong, if so."""
        if not self.truth:
            return "no times"
        return None if self.text else "no text"


class Prediction(NamedTuple):
    """The moments that answer one query."""

    key: Key
    times_s: Float64
    """[n, 2] starts and ends in seconds from the clip's start, best first."""


class NlqQueries(NamedTuple):
    """The queries of a split that can be asked, and what is wrong with others."""

    queries: list[NlqQuery]
    skipped: Sequence[Skipped] = ()
    """Entries that were left out."""
    corrected: Sequence[Skipped] = ()
    """What was cut off or left out of times."""


def read_annotations(path: str | Path) -> NlqQueries:
    """The queries of an annotation file, such as nlq_val.json, in its order.

    Raises DataError, naming the file, if it is not what it should be, or no query can be used.
    """
    try:
        found = list(each(language_queries(path), _query))
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} has not the annotations of Ego4D-NLQ: {error!r}") from error
    skipped = [entry for entry in found if isinstance(entry, Skipped)]
    queries = [entry for entry in found if isinstance(entry, NlqQuery)]
    if not queries:
        why = f" that can be used: {skipped[0].message}" if skipped else ""
        raise DataError(f"{path} has no queries{why}")
    return NlqQueries(queries, skipped)


def _query(asked: LanguageQuery) -> Iterator[NlqQuery]:
    key = Key(asked.clip["clip_uid"], asked.annotation_uid, asked.query_idx)
    if not isinstance(key.clip_uid, str) or not isinstance(key.annotation_uid, str):
        raise EntryError("no name of a clip or an annotation", key[:2])
    start, end = times = asked.entry.get("clip_start_sec"), asked.entry.get("clip_end_sec")
    try:
        truth = () if start is None or end is None else ((float(start), float(end)),)
    except (TypeError, ValueError):
        raise EntryError("times that are not numbers", times) from None
    text = (asked.entry.get("query") or "").strip()
    yield NlqQuery(key, text, asked.entry.get("template"), truth)


def read_predictions(path: str | Path) -> list[Prediction]:
    """All predictions of a submission file, in its order; each may have no moments.

    Raises DataError, naming file and result, if it is not what the official script takes.
    """
    submission = read_json(path)
    if not isinstance(submission, dict) or not isinstance(submission.get("results"), list):
        raise DataError(f"{path} is no submission to Ego4D-NLQ: it has no list of results")
    for field, expected in (("version", VERSION), ("challenge", CHALLENGE)):
        if submission.get(field) != expected:
            came = submission.get(field)
            raise DataError(f"{path}: expected the {field} {expected!r}, got {came!r}")
    return [
        _prediction(f"{path}, result {number}", entry)
        for number, entry in enumerate(submission["results"], start=1)
    ]


def _prediction(where: str, entry: Any) -> Prediction:
    try:
        key = Key(entry["clip_uid"], entry["annotation_uid"], entry["query_idx"])
        # Some add a score as third column.
        times_s = [(float(start), float(end)) for start, end, *_ in entry["predicted_times"]]
    except (KeyError, TypeError, ValueError) as error:
        expected = "clip_uid, annotation_uid, query_idx and predicted_times [[start, end], ...]"
        raise DataError(f"{where}: expected {expected}; got {error!r}") from error
    return Prediction(key, np.array(times_s, np.float64).reshape(-1, 2))


def write_submission(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write the file that the benchmark's server takes; queries without moments are left out.

    Raises DataError if it cannot be written.
    """
    results = [
        {**prediction.key._asdict(), "predicted_times": prediction.times_s.tolist()}
        for prediction in predictions
        if len(prediction.times_s)
    ]
    submission = {"version": VERSION, "challenge": CHALLENGE, "results": results}
    write_text(path, json.dumps(submission, allow_nan=False))
