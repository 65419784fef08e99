"""The localisation head on composites: what it learns from, and what it reaches on unseen clips.

Of the described clips every third one is held out. Films are cut in two: the first half of each is
for training, the second for testing. Clips without descriptions and photos with captions, where
there are some, are for training only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import relevance
from seal.config import (
    DecodeOptions,
    FindOptions,
    HeadOptions,
    NetworkOptions,
    Options,
    SelectOptions,
    VideoOptions,
)
from seal.datacheck import VIDEO_SUFFIXES
from seal.encode import Encoder
from seal.errors import DataError, OptionError
from seal.evaluate.haystack import MANIFESTS, Needle, described_clips
from seal.ground import Instants, find_moments
from seal.ground.composites import DENSE, Footage, Sheet, sheets
from seal.ground.strips import strips
from seal.ground.words import words_of
from seal.ingest import default_jobs, index
from seal.scope import Scope
from seal.store import Store
from seal.types import Moment, Span, Tokens
from seal.video import open_video

FILM_S = 60.0
"""A video that nobody describes is a film if it is at least this long, and else a clip."""
FOLDS = 3
PHOTOS = "encoder"
PHOTO_COUNT = 400
SHEETS = 12
"""Composites that are asked about: each of all held-out halves and all held-out clips."""


@dataclass(frozen=True)
class Material:
    """Footage to learn from and footage to be tested on, which share no clip and no scene."""

    films: tuple[Footage, ...]
    clips: tuple[Footage, ...]
    stills: tuple[Footage, ...]
    test_films: tuple[Footage, ...]
    test_clips: tuple[Footage, ...]
    encoder: Encoder
    checksums: dict[str, str]
    """Of every file, by its path."""


def gather(
    data: str | Path,
    store: Store,
    *,
    fold: int = 0,
    films: Iterable[str] = (),
    others: Iterable[str] = (),
    photos: int = PHOTO_COUNT,
    jobs: int | None = None,
    head: NetworkOptions | None = None,
    on_video: Callable[[str], None] = lambda path: None,
) -> Material:
    """The footage in the folder `data`, indexed densely into `store` unless it is there.

    Clips are those that the files `MANIFESTS` describe; every third one, from number `fold` on, is
    held out. Films and clips without descriptions (`others`) are given as patterns below `data`; by
    default they are all other videos, by their length. What the `head` needs, such as crops, comes
    along. Raises DataError, which says what is needed, if there are no films or fewer than two
    described clips.
    """
    from seal.ground.stills import clips_of

    root, options, head = Path(data), Options.load(settings=DENSE), head or HeadOptions()
    jobs = jobs or default_jobs(options)
    checksums: dict[str, str] = {}

    def open_(path: Path) -> Scope:
        on_video(str(path))
        record = index(path, store, options, jobs=jobs)
        checksums[str(path)] = record.content_id
        return Scope.of(store, record.id, "find")

    needles = described_clips(root)
    films, others = list(films), list(others)
    rest = _undescribed(root, needles) if not films or not others else []
    paths = _matching(root, films) or [path for path, is_film in rest if is_film and not films]
    if not paths or len(needles) < 2:
        wanted = ", ".join(films) or f"a video of {FILM_S:.0f} s or more that is not described"
        raise DataError(
            f"{root} has {len(needles)} described clips and {len(paths)} films; needed are at least"
            f" two clips, described in one of {', '.join(MANIFESTS)} as"
            ' {"needles": [{"id": "dog", "file": "dog.mp4", "queries": ["a dog on grass"]}]},'
            f" and a film: {wanted}"
        )
    shorter = [path for path, is_film in rest if not is_film and not others]
    clips = [path for path in _matching(root, others) or shorter if path not in paths]
    hay = [open_(path) for path in paths]
    encoder = hay[0].content.encoder
    footage = partial(_footage, encoder=encoder, head=head)
    described = [footage(open_(each.path), each.id, texts=each.texts) for each in needles]
    plain = [footage(open_(path), path.stem) for path in clips]
    pictured = photos and (root / PHOTOS).is_dir()
    stills = clips_of(root / PHOTOS, photos, encoder, head) if pictured else []
    whole = [footage(each, each.record.id) for each in hay]
    return Material(
        films=tuple(_half(film, 0) for film in whole),
        clips=(*(each for i, each in enumerate(described) if i % FOLDS != fold), *plain),
        stills=tuple(stills),
        test_films=tuple(_half(film, 1) for film in whole),
        test_clips=tuple(described[fold::FOLDS]),
        encoder=encoder,
        checksums=checksums,
    )


def _undescribed(root: Path, needles: Iterable[Needle]) -> list[tuple[Path, bool]]:
    """The videos below `root` that nobody describes, and whether each is long enough for a film."""
    described = {needle.path.resolve() for needle in needles}
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in VIDEO_SUFFIXES or path.resolve() in described:
            continue
        with open_video(path, VideoOptions(), threads=1) as video:
            found.append((path, (video.info.duration_s or 0.0) >= FILM_S))
    return found


def _matching(root: Path, patterns: Iterable[str]) -> list[Path]:
    try:
        return [path for pattern in patterns for path in sorted(root.glob(pattern))]
    except (NotImplementedError, ValueError) as error:
        raise OptionError(f"films are given by patterns below {root}: {error}") from error


def _footage(
    video: Scope, name: str, encoder: Encoder, head: NetworkOptions, texts: Sequence[str] = ()
) -> Footage:
    start_s = video.record.start_s
    queries = encoder.encode_texts(texts) if texts else np.empty((0, encoder.dimension), np.float32)
    span = Span(start_s, start_s + video.record.duration_s)
    actions = video.tokens.take(video.tokens.where(lambda kind: kind.has_track))
    crops = strips(video.pictures, actions, head.crops, head.crop_px) if head.crops else None
    words = tuple(words_of(encoder, text) for text in texts) if head.by_words else ()
    return Footage(name, video.tokens, span, queries, crops, words)


def _half(film: Footage, which: int) -> Footage:
    start_s, middle_s, end_s = np.linspace(film.span.start_s, film.span.end_s, 3)
    half = Span(start_s, middle_s) if which == 0 else Span(middle_s, end_s)
    return replace(film, span=half)


Finder = Callable[[Sheet, Footage], list[list[Moment]]]
"""A function that finds moments. For a composite and a clip it gives, for each of the clip's texts,
the moments, best first."""


def untrained(encoder: Encoder, options: FindOptions) -> Finder:
    """`seal find` as it is without a head."""

    def find(sheet: Sheet, asked: Footage) -> list[list[Moment]]:
        scores = [relevance(sheet.tokens, query, encoder.calibration) for query in asked.queries]
        tokens = sheet.tokens
        instants = Instants.of(tokens.start_s, tokens.end_s, options.smoothing_s)
        return [find_moments(instants.curve(score), options) for score in scores]

    return find


def trained(
    encoder: Encoder,
    head: Any,
    options: DecodeOptions,
    budget: int,
    select: SelectOptions | None = None,
) -> Finder:
    """A head, on the positions that it was trained for, within a budget.

    `select` says how the positions are chosen: see `seal.ground.localise.Localiser.of`.
    """
    from seal.ground.localise import localise

    def find(sheet: Sheet, asked: Footage) -> list[list[Moment]]:
        shown: Tokens = sheet.frames if head.sizes.positions == "frames" else sheet.tokens
        scores = [relevance(shown, query, encoder.calibration) for query in asked.queries]
        queries = [asked.asked(i, head.sizes.by_words) for i in range(len(asked.queries))]
        return localise(head, shown, queries, scores, options, budget, sheet.look, select)

    return find


Ranked = list[list[float]]
"""Of each query for a clip the IoU of each of its moments, best first, with the true one."""


def measure(
    material: Material, finders: dict[str, Finder], count: int = SHEETS, mismatched: bool = False
) -> dict[str, list[Ranked]]:
    """How well moments overlap the true one, by finder, of each clip.

    With `mismatched` each clip is asked for by what describes the next one: what a head that heeds
    no query would reach.
    """
    clips = material.test_clips
    found: dict[str, list[Ranked]] = {name: [[] for _ in clips] for name in finders}
    for sheet in sheets(material.test_films, clips, count):
        for name, find in finders.items():
            for i, span in enumerate(sheet.spans):
                ranked = find(sheet, clips[(i + mismatched) % len(clips)])
                found[name][i] += [[each.span.iou(span) for each in best] for best in ranked]
    return found


def hits(found: Sequence[Ranked], least: float, top: int = 1) -> list[float]:
    """For each clip the share of its queries that have one of the first `top` moments at an IoU of
    at least `least`."""
    return [
        float(np.mean([max(query[:top], default=0.0) >= least for query in of_clip]))
        for of_clip in found
    ]


def mean_iou(found: Sequence[Ranked]) -> list[float]:
    """For each clip the mean IoU of the best moments; without any it is 0."""
    return [float(np.mean([[*query, 0.0][0] for query in of_clip])) for of_clip in found]
