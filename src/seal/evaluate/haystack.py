"""Needles in a haystack: real clips spliced into a real film, found again by their descriptions.

Each needle is asked for with each of its descriptions: in a composite of its own, the hay with the
clip in it, or in one with all of them. It is found at a budget if one of its tokens is among those
selected. Hay is one of

film     the film
SECONDS  its beginning or, where it is shorter, the film again and again, its tokens disturbed by
         their differences each time, so that no copy equals another
clips    all the needles one after the other, each of them hay to the others

The splice is made of tokens, not of pixels. Film and clips are indexed once. A composite is the
film's tokens before a cut, the clip's, and the film's after it, with times moved by exactly the
clip's length. The place of the cut is uniformly random, and then the nearest instant that no token
of the film spans (most are cuts between its shots). So the needle's span is exact, and tokens are
what indexing the spliced file would give but for two things. There, frames are sampled on one grid
over both, so that scenes and objects of all that follows the cut come up to one sampling interval
earlier or later. Also, a tracker that comes from another shot needs a moment to settle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import Candidates, relevance
from seal.config import FindOptions, Options
from seal.encode import Encoder
from seal.errors import DataError, OptionError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.cases import Case, Comparison
from seal.evaluate.methods import Method
from seal.files import read_json
from seal.ground import find_moments, relevance_curve
from seal.ingest import default_jobs, index
from seal.scope import Scope
from seal.store import Store
from seal.types import Int64, Mask, Moment, Span, Tokens

FILM = "videos/big_buck_bunny_360p.mp4"
NEEDLES = "videos/needles.json"
MANIFESTS = ("needles.json", NEEDLES, "clips/needles.json")
"""Where descriptions of clips are looked for, in a folder and in each folder in it."""
NEEDLE_S = 10.0
"""Of longer clips only the beginning is spliced in: they would be hay themselves."""
BUDGETS = (16,)
HAYS = ("film",)
CLIPS = "clips"
DISTURBANCE = 0.5
"""Of the difference of two tokens that disturbs a third: their cosine is 0.84 in the mean."""
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


def described_clips(root: Path) -> list[Needle]:
    """The clips that the files `MANIFESTS` of a folder, and of each folder in it, describe.

    Paths in a file are relative to the folder that is looked into. Raises DataError, naming a file
    that is not as it should be.
    """
    places = [root, *sorted(path for path in root.glob("*") if path.is_dir())]
    found: dict[Path, Needle] = {}
    for place in places:
        for manifest in MANIFESTS:
            # videos/needles.json is that of `root`, and not needles.json of the folder `videos`.
            if (place / manifest).is_file() and (place == root or "/" in manifest):
                found |= {needle.path: needle for needle in read_needles(place, manifest)}
    return list(found.values())


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
    needles: Sequence[Needle] | None = None,
) -> tuple[Scope, list[Needle], list[Clip]]:
    """The film, the needles and their clips, indexed into `store` unless they are there.

    Needles are all described clips in the folder `data`, unless they are given. Raises DataError if
    a file is missing or nothing is described.
    """
    needles = described_clips(Path(data)) if needles is None else list(needles)
    if not needles:
        raise DataError(f"{data} has no described clips, such as those of {NEEDLES}")
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


def disturbed(tokens: Tokens, rng: np.random.Generator) -> Tokens:
    """The same tokens with embeddings that differ a little, as those of another film would."""
    vectors = tokens.embeddings
    one, other = rng.integers(0, len(tokens), (2, len(tokens)))
    vectors = vectors + np.float32(DISTURBANCE) * (vectors[one] - vectors[other])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return replace(tokens, embeddings=vectors, facets=vectors[:, None])


def lasting(film: Clip, length_s: float) -> Clip:
    """A film that is cut off after `length_s`, or shown again and again until then.

    It starts again at whole seconds: the ticks of all copies stay those of the film.
    """
    tokens, span = film
    rng, every_s = np.random.default_rng(_SEED), math.ceil(span.duration_s)
    again = range(every_s, math.ceil(length_s), every_s)
    copies = [later(disturbed(tokens, rng), Fraction(shift_s)) for shift_s in again]
    whole = Tokens.concatenate([tokens, *copies])
    end_s = span.start_s + length_s
    return whole.take(whole.end_s <= end_s), Span(span.start_s, end_s)


@dataclass(frozen=True, eq=False)
class NeedleCase(Case):
    """A clip that is asked for by one of its descriptions."""

    tokens: Tokens
    """[n] what it is among."""
    needle: Mask
    """[n] which of them are its own."""
    span: Span
    """When it is shown."""

    def scores(self, rows: Int64) -> dict[str, float]:
        """Recall: whether any token of the needle is among those chosen."""
        return {"recall": float(self.needle[rows].any())}


def cases(
    film: Clip,
    needles: Sequence[Needle],
    clips: Sequence[Clip],
    encoder: Encoder,
    hay: str,
    *,
    together: bool = False,
    budgets: Sequence[int] = BUDGETS,
) -> Iterator[list[NeedleCase]]:
    """Every needle in one kind of hay, asked for by each of its descriptions.

    Raises OptionError for an
    unknown kind of hay.
    """
    stacks = _stacks(film, clips, hay, together)
    sizes = {str(budget): budget for budget in budgets}
    for needle, (stack, i) in zip(needles, stacks, strict=True):
        yield [
            NeedleCase(
                question=text,
                unit=needle.id,
                group=needle.id,
                candidates=Candidates.of(
                    stack.tokens, relevance(stack.tokens, query, encoder.calibration), text
                ),
                sizes=sizes,
                tokens=stack.tokens,
                needle=stack.owner == i,
                span=stack.spans[i],
            )
            for text, query in zip(
                needle.texts, encoder.encode_texts(list(needle.texts)), strict=True
            )
        ]


def _stacks(
    film: Clip, clips: Sequence[Clip], hay: str, together: bool
) -> Iterator[tuple[Haystack, int]]:
    """For every clip the haystack that it is in, and which of its clips it is."""
    if hay == CLIPS:
        row = _in_a_row(clips)
        yield from ((row, i) for i in range(len(clips)))
        return
    tokens, span = film if hay == HAYS[0] else lasting(film, _seconds(hay))
    rng = np.random.default_rng(_SEED)
    places_s = span.start_s + rng.uniform(0, span.duration_s, len(clips))
    if together:
        shared = splice(tokens, clips, places_s.tolist())
        yield from ((shared, i) for i in range(len(clips)))
        return
    for clip, place_s in zip(clips, places_s.tolist(), strict=True):
        yield splice(tokens, [clip], [place_s]), 0


def _in_a_row(clips: Sequence[Clip]) -> Haystack:
    """One clip after the other, without a film."""
    begin, parts, spans = Fraction(0), [], []
    for tokens, span in clips:
        end = begin + _exact(span.duration_s)
        parts.append(later(tokens, begin - _exact(span.start_s)))
        spans.append(Span(float(begin), float(end)))
        begin = end
    owner = np.repeat(np.arange(len(clips)), [len(tokens) for tokens, _ in clips])
    return Haystack(Tokens.concatenate(parts), owner, spans)


def _seconds(hay: str) -> float:
    try:
        seconds = float(hay)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < np.inf:
        raise OptionError(f"hay is {HAYS[0]}, {CLIPS} or a number of seconds, got {hay!r}")
    return seconds


def evaluate(
    data: str | Path,
    store: Store,
    methods: dict[str, Method],
    options: Options,
    *,
    film: str | Path | None = None,
    hays: Sequence[str] = HAYS,
    together: bool = False,
    budgets: Sequence[int] = BUDGETS,
    jobs: int | None = None,
    on_video: Callable[[str], None] = lambda path: None,
) -> dict[str, Any]:
    """Recall of needles by every method and budget, and of their moments by `seal find`.

    Film and clips are indexed into `store` with `options`, unless they are there. A needle is alone
    in each kind of hay, or `together` with all the others, which are hay to it. Intervals are over
    needles; the descriptions of one are averaged first. Where the default objective is among the
    methods, so is its lead over every other one, needle by needle.

    Returns plain values: see `seal eval haystack --json`. Raises OptionError for hay that is none.
    """
    film = Path(data) / FILM if film is None else Path(film)
    for hay in hays:
        if hay not in (*HAYS, CLIPS):
            _seconds(hay)
    scope, needles, clips = material(data, store, options, film, jobs, on_video)
    start_s = scope.record.start_s
    whole = scope.tokens, Span(start_s, start_s + scope.record.duration_s)
    every, comparisons = Comparison(), {hay: Comparison() for hay in hays}
    found = []
    for hay in hays:
        for asked in cases(
            whole, needles, clips, scope.content.encoder, hay, together=together, budgets=budgets
        ):
            found.append(np.mean([_moment_recall(case, options.find) for case in asked], 0))
            comparisons[hay].add(asked[0].unit, every.ask(methods, *asked))
    default = options.attention.objective
    return {
        "film": str(film),
        "together": together,
        "needles": [needle.id for needle in needles],
        "tokens": {"film": len(scope.tokens), "needles": [len(clip) for clip, _ in clips]},
        "budgets": list(budgets),
        "default": default,
        "methods": _by_method(every, default, budgets),
        "hays": {hay: _by_method(each, default, budgets) for hay, each in comparisons.items()},
        "find": {
            name: bootstrap(column, [needle.id for _ in hays for needle in needles])._asdict()
            for name, column in zip(_MOMENTS, np.transpose(found), strict=True)
        },
    }


def _by_method(
    comparison: Comparison, default: str, budgets: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """The figures of each method, also by budget: `recall`, and by how much the default is ahead of
    it."""
    figures = comparison.figures(default)

    def by_budget(row: dict[str, Any]) -> dict[str, Any]:
        return {str(budget): row[f"recall@{budget}"] for budget in budgets}

    found = {name: row | {"recall": by_budget(row)} for name, row in figures["methods"].items()}
    for name, row in figures["ahead"].items():
        found[name]["default_ahead"] = by_budget(row)
    return found


_MOMENTS = {
    f"R@{top}, {name}": (top, least)
    for name, least in ((f"IoU >= {IOU}", IOU), ("any overlap", 1e-9))
    for top in (1, 5)
}
"""How many of the best moments count, and the IoU that one of them has to have."""


def _moment_recall(case: NeedleCase, options: FindOptions) -> list[bool]:
    """Whether `seal find` has the needle among its moments, in the order of `_MOMENTS`."""
    curve = relevance_curve(case.tokens, case.candidates.relevance, options)
    return _recalled(find_moments(curve, options), case.span)


def _recalled(moments: list[Moment], span: Span) -> list[bool]:
    """Whether the span is among the moments."""
    iou = np.array([moment.span.iou(span) for moment in moments])
    return [bool((iou[:top] >= least).any()) for top, least in _MOMENTS.values()]
