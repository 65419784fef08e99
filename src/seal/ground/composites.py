"""Real clips spliced into real films, with exact spans: examples where no licence is needed.

A composite is made of tokens, not of pixels, so that thousands of them cost nothing. Films and
clips are indexed once, densely (`DENSE`), and a composite is stretches of them one after the other.
Then, as when the spliced file were indexed, scenes and objects are thinned to one grid over all of
it (`GRID_S`), which no splice disturbs. Tracklets end where their stretch does.

Which clips are spliced where, and what is asked, depends on the seed and the example's number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from seal.attention import relevance
from seal.config import ActionOptions, NetworkOptions, SceneOptions
from seal.encode.calibration import Calibration
from seal.errors import DataError
from seal.ground.examples import (
    ACTION,
    OBJECT,
    SCENE,
    HeadExample,
    HeadQuestion,
    Look,
    Timeline,
    example,
    varied,
)
from seal.types import Float32, Float64, Int64, Span, Tokens, UInt8

DENSE = ("scenes.interval_s=0.2", "objects.interval_s=0.5")
"""Settings of the index that composites are made from."""
GRID_S = SceneOptions().interval_s
CLIP_S = 10.0
"""Of longer clips a part is spliced in: they would be films themselves."""
_SHORTEST_S = 1.5
_TICKS_PER_S = 10**6
_CLIPS = (3, 9)
"""At least, and below: how many clips are in a composite."""
_QUESTIONS = 4
"""At most, asked of one composite, which share the budget."""
_HAY_S = (120.0, 480.0)
_STILLS = 0.5
"""The share of clips that are photos, where there are photos: captions say more, photos move
less."""
_TEXTS = 0.7
"""How often a clip that texts describe is asked for by one of them."""
_NOISE = 4.0
"""Length of the noise in queries that stand in for texts, beside a picture of length 1."""
_ACTION_S = ActionOptions().min_length_s


@dataclass(frozen=True, eq=False)
class Footage:
    """A film or a clip: its dense tokens, and texts that describe it."""

    id: str
    tokens: Tokens
    span: Span
    """From the first picture to the end."""
    queries: Float32
    """[texts, d] the embeddings of texts that describe it; of a film there are none."""
    crops: UInt8 | None = None
    """[k, frames, side, side, 3] of its k actions, in order, for a head that sees crops."""
    words: tuple[Float32, ...] = ()
    """[t, d] of each text, for a head that reads word by word (`seal.ground.words`)."""

    def asked(self, text: int, by_words: bool) -> Float32:
        """A text as a head reads it: [t, d], or [1, d]."""
        read: Float32 = self.words[text] if by_words else self.queries[text][None]
        return read


class Stretch(NamedTuple):
    """A part of a footage."""

    source: int
    span: Span


class ClipLibrary:
    """Footage in columns, from which composites are put together."""

    def __init__(self, footage: Sequence[Footage]) -> None:
        self.footage = tuple(footage)
        self._tokens = Tokens.concatenate(each.tokens for each in footage)
        self._kinds = Timeline.of(self._tokens).kinds
        self._start_s, self._end_s = self._tokens.start_s, self._tokens.end_s
        self._first = np.concatenate([[0], np.cumsum([len(each.tokens) for each in footage])])
        crops = [each.crops for each in footage if each.crops is not None]
        self.has_crops = len(crops) == len(footage)
        if self.has_crops:
            self._crops = np.concatenate(crops)
            actions = _names(self._tokens.take(self._kinds == ACTION))
            self._places = {action: place for place, action in enumerate(actions)}

    def compose(
        self, stretches: Sequence[Stretch], phase_s: float = 0.0, frames: bool = False
    ) -> tuple[Tokens, list[Span]]:
        """The tokens of stretches one after the other, and when each is shown.

        The grid of scenes and objects begins at `phase_s`. With `frames`, all pictures of the dense
        index as scene tokens, and nothing else. Times are exact to a microsecond.
        """
        rows, spans, shown, at_s = [], [], [], 0.0
        for stretch in stretches:
            end_s = at_s + stretch.span.duration_s
            shown.append(Span(at_s, end_s))
            shift_s = at_s - stretch.span.start_s
            mine = self._rows(stretch, shift_s, phase_s, frames)
            times_s = np.stack([self._start_s[mine], self._end_s[mine]], 1) + shift_s
            rows.append(mine)
            spans.append(times_s.clip(at_s, end_s))
            at_s = end_s
        tokens = self._tokens.take(np.concatenate(rows))
        pts = np.rint(np.concatenate(spans) * _TICKS_PER_S).astype(np.int64)
        base = np.tile(np.array([1, _TICKS_PER_S]), (len(pts), 1))
        return replace(tokens, pts=pts, time_base=base), shown

    def look(self, tokens: Tokens, rows: Int64) -> UInt8:
        """The crops of these rows of composed tokens; a tracklet that is cut keeps all its own."""
        places = [self._places[action] for action in _names(tokens.take(rows))]
        crops: UInt8 = self._crops[np.array(places, np.int64)]
        return crops

    def _rows(self, stretch: Stretch, shift_s: float, phase_s: float, frames: bool) -> Int64:
        """The tokens of a stretch that is shown `shift_s` later."""
        first, last = self._first[stretch.source : stretch.source + 2]
        start_s, end_s = self._start_s[first:last], self._end_s[first:last]
        kinds = self._kinds[first:last]
        begin_s, until_s = stretch.span.start_s, stretch.span.end_s
        seen_s = np.minimum(end_s, until_s) - np.maximum(start_s, begin_s)
        keep = (kinds == ACTION) & (seen_s >= _ACTION_S) & (not frames)
        for kind in (SCENE,) if frames else (SCENE, OBJECT):
            mine = np.flatnonzero((kinds == kind) & (start_s >= begin_s) & (start_s < until_s))
            times_s = np.unique(start_s[mine])
            if not frames:
                times_s = _on_grid(
                    times_s, (begin_s + shift_s, until_s + shift_s), shift_s, phase_s
                )
            keep[mine] = np.isin(start_s[mine], times_s)
        rows: Int64 = first + np.flatnonzero(keep)
        return rows


def _names(tokens: Tokens) -> list[tuple[str, str]]:
    """What tells tokens of several videos apart."""
    return list(zip(tokens.video_ids.tolist(), tokens.ids.tolist(), strict=True))


def _on_grid(
    times_s: Float64, shown_s: tuple[float, float], shift_s: float, phase_s: float
) -> Float64:
    """Of times of one stretch the first ones at or after each tick of the grid."""
    begin, until = (np.ceil((bound_s - phase_s) / GRID_S) for bound_s in shown_s)
    ticks_s = np.arange(begin, until) * GRID_S + phase_s - shift_s
    # The dense index has its own grid: it may be too early by a rounding error.
    index = np.searchsorted(times_s, ticks_s - 1e-6)
    taken: Float64 = times_s[index[index < len(times_s)]]
    return taken


class Composites:
    """Examples without end: number i is always the same one.

    A part of the films has clips put into it, and some of them are asked for. A query is a text
    that describes one, or by one of its tokens, which stands in for a text (`stand_in`). Budgets
    are drawn (`varied`).

    Raises DataError if there is no film or no clip, or if they lack the crops that the head sees.
    """

    def __init__(
        self,
        films: Sequence[Footage],
        clips: Sequence[Footage],
        options: NetworkOptions,
        calibration: Calibration | None,
        seed: int = 0,
        stills: Sequence[Footage] = (),
    ) -> None:
        if not films or not clips:
            raise DataError("composites need at least one film and one clip")
        footage = [*films, *clips, *stills]
        blind = [each.id for each in footage if each.crops is None]
        if options.crops and blind:
            raise DataError(f"the head sees crops of actions, and {blind[0]} came without")
        self._library = ClipLibrary(footage)
        self._films, count = range(len(films)), len(clips) + len(stills)
        self._clips = range(len(films), len(films) + count)
        share = _STILLS if stills else 0.0
        self._often = np.full(count, (1 - share) / len(clips))
        self._often[len(clips) :] = share / max(1, len(stills))
        self._options, self._calibration, self._seed = options, calibration, seed

    def __getitem__(self, number: int) -> HeadExample:
        """Example `number`, from 0."""
        rng = np.random.default_rng([self._seed, number])
        count = min(int(rng.integers(*_CLIPS)), len(self._clips))
        drawn = rng.choice(self._clips, count, replace=False, p=self._often)
        clips = [self._part(int(source), rng) for source in drawn]
        hay = self._hay(rng.uniform(*_HAY_S), rng)
        stretches, places = spliced(hay, clips, rng)
        phase_s = rng.uniform(0, GRID_S)
        frames = self._options.positions == "frames"
        tokens, spans = self._library.compose(stretches, phase_s, frames)
        questions = []
        for asked in range(int(rng.integers(1, 1 + min(count, _QUESTIONS)))):
            query, read = self._query(clips[asked].source, rng)
            moment = spans[places[asked]]
            moments = np.array([[moment.start_s, moment.end_s]])
            scores = relevance(tokens, query, self._calibration)
            questions.append(HeadQuestion(read, scores, moments))
        options, look = varied(self._options, rng), partial(self._library.look, tokens)
        return example(Timeline.of(tokens), questions, options, look)

    def _part(self, source: int, rng: np.random.Generator) -> Stretch:
        """A clip, or for every second one a part of it."""
        span = self._library.footage[source].span
        longest_s = min(span.duration_s, CLIP_S)
        if rng.random() < 0.5:
            longest_s = rng.uniform(min(_SHORTEST_S, longest_s), longest_s)
        start_s = span.start_s + rng.random() * (span.duration_s - longest_s)
        return Stretch(source, Span(start_s, start_s + longest_s))

    def _hay(self, length_s: float, rng: np.random.Generator) -> list[Stretch]:
        """So much of the films: the end of one, then others from their beginning."""
        stretches: list[Stretch] = []
        while length_s > 0:
            source = int(rng.choice(self._films))
            span = self._library.footage[source].span
            start_s = span.start_s if stretches else rng.uniform(span.start_s, span.end_s)
            end_s = min(span.end_s, start_s + length_s)
            stretches.append(Stretch(source, Span(start_s, end_s)))
            length_s -= end_s - start_s
        return stretches

    def _query(self, source: int, rng: np.random.Generator) -> tuple[Float32, Float32]:
        """A query for a clip [d], and as the head reads it [t, d]."""
        clip = self._library.footage[source]
        if len(clip.queries) and rng.random() < _TEXTS:
            text = int(rng.integers(len(clip.queries)))
            return clip.queries[text], clip.asked(text, self._options.by_words)
        shown: Float32 = clip.tokens.embeddings[rng.integers(len(clip.tokens))]
        query = stand_in(shown, self._calibration, rng)
        return query, query[None]


class Sheet(NamedTuple):
    """A composite to be asked about: every clip is in it once."""

    tokens: Tokens
    frames: Tokens
    """All pictures of the dense index, as scene tokens."""
    spans: list[Span]
    """[clips] when each is shown."""
    look: Look | None
    """For the crops of `tokens`, where the footage has them."""


def sheets(
    films: Sequence[Footage], clips: Sequence[Footage], count: int, seed: int = 0
) -> Iterator[Sheet]:
    """`count` composites of all films, in random order, with all clips at random times."""
    library = ClipLibrary([*films, *clips])
    rng = np.random.default_rng(seed)
    for _ in range(count):
        hay = [Stretch(int(i), films[i].span) for i in rng.permutation(len(films))]
        needles = [
            Stretch(i, Span(clip.span.start_s, min(clip.span.end_s, clip.span.start_s + CLIP_S)))
            for i, clip in enumerate(clips, start=len(films))
        ]
        stretches, places = spliced(hay, needles, rng)
        phase_s = rng.uniform(0, GRID_S)
        tokens, spans = library.compose(stretches, phase_s)
        frames, _ = library.compose(stretches, phase_s, frames=True)
        look = partial(library.look, tokens) if library.has_crops else None
        yield Sheet(tokens, frames, [spans[place] for place in places], look)


def stand_in(shown: Float32, calibration: Calibration | None, rng: np.random.Generator) -> Float32:
    """The embedding [d] of a picture as if it were that of a text.

    The mean of pictures makes way for the mean of texts, and noise for what a text leaves unsaid.
    """
    noise = rng.standard_normal(shown.size).astype(np.float32)
    if calibration is not None:
        shown = shown - calibration.pictures
    query = shown / np.linalg.norm(shown) + _NOISE * noise / np.sqrt(shown.size)
    if calibration is not None:
        query = query / np.linalg.norm(query) * 0.9 + calibration.texts
    unit: Float32 = query / np.linalg.norm(query)
    return unit


def spliced(
    hay: Sequence[Stretch], clips: Sequence[Stretch], rng: np.random.Generator
) -> tuple[list[Stretch], list[int]]:
    """The hay with each clip at a random time; and which of the stretches each clip is."""
    cuts_s = np.sort(rng.uniform(0, sum(each.span.duration_s for each in hay), len(clips)))
    order = rng.permutation(len(clips))
    stretches: list[Stretch] = []
    places, done, at_s = [0] * len(clips), 0, 0.0
    for number, (source, span) in enumerate(hay, start=1):
        start_s, end_s = span.start_s, at_s + span.duration_s
        # Whatever rounding does to the end of the last one.
        while done < len(clips) and (cuts_s[done] < end_s or number == len(hay)):
            cut_s = min(span.start_s + float(cuts_s[done]) - at_s, span.end_s)
            stretches += [Stretch(source, Span(start_s, cut_s)), clips[order[done]]]
            places[order[done]] = len(stretches) - 1
            start_s, done = cut_s, done + 1
        stretches.append(Stretch(source, Span(start_s, span.end_s)))
        at_s = end_s
    return stretches, places
