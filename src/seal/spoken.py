"""What is said in a video as a whole: its transcript, and its chapters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from seal.clock import clock, span_clock
from seal.config import ChapterOptions
from seal.errors import OptionError
from seal.printing import printable
from seal.results import Result
from seal.types import Float32, Float64, Int64, Tokens, unit
from seal.words import Cue, Word
from seal.words.export import render

if TYPE_CHECKING:
    from seal.store import VideoRecord

Said = TypeVar("Said", bound="SpokenWords")

_BLOCK_S = 60.0
"""Chapters are cut between blocks of speech of this length, or of that of the shortest chapter."""
_SHORTEST = 0.2
"""No chapter is shorter than this share of the usual length."""
_COUNTED_WORDS = 30
"""A longer sentence counts no more than one of so many words."""
_TITLE_WORDS = 4
"""A sentence with fewer words is no title."""
_TITLE_LENGTH = 60
"""Characters of a title at most."""
_APART = 1e6
"""Penalty for a chapter that is too short. It exceeds the gain of any cut."""


@dataclass(frozen=True, eq=False)
class SpokenWords(Result):
    """Everything that is said in a video, sentence by sentence."""

    cues: tuple[Cue, ...]
    """In order of time."""

    def to_json(self) -> Any:
        return json.loads(render(self.cues, "json"))

    @classmethod
    def from_json(cls: type[Said], rows: Sequence[Mapping[str, Any]]) -> Said:
        """What `to_json` has written, with times in whole milliseconds. Raises KeyError, TypeError
        or ValueError for other values."""
        return cls(
            tuple(
                Cue(
                    row["start_s"],
                    row["end_s"],
                    row["text"],
                    tuple(Word(**word) for word in row.get("words", ())),
                )
                for row in rows
            )
        )

    def __str__(self) -> str:
        return "\n".join(f"[{clock(cue.start_s)}] {printable(cue.text)}" for cue in self.cues)

    def __len__(self) -> int:
        return len(self.cues)


@dataclass(frozen=True, eq=False)
class Chapters(SpokenWords):
    """The chapters of a video, each a cue with its title."""

    def __str__(self) -> str:
        return "\n".join(
            f"{span_clock(cue.start_s, cue.end_s)}  {printable(cue.text)}" for cue in self.cues
        )


def transcript(tokens: Tokens, record: VideoRecord) -> SpokenWords:
    """What the speech tokens of a video say. Raises OptionError if there are none."""
    tokens = _speech(tokens, record)
    return SpokenWords(tuple(_cue(tokens, row) for row in range(len(tokens))))


def chapters(tokens: Tokens, record: VideoRecord, options: ChapterOptions) -> Chapters:
    """Where the subject of the speech changes: chapters of about `options.every_s` seconds.

    A chapter lasts until the next one begins, and its title is the sentence that is most like the
    whole of it. Raises OptionError if there are no speech tokens.
    """
    tokens = _speech(tokens, record)
    end_s = max(record.start_s + record.duration_s, float(tokens.end_s.max()))
    firsts = sections(tokens, record.start_s, end_s, options)
    starts_s = [record.start_s, *tokens.start_s[firsts[1:]].tolist()]
    return Chapters(
        tuple(
            Cue(start_s, until_s, _title(tokens.take(np.arange(first, last))))
            for start_s, until_s, first, last in zip(
                starts_s, [*starts_s[1:], end_s], firsts, [*firsts[1:], len(tokens)], strict=True
            )
        )
    )


def sections(tokens: Tokens, start_s: float, end_s: float, options: ChapterOptions) -> list[int]:
    """The first row of each chapter of a video that lasts from `start_s` to `end_s`; `tokens`, at
    least one, are what is said in it, in order of time."""
    count = max(1, round((end_s - start_s) / options.every_s))
    edges_s = np.append(tokens.start_s, end_s)
    weights = np.minimum(_lengths(tokens), _COUNTED_WORDS).astype(np.float64)
    return cut(tokens.embeddings, weights, edges_s, count, _SHORTEST * options.every_s)


def cut(
    embeddings: Float32, weights: Float64, edges_s: Float64, count: int, shortest_s: float
) -> list[int]:
    """The first row of each of at most `count` segments of sentences, in order of time.

    `embeddings` [n, d] and `weights` [n] are those of the sentences; `edges_s` [n + 1] are their
    starts and the end of the video. Segments shorter than `shortest_s` are left out where others
    can be had. Sentences are summed up in blocks, whose mean is taken off. The segments are those
    with the largest

        sum over the segments of |sum of the blocks in it|^2 / number of blocks in it

    and thereby with the smallest spread of the blocks around the mean of their segment (kernel
    change-point detection, Harchaoui and Cappe 2007), found by dynamic programming.
    """
    firsts = _blocks(edges_s[:-1], min(_BLOCK_S, shortest_s))
    mean = np.average(embeddings, axis=0, weights=weights)
    sums = np.add.reduceat((embeddings - mean) * weights[:, None], firsts, axis=0)
    blocks = unit(sums)
    blocks -= blocks.mean(0)
    n = len(blocks)
    totals = np.vstack([np.zeros(blocks.shape[1]), np.cumsum(blocks, axis=0)])
    squares = np.einsum("nd,nd->n", totals, totals)
    gains = squares[:, None] + squares - 2 * totals @ totals.T
    lengths = np.arange(n + 1) - np.arange(n + 1)[:, None]
    times_s = edges_s[np.append(firsts, -1)]
    gains = np.where(lengths > 0, gains / np.maximum(lengths, 1), -np.inf)
    gains -= _APART * (times_s - times_s[:, None] < shortest_s)
    best, before = gains[0], []
    values = [best[n]]
    for _ in range(min(count, n) - 1):
        through = best[:, None] + gains
        before.append(through.argmax(0))
        best = through.max(0)
        values.append(best[n])
    edges = [n]
    # More segments than fit would be shorter than they may be.
    for places in reversed(before[: int(np.argmax(values))]):
        edges.append(int(places[edges[-1]]))
    return [0, *firsts[sorted(edges[1:])].tolist()]


def _blocks(starts_s: Float64, block_s: float) -> Int64:
    """The rows at which blocks of about `block_s` begin."""
    number = ((starts_s - starts_s[0]) // block_s).astype(np.int64)
    return np.flatnonzero(np.diff(number, prepend=-1) > 0)


def _lengths(tokens: Tokens) -> Int64:
    """[n] the number of words of each token."""
    return np.array([len(text.split()) for text in tokens.text.tolist()], np.int64)


def _title(tokens: Tokens) -> str:
    """The sentence of a chapter that is most like all of it, cut to the length of a title."""
    words = _lengths(tokens)
    whole = (tokens.embeddings * np.minimum(words, _COUNTED_WORDS)[:, None]).sum(0)
    likeness = tokens.embeddings @ whole
    long_enough = words >= min(_TITLE_WORDS, words.max())
    text = str(tokens.text[np.argmax(np.where(long_enough, likeness, -np.inf))])
    if len(text) <= _TITLE_LENGTH:
        return text
    return re.sub(r"[\s,;:]+\S*$", "", text[:_TITLE_LENGTH]) + "…"


def _speech(tokens: Tokens, record: VideoRecord) -> Tokens:
    """The speech tokens, in order of time. Raises OptionError if there are none."""
    rows = np.flatnonzero(tokens.where(lambda kind: kind.has_word_times))
    if not len(rows):
        raise OptionError(
            f"{record.id} has no speech tokens: lay a subtitle file beside the video, or set"
            " transcribe.backend=whisper, and run `seal index` on it again"
        )
    return tokens.take(rows[np.argsort(tokens.start_s[rows], kind="stable")])


def _cue(tokens: Tokens, row: int) -> Cue:
    text, end_s = str(tokens.text[row]), float(tokens.end_s[row])
    begun_s = tokens.track(row)[:, 0].tolist()
    ends_s = [*begun_s[1:], end_s]
    words = zip(begun_s, ends_s, text.split(), strict=False)
    return Cue(
        float(tokens.start_s[row]),
        end_s,
        text,
        tuple(Word(start_s, max(start_s, until_s), word) for start_s, until_s, word in words),
    )
