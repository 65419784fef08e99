"""The localisation head on composites: what it learns from, and what it reaches on unseen clips.

Described clips are those of `seal eval haystack`: every second one is held out. Films are cut in
two: the first half of each is for training, the second for testing. Clips without descriptions and
photos with captions, where there are some, are for training only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import relevance
from seal.config import DecodeOptions, FindOptions, HeadOptions, NetworkOptions, Options
from seal.encode import Encoder
from seal.errors import DataError, OptionError
from seal.evaluate.bootstrap import Estimate, bootstrap
from seal.evaluate.haystack import read_needles
from seal.ground import find_moments, relevance_curve
from seal.ground.composites import DENSE, Footage, Sheet, sheets
from seal.ground.strips import strips
from seal.ground.words import words_of
from seal.ingest import default_jobs, index
from seal.scope import Scope
from seal.store import Store
from seal.types import Moment, Span, Tokens

FILMS = ("videos/big_buck_bunny_360p.mp4", "videos/popeye_*.mkv")
UNDESCRIBED = ("videos/asl/*.mkv",)
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
    films: Iterable[str] = FILMS,
    photos: int = PHOTO_COUNT,
    jobs: int | None = None,
    head: NetworkOptions | None = None,
    on_video: Callable[[str], None] = lambda path: None,
) -> Material:
    """The footage in the folder `data`, indexed densely into `store` unless it is there.

    Of the described clips those at even places are held out, or with `fold` 1 the others. If `head`
    sees crops, they come along. Raises DataError if there are no films or fewer than two clips.
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

    needles, paths = read_needles(root), _matching(root, films)
    if not paths or len(needles) < 2:
        raise DataError(
            f"{root} needs a film ({', '.join(films)}) and at least two described clips"
        )
    hay = [open_(path) for path in paths]
    encoder = hay[0].content.encoder
    footage = partial(_footage, encoder=encoder, head=head)
    described = [footage(open_(each.path), each.id, texts=each.texts) for each in needles]
    others = [footage(open_(path), path.stem) for path in _matching(root, UNDESCRIBED)]
    pictured = photos and (root / PHOTOS).is_dir()
    stills = clips_of(root / PHOTOS, photos, encoder, head) if pictured else []
    whole = [footage(each, each.record.id) for each in hay]
    return Material(
        films=tuple(_half(film, 0) for film in whole),
        clips=(*described[1 - fold :: 2], *others),
        stills=tuple(stills),
        test_films=tuple(_half(film, 1) for film in whole),
        test_clips=tuple(described[fold::2]),
        encoder=encoder,
        checksums=checksums,
    )


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
"""What finds moments: for a composite and a clip, those of each of the clip's texts, best first."""


def untrained(encoder: Encoder, options: FindOptions) -> Finder:
    """`seal find` as it is without a head."""

    def find(sheet: Sheet, asked: Footage) -> list[list[Moment]]:
        scores = [relevance(sheet.tokens, query, encoder.calibration) for query in asked.queries]
        curves = [relevance_curve(sheet.tokens, score, options) for score in scores]
        return [find_moments(curve, options) for curve in curves]

    return find


def trained(encoder: Encoder, head: Any, options: DecodeOptions, budget: int) -> Finder:
    """A head, on the positions that it was trained for, within a budget."""
    from seal.ground.localise import localise

    def find(sheet: Sheet, asked: Footage) -> list[list[Moment]]:
        shown: Tokens = sheet.frames if head.sizes.positions == "frames" else sheet.tokens
        scores = [relevance(shown, query, encoder.calibration) for query in asked.queries]
        queries = [asked.asked(i, head.sizes.by_words) for i in range(len(asked.queries))]
        return localise(head, shown, queries, scores, options, budget, sheet.look)

    return find


def measure(
    material: Material, finders: dict[str, Finder], count: int = SHEETS, mismatched: bool = False
) -> dict[str, list[list[float]]]:
    """IoU of the best moment with the true one, by finder: of each clip those of all its queries.

    With `mismatched` each clip is asked for by what describes the next one: what a head that heeds
    no query would reach.
    """
    clips = material.test_clips
    found: dict[str, list[list[float]]] = {name: [[] for _ in clips] for name in finders}
    for sheet in sheets(material.test_films, clips, count):
        for name, find in finders.items():
            for i, span in enumerate(sheet.spans):
                ranked = find(sheet, clips[(i + mismatched) % len(clips)])
                found[name][i] += [best[0].span.iou(span) if best else 0.0 for best in ranked]
    return found


def recall(found: Sequence[Sequence[float]], least: float) -> Estimate:
    """The share of queries whose best moment has at least this IoU; the interval is over clips."""
    return bootstrap([np.mean(np.array(of_clip) >= least) for of_clip in found])
