"""Ego4D-NLQ, and other data sets of its kind: when does a video show what answers a query?

    queries = read_annotations("nlq_val.json").queries
    predictions = localise(queries, localiser)     # or read_predictions("submission.json")
    figures = evaluate(queries, {"mine": predictions}, Rules())["mine"]

The official script scores what was predicted and nothing else. Here every query counts that has
text and times, one without predictions as missed, and the official figures stand beside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seal.config import DecodeOptions, FindOptions, Options
from seal.datacheck import reasons
from seal.devices import resolve_device
from seal.errors import DataError, NotIndexedError, OptionError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.ego4d import Key, NlqQueries, NlqQuery, Prediction, read_annotations
from seal.evaluate.localisation import Rules, Score, mean_iou, missed, recall, score
from seal.evaluate.videos import Videos
from seal.ground import data
from seal.ground.data.sources import EGO4D_V1, EGO4D_V2
from seal.scope import Scope
from seal.store import Store
from seal.types import Float64, Moment, Span

_MEAN_IOU = "mean IoU"

Localiser = Callable[[str, str], Sequence[Moment]]
"""From a video's name and a query to moments, best first, in seconds from the video's start.
NotIndexedError if it does not know the video."""


def read(name: str, folder: str | Path, split: str) -> NlqQueries:
    """The queries of a data set that is laid out as published.

    Of Ego4D those without text or times are among them: the official script counts them.

    Raises OptionError for an unknown name or split, DataError for missing or malformed files.
    """
    data_set = data.source(name)
    if data_set in (EGO4D_V1, EGO4D_V2):
        return read_annotations(data_set.paths(folder, split)[0])
    found = data_set.read(folder, split)
    queries = [_of_sample(sample) for sample in found.samples]
    return NlqQueries(queries, found.skipped, found.corrected)


def _of_sample(sample: data.Sample) -> NlqQuery:
    """A query whose clip is the whole video."""
    truth = tuple((span.start_s, span.end_s) for span in sample.spans)
    key = Key(sample.video, sample.annotation, sample.index)
    return NlqQuery(key, sample.query, None, truth)


class IndexedLocaliser:
    """Asks `seal find` of indexed videos, whose names are those of their files without the suffix.

    `settings` are those of `seal find`; with `find.head` a trained head answers. With `kinds` only
    tokens of these are looked at.
    """

    def __init__(
        self, store: Store, settings: Iterable[str] = (), kinds: Sequence[str] | None = None
    ) -> None:
        self._store, self._videos = store, Videos(store, "find", settings, kinds)
        self._opened: tuple[str, Scope] | None = None

    def options(self, queries: Iterable[NlqQuery]) -> dict[str, Options]:
        """By profile, the options with which the videos of these queries are asked."""
        return self._videos.options(dict.fromkeys(query.key.clip_uid for query in queries))

    def __call__(self, video: str, query: str) -> list[Moment]:
        """Raises NotIndexedError."""
        # Queries come video by video, so that the last one is all that is kept.
        if self._opened is None or self._opened[0] != video:
            self._opened = video, self._open(video)
        indexed = self._opened[1]
        start_s = indexed.record.start_s
        return [
            Moment(Span(moment.span.start_s - start_s, moment.span.end_s - start_s), moment.score)
            for moment in indexed.find(query)
        ]

    def _open(self, video: str) -> Scope:
        indexed = self._videos.find(video)
        if indexed is None:
            raise NotIndexedError(f"{self._store.path} has no video of the name {video}")
        return indexed


def localise(
    queries: Iterable[NlqQuery],
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


def localise_in_features(
    queries: Sequence[NlqQuery],
    dataset: str,
    folder: str,
    split: str,
    features: str,
    words: str | None,
    options: FindOptions,
    on_query: Callable[[], None] = lambda: None,
) -> list[Prediction]:
    """What the head of `options` answers to every query that has text, about the videos of which
    there are published features ("FAMILY:PATH"): see `seal.ground.published`.

    Raises DataError if there are features of no video, or of another dimension than the head's.
    """
    device = resolve_device(options.device)
    from seal.ground.checkpoint import opened
    from seal.ground.published import find_in_features
    from seal.ground.published import opened as opened_features

    family, rows, asked = opened_features(dataset, features, words)
    network = opened(str(options.head), f"features:{family}", device)
    if network.sizes.words != asked.name:
        raise OptionError(
            f"{options.head} was trained with words of {network.sizes.words}, these are of"
            f" {asked.name}: give the same --words"
        )
    videos = {sample.video: sample for sample in data.read(dataset, folder, split).samples}
    by_id = {}
    for query in sorted(queries, key=lambda query: query.key.clip_uid):
        if query.text and query.key.clip_uid in videos:
            _, annotation, index = query.key
            video = videos[query.key.clip_uid]
            sample = replace(video, query=query.text, spans=(), annotation=annotation, index=index)
            by_id[sample] = query.key
    decode = DecodeOptions(top=options.top, candidates=max(options.top, DecodeOptions().candidates))
    predictions = []
    for sample, moments in find_in_features(
        network, by_id, rows, asked, decode, options.head_budget
    ):
        on_query()
        times_s = [(moment.span.start_s, moment.span.end_s) for moment in moments]
        predictions.append(Prediction(by_id[sample], np.array(times_s).reshape(-1, 2)))
    if not predictions:
        raise DataError(f"{rows.path} has features of none of the {len(videos)} videos")
    return predictions


class Outcome(NamedTuple):
    """A query, what was predicted for it, and how good that is."""

    query: NlqQuery
    prediction: Prediction | None
    score: Score


def outcomes(
    queries: Iterable[NlqQuery], predictions: Iterable[Prediction], rules: Rules
) -> list[Outcome]:
    """One for each query that has text and times. Of several predictions the first counts."""
    first: dict[Key, tuple[Prediction, Score]] = {}
    for prediction, scored in scores(queries, predictions, rules):
        first.setdefault(prediction.key, (prediction, scored))
    by_key = {query.key: query for query in queries if query.obstacle is None}
    nothing = None, missed(rules)
    return [Outcome(query, *first.get(key, nothing)) for key, query in by_key.items()]


def scores(
    queries: Iterable[NlqQuery], predictions: Iterable[Prediction], rules: Rules
) -> Iterator[tuple[Prediction, Score]]:
    """How good each prediction is; those without moments are left out.

    Raises DataError for a query that the annotations do not have, or have no times of.
    """
    truths = {query.key: query.truth for query in queries}
    for prediction in predictions:
        if prediction.key not in truths:
            raise DataError(f"the annotations have no {prediction.key}: are they of another split?")
        truth = truths[prediction.key]
        if not truth:
            why = "the test split is scored by the benchmark's server"
            raise DataError(f"the annotations do not say when {prediction.key} is answered: {why}")
        if len(prediction.times_s):
            yield prediction, score(prediction.times_s, truth, rules)


def official(
    queries: Sequence[NlqQuery], predictions: Iterable[Prediction], rules: Rules
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
    queries: Sequence[NlqQuery], methods: Mapping[str, Sequence[Prediction]], rules: Rules
) -> dict[str, dict[str, Any]]:
    """For each method: recall and mean IoU over all queries that have text and times, what is
    missing, and the official figures. From the second on also by how much the first is ahead.

    Intervals are over clips. An IoU of 0 / 0 is 0 here. Returns plain values: see
    `seal eval nlq --json`. Raises DataError as `scores` does, and if no query has text and times.
    """
    figures: dict[str, dict[str, Any]] = {}
    first: dict[str, Float64] = {}
    for name, predictions in methods.items():
        asked = outcomes(queries, predictions, rules)
        if not asked:
            raise DataError("no query of the annotations has text and times")
        clips = [outcome.query.key.clip_uid for outcome in asked]
        columns = _columns(asked, rules)
        figures[name] = {
            **_estimates(columns, clips),
            "missing": sum(outcome.prediction is None for outcome in asked),
            "repeated": len(predictions) - len({prediction.key for prediction in predictions}),
            "official": official(queries, predictions, rules),
        }
        if first:
            ahead = {metric: first[metric] - column for metric, column in columns.items()}
            figures[name]["first_ahead"] = _estimates(ahead, clips)
        first = first or columns
    return figures


def _columns(asked: Sequence[Outcome], rules: Rules) -> dict[str, Float64]:
    """[n] what each query is worth, by metric."""
    hits = np.array([outcome.score.hits.ravel() for outcome in asked], np.float64)
    iou = np.nan_to_num([outcome.score.iou for outcome in asked])
    return {**dict(zip(rules.names, hits.T, strict=True)), _MEAN_IOU: iou}


def _estimates(columns: Mapping[str, Float64], clips: Sequence[str]) -> dict[str, Any]:
    means = {metric: bootstrap(column, clips)._asdict() for metric, column in columns.items()}
    mean_iou = means.pop(_MEAN_IOU)
    return {"recall": means, "mean_iou": mean_iou}


def describe(asked: NlqQueries) -> dict[str, Any]:
    """How many queries there are, how many of them do not count and why, and of how many times
    something was cut off or left out."""
    queries = asked.queries
    obstacles = Counter(query.obstacle for query in queries if query.obstacle)
    instants = sum(any(start == end for start, end in query.truth) for query in queries)
    return {
        "clips": len({query.key.clip_uid for query in queries}),
        "queries": len(queries) + len(asked.skipped),
        "not_counted": {**reasons(asked.skipped), **obstacles},
        "corrected": reasons(asked.corrected),
        "zero_length": instants,
    }


def log(
    queries: Sequence[NlqQuery], methods: Mapping[str, Sequence[Prediction]], rules: Rules
) -> Iterator[dict[str, Any]]:
    """A JSON-able line for each method and query: what was asked, predicted, and worth."""
    for name, predictions in methods.items():
        for query, prediction, scored in outcomes(queries, predictions, rules):
            times_s = [] if prediction is None else prediction.times_s[: max(rules.top)].tolist()
            yield {
                "method": name,
                **query.key._asdict(),
                "query": query.text,
                "template": query.template,
                "truth": query.truth,
                "predicted_times": times_s,
                "iou": None if math.isnan(scored.iou) else scored.iou,
                "hits": dict(zip(rules.names, scored.hits.ravel().tolist(), strict=True)),
            }
