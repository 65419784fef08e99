"""Plain nouns: does a video show "a dog"? Asked of many clips, labelled by eye.

`nouns.json` has queries, and clips with a label for each of them: 1 there, 0 not, -1 left out.
Every clip is indexed and asked every query, by itself and spliced into the beginning of a film
(`seal.evaluate.haystack.splice`). What the film itself shows is the same for all clips.

Average precision is that of a noun over the clips, ranked by the probability that the verdict rests
on, and its mean is over the nouns that some clip shows. AUC is a share of pairs, each of a clip
that shows a noun and one that does not. In these pairs the former is more probable. Its mean is
over the nouns that have both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import relevance
from seal.config import Options, VideoOptions
from seal.detect import Detector
from seal.encode.names import known, matches
from seal.encoders import Encoders
from seal.errors import DataError
from seal.evaluate.haystack import splice
from seal.files import read_json
from seal.ingest import default_jobs, index
from seal.scope import Scope
from seal.store import Store
from seal.types import Float64, Int64, Span, Tokens
from seal.video import open_video

NOUNS = "nouns.json"
LENGTHS_S = (240.0, 660.0)
"""So much of the film stands around a clip."""
_RESAMPLES = 1000
_SEED = 0
_LOOKS_HZ = 2.0
"""So often a detector by itself looks at a clip."""
_KNOWN = 0.9
"""A noun is known to a detector if it asks for one of its names so clearly."""


@dataclass(frozen=True, eq=False)
class Nouns:
    """The queries, the clips, and which clip shows what."""

    queries: list[str]
    clips: list[Path]
    labels: Int64
    """[clips, queries] 1, 0 or -1."""


def read_nouns(data: str | Path, wanted: Sequence[str] | None = None) -> Nouns:
    """What `nouns.json` in the folder `data` says of all its clips, or of the `wanted` files.

    Raises DataError, naming the file, if one is missing or the list is not what it should be.
    """
    path = Path(data) / NOUNS
    content = read_json(path)
    try:
        queries = [str(query) for query in content["queries"]]
        entries = [
            entry
            for entry in content["clips"].values()
            if wanted is None or entry["file"] in wanted
        ]
        labels = np.array([entry["labels"] for entry in entries], np.int64)
        if not entries or labels.shape != (len(entries), len(queries)) or abs(labels).max() > 1:
            raise ValueError("labels and queries do not fit together")
        clips = [Path(data) / entry["file"] for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no list of labelled clips: {error!r}") from error
    for clip in clips:
        if not clip.is_file():
            raise DataError(f"{clip} is not there, or no file")
    return Nouns(queries, clips, labels)


def evaluate(
    data: str | Path,
    store: Store,
    options: Options,
    *,
    film: str | Path | None = None,
    wanted: Sequence[str] | None = None,
    detector: Detector | None = None,
    jobs: int | None = None,
    on_video: Callable[[str], None] = lambda path: None,
) -> dict[str, Any]:
    """Figures of every clip by itself and, with a `film`, in films of `LENGTHS_S`.

    Clips and film are indexed into `store` with `options`, unless they are there. A `detector` has
    a row by itself, for the nouns that it has a name for. Intervals are over clips.

    Raises DataError if a file is missing, and if the encoder is not calibrated.
    """
    nouns = read_nouns(data, wanted)
    jobs = jobs or default_jobs(options)
    for path in [*nouns.clips, *([Path(film)] if film else [])]:
        on_video(str(path))
        index(path, store, options, jobs=jobs)
    encoders = Encoders()
    scopes = [Scope.of(store, str(path), "find", encoders=encoders) for path in nouns.clips]
    clips = [(one.tokens, _span(one)) for one in scopes]
    shown = {"alone": [tokens for tokens, _ in clips]}
    if film:
        hay = Scope.of(store, str(film), "find", encoders=encoders)
        rng = np.random.default_rng(_SEED)
        for length_s in LENGTHS_S:
            around = hay.tokens.take(hay.tokens.start_s < hay.record.start_s + length_s)
            places = rng.uniform(0, length_s, len(clips)) + hay.record.start_s
            shown[f"in {length_s:g} s"] = [
                splice(around, [clip], [float(place)]).tokens
                for clip, place in zip(clips, places, strict=True)
            ]
    asking = scopes[0]
    chances = {
        name: _probabilities(asking, tokens, nouns.queries) for name, tokens in shown.items()
    }
    found = {
        name: figures(nouns.queries, nouns.labels, each, asking.options)
        for name, each in chances.items()
    }
    result: dict[str, Any] = {
        "clips": len(clips),
        "nouns": nouns.queries,
        "methods": {"seal": found.pop("alone")},
        "spliced": found,
    }
    if detector is not None:
        rows = [i for i, q in enumerate(nouns.queries) if known(q, detector.names) >= _KNOWN]
        labels = nouns.labels[:, rows]
        seen = np.stack([_seen(path, detector, nouns.queries)[rows] for path in nouns.clips])
        names = result["known"] = [nouns.queries[i] for i in rows]
        result["methods"]["detector"] = figures(names, labels, seen, None)
        mine = chances["alone"][:, rows]
        result["methods"]["seal, known nouns"] = figures(names, labels, mine, asking.options)
    return result


def _span(scope: Scope) -> Span:
    start_s = scope.record.start_s
    return Span(start_s, start_s + scope.record.duration_s)


def _probabilities(scope: Scope, clips: Sequence[Tokens], queries: Sequence[str]) -> Float64:
    """[clips, queries] that the clip shows the noun, by the encoder of `scope`."""
    encoder = scope.content.encoder
    calibration = encoder.calibration
    if calibration is None:
        raise DataError("the encoder is not calibrated: it has no verdict to measure")
    embedded = encoder.encode_texts(list(queries))
    detects = scope.options.detect.backend != "none"
    prior = [
        calibration.prior(text, known(query) if detects else 0.0)
        for query, text in zip(queries, embedded, strict=True)
    ]
    return np.array(
        [
            [
                calibration.probability(relevance(tokens, text, calibration, query), before)
                for query, text, before in zip(queries, embedded, prior, strict=True)
            ]
            for tokens in clips
        ]
    )


def _seen(path: Path, detector: Detector, queries: Sequence[str]) -> Float64:
    """[queries] the surest find of a clip whose name the query asks for."""
    asked = np.array([matches(query, detector.names) for query in queries])
    best = np.zeros(len(queries))
    with open_video(path, VideoOptions(rate_hz=_LOOKS_HZ)) as video:
        for frame in video.frames():
            found = detector.detect(frame.image)
            if len(found):
                best = np.maximum(best, (asked[:, found.names] * found.scores).max(1))
    return best


def figures(
    names: Sequence[str], labels: Int64, scores: Float64, options: Options | None
) -> dict[str, Any]:
    """What `scores` [clips, nouns] say of `labels`; verdicts only with `options`."""
    there = [i for i in range(labels.shape[1]) if (labels[:, i] == 1).any()]

    def mean_precision(rows: Int64) -> float:
        some = [i for i in there if (labels[rows, i] == 1).any()]
        return _mean([average_precision(labels[rows, i], scores[rows, i]) for i in some])

    def mean_auc(rows: Int64) -> float:
        return _mean([auc(labels[rows, i], scores[rows, i]) for i in there])

    measures: dict[str, Callable[[Int64], float]] = {
        "mean_average_precision": mean_precision,
        "auc": mean_auc,
    }
    if options is not None:
        likely = scores >= options.find.min_probability
        unlikely = scores < options.find.unsure_probability

        def share(of: Any, right: Any) -> Callable[[Int64], float]:
            def measure(rows: Int64) -> float:
                chosen = of[rows] & (labels[rows] >= 0)
                return _mean(right[rows][chosen])

            return measure

        measures |= {
            "likely_precision": share(likely, labels == 1),
            "likely_recall": share(labels == 1, likely),
            "unlikely_right": share(unlikely, labels == 0),
            "unlikely_share": share(labels == 0, unlikely),
        }
    estimates = {name: _with_interval(measure, len(labels)) for name, measure in measures.items()}
    # Nothing was likely, or nothing is there: such a figure is left out.
    found: dict[str, Any] = {name: one for name, one in estimates.items() if one is not None}
    found["average_precision"] = {
        names[i]: average_precision(labels[:, i], scores[:, i]) for i in there
    }
    return found


def _mean(values: Any) -> float:
    """Without NaN; NaN where nothing is left."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[~np.isnan(numbers)]
    return float(numbers.mean()) if len(numbers) else float("nan")


def _with_interval(measure: Callable[[Int64], float], count: int) -> dict[str, float] | None:
    """A figure of all clips, with the range of 95 % of resamples of the clips; None for NaN."""
    mean = measure(np.arange(count))
    if np.isnan(mean):
        return None
    rng = np.random.default_rng(_SEED)
    drawn = [measure(rng.integers(0, count, count)) for _ in range(_RESAMPLES)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return {"mean": mean, "low": float(low), "high": float(high)}


def average_precision(labels: Int64, scores: Float64) -> float:
    """The mean, over the clips that show it, of the precision down to their rank; -1 is left out.

    Of equals, those that do not show it come first.
    """
    kept = labels >= 0
    labels, scores = labels[kept], scores[kept]
    hits = labels[np.lexsort((labels, -scores))] == 1
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()) if hits.any() else 0.0


def auc(labels: Int64, scores: Float64) -> float:
    """The share of pairs in order, equals by half; NaN without a pair."""
    shown, other = scores[labels == 1], scores[labels == 0]
    if not len(shown) or not len(other):
        return float("nan")
    apart = np.sign(shown[:, None] - other)
    return float((apart + 1).mean() / 2)
