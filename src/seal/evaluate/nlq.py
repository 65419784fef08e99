"""Ego4D-NLQ: when does an egocentric clip show what answers a question?

    queries = read_annotations("nlq_val.json")
    predictions = localise(queries, localiser)     # or read_predictions("submission.json")
    figures = evaluate(queries, predictions, Rules())

The official script scores what was predicted and nothing else. Here every query counts that has
text and times, one without predictions as missed, and the official figures stand beside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from seal.errors import DataError, NotIndexedError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.ego4d import Key, Prediction, Query
from seal.evaluate.localisation import Rules, Score, mean_iou, missed, recall, score
from seal.query import IndexedVideo
from seal.store import Store
from seal.types import Moment, Span

Localiser = Callable[[str, str], Sequence[Moment]]
"""From a video's name and a query to moments, best first, in seconds from the video's start.
NotIndexedError if it does not know the video."""


class Finder:
    """`seal find` as a localiser. A video's name is that of its file without the suffix.

    `settings` are as for `IndexedVideo`.
    """

    def __init__(self, store: Store, settings: Iterable[str] = ()) -> None:
        self._store = store
        self._settings = tuple(settings)
        self._ids = {PurePath(record.path).stem: record.id for record in store.videos()}
        # Queries come video by video, so that one at a time is enough.
        self._opened: tuple[str, IndexedVideo] | None = None

    def __call__(self, video: str, query: str) -> list[Moment]:
        indexed = self._open(video)
        start_s = indexed.record.start_s
        return [
            Moment(Span(moment.span.start_s - start_s, moment.span.end_s - start_s), moment.score)
            for moment in indexed.find(query)
        ]

    def _open(self, video: str) -> IndexedVideo:
        if self._opened is None or self._opened[0] != video:
            if video not in self._ids:
                raise NotIndexedError(f"{self._store.path} has no video of the name {video}")
            self._opened = video, IndexedVideo(self._store, self._ids[video], self._settings)
        return self._opened[1]


def localise(
    queries: Iterable[Query],
    localiser: Localiser,
    on_query: Callable[[], None] = lambda: None,
) -> list[Prediction]:
    """What a localiser answers to every query that has text, about the clips that it knows.

    Raises DataError if it knows none.
    """
    predictions: list[Prediction] = []
    unknown: set[str] = set()
    for query in queries:
        clip = query.key.clip_uid
        on_query()
        if not query.text or clip in unknown:
            continue
        try:
            found = localiser(clip, query.text)
        except NotIndexedError:
            unknown.add(clip)
            continue
        times_s = [(moment.span.start_s, moment.span.end_s) for moment in found]
        predictions.append(Prediction(query.key, np.array(times_s).reshape(-1, 2)))
    if not predictions:
        raise DataError(
            f"none of the {len(unknown)} clips is indexed, such as {min(unknown, default='')}:"
            " run seal index on their files, CLIP_UID.mp4"
        )
    return predictions


class Outcome(NamedTuple):
    """A query, what was predicted for it, and how good that is."""

    query: Query
    prediction: Prediction | None
    score: Score


def outcomes(
    queries: Iterable[Query], predictions: Iterable[Prediction], rules: Rules
) -> list[Outcome]:
    """One for each query that has text and times. Of several predictions the first counts."""
    first: dict[Key, tuple[Prediction, Score]] = {}
    for prediction, scored in scores(queries, predictions, rules):
        first.setdefault(prediction.key, (prediction, scored))
    by_key = {query.key: query for query in queries if query.obstacle is None}
    nothing = None, missed(rules)
    return [Outcome(query, *first.get(key, nothing)) for key, query in by_key.items()]


def scores(
    queries: Iterable[Query], predictions: Iterable[Prediction], rules: Rules
) -> Iterator[tuple[Prediction, Score]]:
    """How good each prediction is; those without moments are left out.

    Raises DataError for a query that the annotations do not have, or have no times of.
    """
    truths = {query.key: query.truth for query in queries}
    for prediction in predictions:
        if prediction.key not in truths:
            raise DataError(f"the annotations have no {prediction.key}: are they of another split?")
        truth = truths[prediction.key]
        if truth is None:
            why = "the test split is scored by the benchmark's server"
            raise DataError(f"the annotations do not say when {prediction.key} is answered: {why}")
        if len(prediction.times_s):
            yield prediction, score(prediction.times_s, [truth], rules)


def official(
    queries: Sequence[Query], predictions: Iterable[Prediction], rules: Rules
) -> dict[str, Any]:
    """What the official script says: of all that was predicted, by an IoU above the threshold
    whatever `rules` say; repeated predictions count again. What is not a number is "nan".
    """
    rules = replace(rules, inclusive=False)
    scored = [each for _, each in scores(queries, predictions, rules)]
    return {
        "recall": {name: _json(value) for name, value in recall(scored, rules).items()},
        "mIoU": _json(mean_iou(scored)),
        "evaluated": len(scored),
        "queries": len(queries),
    }


def _json(value: float) -> float | str:
    return "nan" if math.isnan(value) else value


def evaluate(
    queries: Sequence[Query], predictions: Sequence[Prediction], rules: Rules
) -> dict[str, Any]:
    """Recall and mean IoU over all queries that have text and times, the official figures, and what
    is missing.

    Intervals are over clips. An IoU of 0 / 0 is 0 here. Returns plain values: see
    `seal eval nlq --json`. Raises DataError as `scores` does, and if no query has text and times.
    """
    asked = outcomes(queries, predictions, rules)
    if not asked:
        raise DataError("no query of the annotations has text and times")
    clips = [outcome.query.key.clip_uid for outcome in asked]
    hits = np.array([outcome.score.hits.ravel() for outcome in asked])
    iou = np.array([outcome.score.iou for outcome in asked])
    iou[np.isnan(iou)] = 0
    return {
        "recall": {
            name: bootstrap(column, clips)._asdict()
            for name, column in zip(rules.names, hits.T, strict=True)
        },
        "mean_iou": bootstrap(iou, clips)._asdict(),
        "missing": sum(outcome.prediction is None for outcome in asked),
        "repeated": len(predictions) - len({prediction.key for prediction in predictions}),
        "official": official(queries, predictions, rules),
    }


def describe(queries: Sequence[Query]) -> dict[str, Any]:
    """How many queries there are, and how many of them do not count, and why."""
    obstacles = Counter(query.obstacle for query in queries if query.obstacle)
    instants = sum(
        query.truth is not None and query.truth[0] == query.truth[1] for query in queries
    )
    return {
        "clips": len({query.key.clip_uid for query in queries}),
        "queries": len(queries),
        "not_counted": dict(obstacles),
        "zero_length": instants,
    }


def log(asked: Iterable[Outcome], rules: Rules) -> Iterator[dict[str, Any]]:
    """A JSON-able line for each query: what was asked, what was predicted, what it was worth."""
    for query, prediction, scored in asked:
        times_s = [] if prediction is None else prediction.times_s[: max(rules.top)].tolist()
        yield {
            **query.key._asdict(),
            "query": query.text,
            "template": query.template,
            "truth": query.truth,
            "predicted_times": times_s,
            "iou": None if math.isnan(scored.iou) else scored.iou,
            "hits": dict(zip(rules.names, scored.hits.ravel().tolist(), strict=True)),
        }
