"""Needles in a haystack: real clips spliced into a real film, found again by their descriptions.

Each needle is asked for with each of its descriptions: in a composite of its own, the film with the
clip in it, or in one with all of them. It is found at a budget if one of its tokens is among those
selected.

The splice is made of tokens, not of pixels: film and clips are indexed once, and a composite is the
film's tokens before a cut, the clip's, and the film's after it, with times moved by exactly the
clip's length. The place of the cut is uniformly random, and then the nearest instant that no token
of the film spans (most are cuts between its shots). So the needle's span is exact, and tokens are
what indexing the spliced file would give but for two things: there, frames are sampled on one grid
over both, so that scenes and objects of all that follows the cut come up to one sampling interval
earlier or later; and a tracker that comes from another shot needs a moment to settle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import Candidates, relevance
from seal.config import Options
from seal.errors import DataError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.methods import Method
from seal.files import read_json
from seal.ground import find_moments, relevance_curve
from seal.ingest import default_jobs, index
from seal.scope import Scope
from seal.store import Store
from seal.types import Float64, Int64, Moment, Span, Tokens

FILM = "videos/big_buck_bunny_360p.mp4"
NEEDLES = "videos/needles.json"
NEEDLE_S = 10.0
"""Of longer clips only the beginning is spliced in: they would be hay themselves."""
BUDGETS = (8, 16, 32, 64)
IOU = 0.3
_SEED = 0
# Times are kept as fractions of this denominator at least: container times have no more digits.
_TICKS_PER_S = 10**6


Clip = tuple[Tokens, Span]
"""The tokens of a clip, and all of its time."""


@dataclass(frozen=True)
class Needle:
    """A clip, and what describes it."""

    id: str
    path: Path
    texts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Haystack:
    """The tokens of a film with clips in it."""

    tokens: Tokens
    owner: Int64
    """[n] which clip a token is of; -1 for the film."""
    spans: list[Span]
    """When each clip is shown."""


def read_needles(data: str | Path, manifest: str = NEEDLES) -> list[Needle]:
    """The needles that a file in the folder `data` describes; its paths are relative to `data`.

    Raises DataError, naming the file, if one is missing or the list is not what it should be.
    """
    path = Path(data) / manifest
    try:
        needles = [_needle(Path(data), entry) for entry in read_json(path)["needles"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no list of needles: {error!r}") from error
    if not needles:
        raise DataError(f"{path} has no needles")
    for needle in needles:
        _exists(needle.path)
    return needles


def _needle(folder: Path, entry: dict[str, Any]) -> Needle:
    """Raises KeyError, TypeError or ValueError if the entry is not what it should be."""
    texts = entry["queries"]
    described = isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)
    if not described or not all(text.strip() for text in texts):
        raise ValueError(f"no descriptions in the queries of {entry['id']}")
    return Needle(str(entry["id"]), folder / entry["file"], tuple(texts))


def _exists(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is not there, or no file")
    return path


def material(
    data: str | Path,
    store: Store,
    options: Options,
    film: Path,
    jobs: int | None = None,
    on_video: Callable[[str], None] = lambda path: None,
) -> tuple[Scope, list[Needle], list[Clip]]:
    """The film, the needles and their clips, indexed into `store` unless they are there.

    Raises DataError if a file is missing.
    """
    needles = read_needles(data)
    _exists(film)
    jobs = jobs or default_jobs(options)
    short = replace(options, video=replace(options.video, max_duration_s=NEEDLE_S))
    for path, chosen in [(film, options), *((needle.path, short) for needle in needles)]:
        on_video(str(path))
        index(path, store, chosen, jobs=jobs)
    clips = []
    for needle in needles:
        video = Scope.of(store, str(needle.path), "show")
        start_s = video.record.start_s
        clips.append((video.tokens, Span(start_s, start_s + video.record.duration_s)))
    return Scope.of(store, str(film), "show"), needles, clips


def splice(film: Tokens, clips: Sequence[Clip], wanted_s: Sequence[float]) -> Haystack:
    """The film with each clip, of which the tokens and the whole span are given, put in near to its
    time `wanted_s` of the film; see the module's text.

    Moved times are exact: the tick of the composite's time base divides those of the videos.
    """
    starts = film.start_s
    order = np.argsort(starts, kind="stable")
    # The film can be cut at a token's start if all that has begun before has also ended.
    latest_end = np.maximum.accumulate(film.end_s[order])
    places = order[np.append(True, starts[order][1:] >= latest_end[:-1])]
    at = [places[np.argmin(np.abs(starts[places] - time_s))] for time_s in wanted_s]
    parts, owner, spans = [], [], [Span(0, 0)] * len(clips)
    inserted, begin_s = Fraction(0), -np.inf
    for i in sorted(range(len(clips)), key=lambda i: starts[at[i]]):
        clip, span = clips[i]
        end_s = starts[at[i]]
        before = film.take((starts >= begin_s) & (starts < end_s))
        cut = film.time(int(at[i]))[0] + inserted
        length = _exact(span.duration_s)
        parts += [later(before, inserted), later(clip, cut - _exact(span.start_s))]
        owner += [np.full(len(before), -1), np.full(len(clip), i)]
        spans[i] = Span(float(cut), float(cut + length))
        inserted, begin_s = inserted + length, end_s
    rest = film.take(starts >= begin_s)
    tokens = Tokens.concatenate([*parts, later(rest, inserted)])
    return Haystack(tokens, np.concatenate([*owner, np.full(len(rest), -1)]), spans)


def _exact(seconds: float) -> Fraction:
    return Fraction(round(seconds * _TICKS_PER_S), _TICKS_PER_S)


def later(tokens: Tokens, by: Fraction) -> Tokens:
    """The same tokens at times later by exactly `by` seconds."""
    numerator, denominator = tokens.time_base.T
    pts = tokens.pts * (numerator * by.denominator)[:, None]
    pts += (denominator * by.numerator)[:, None]
    base = np.stack([np.ones_like(denominator), denominator * by.denominator], 1)
    track_rows = tokens.track_rows.copy()
    track_rows[:, 0] += float(by)
    return replace(tokens, pts=pts, time_base=base, track_rows=track_rows)


def evaluate(
    data: str | Path,
    store: Store,
    methods: dict[str, Method],
    options: Options,
    *,
    film: str | Path | None = None,
    together: bool = False,
    budgets: Sequence[int] = BUDGETS,
    jobs: int | None = None,
    on_video: Callable[[str], None] = lambda path: None,
) -> dict[str, Any]:
    """Recall of needles by every method and budget, and of their moments by `seal find`.

    Film and clips are indexed into `store` with `options`, unless they are there. A needle is alone
    in the film, or `together` with all the others, which are hay to it. Intervals are over needles;
    the descriptions of one are averaged first. Where the default objective is among the methods, so
    is its lead over every other one, needle by needle.

    Returns plain values: see `seal eval haystack --json`.
    """
    film = Path(data) / FILM if film is None else Path(film)
    hay, needles, clips = material(data, store, options, film, jobs, on_video)
    encoder = hay.content.encoder
    rng = np.random.default_rng(_SEED)
    places_s = hay.record.start_s + rng.uniform(0, hay.record.duration_s, len(needles))
    if together:
        shared = splice(hay.tokens, clips, places_s.tolist())
        stacks = [(shared, i) for i in range(len(needles))]
    else:
        stacks = [
            (splice(hay.tokens, [clip], [place_s]), 0)
            for clip, place_s in zip(clips, places_s.tolist(), strict=True)
        ]
    hits = {name: np.empty((len(needles), len(budgets))) for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    found = np.empty((len(needles), len(_MOMENTS)))
    for row, (needle, (stack, i)) in enumerate(zip(needles, stacks, strict=True)):
        queries = encoder.encode_texts(list(needle.texts))
        scores = [relevance(stack.tokens, query, encoder.calibration) for query in queries]
        curves = [relevance_curve(stack.tokens, score, options.find) for score in scores]
        ranked = [find_moments(curve, options.find) for curve in curves]
        found[row] = np.mean([_moment_recall(moments, stack.spans[i]) for moments in ranked], 0)
        asked = [Candidates.of(stack.tokens, score) for score in scores]
        for name, method in methods.items():
            began = time.perf_counter()
            chosen_rows = [[method(candidates, size) for size in budgets] for candidates in asked]
            seconds[name] += time.perf_counter() - began
            of_needle = [[(stack.owner[rows] == i).any() for rows in each] for each in chosen_rows]
            hits[name][row] = np.mean(of_needle, 0)
    default = hits.get(options.attention.objective)
    figures: dict[str, dict[str, Any]] = {}
    for name, hit in hits.items():
        figures[name] = {"recall": _by_budget(budgets, hit), "seconds": seconds[name]}
        if default is not None:
            figures[name]["default_ahead"] = _by_budget(budgets, default - hit)
    return {
        "film": str(film),
        "together": together,
        "needles": [needle.id for needle in needles],
        "tokens": {"film": len(hay.tokens), "needles": [len(clip) for clip, _ in clips]},
        "budgets": list(budgets),
        "default": options.attention.objective,
        "methods": figures,
        "find": {
            name: bootstrap(column)._asdict()
            for name, column in zip(_MOMENTS, found.T, strict=True)
        },
    }


_MOMENTS = {
    f"R@{top}, {name}": (top, least)
    for name, least in ((f"IoU >= {IOU}", IOU), ("any overlap", 1e-9))
    for top in (1, 5)
}
"""How many of the best moments count, and the IoU that one of them has to have."""


def _moment_recall(moments: list[Moment], span: Span) -> list[bool]:
    """Whether the span is among the moments, in the order of `_MOMENTS`."""
    iou = np.array([moment.span.iou(span) for moment in moments])
    return [bool((iou[:top] >= least).any()) for top, least in _MOMENTS.values()]


def _by_budget(budgets: Sequence[int], scores: Float64) -> dict[str, dict[str, float]]:
    """Of scores [needles, budgets]."""
    columns = zip(budgets, scores.T, strict=True)
    return {str(budget): bootstrap(column)._asdict() for budget, column in columns}
