"""What a head is shown: the positions chosen from a video for a query, and when it is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from seal.attention import Budget, Candidates, pick
from seal.attention.streaming import windows_of
from seal.config import AttentionOptions, HeadOptions, InputOptions, NetworkOptions
from seal.errors import OptionError
from seal.ground.strips import Pictures, strips
from seal.kinds import SEEN
from seal.types import Float32, Float64, Int64, Tokens, UInt8

S = TypeVar("S", bound=InputOptions)

SCENE, OBJECT, ACTION = range(len(SEEN))
_UNKNOWN = -1
"""A kind that no head knows."""

# The most relevant, and nothing else: the published objective without its second sum.
_MOST_RELEVANT = AttentionOptions(objective="paper", solver="greedy", alpha=1.0)

_BUDGETS = 5
"""450 positions are trained together with 200 and 100."""

# How fast the relevance that a token lends to those near it fades, in R for each second. A match
# brings what is around it into the budget, where its moment ends.
_FADES = 0.03


@dataclass(frozen=True, eq=False)
class Timeline:
    """The tokens of a video in columns of plain numbers."""

    embeddings: Float32
    """[n, d]"""
    kinds: Int64
    """[n] indices of `seal.kinds.SEEN`; -1 for a kind that no head knows."""
    spans: Float64
    """[n, 2] start and end in seconds. Instants end as they start. How long a picture is on the
    screen says what rate its file has, and a head would learn to tell clips from films by it."""
    boxes: Float32
    """[n, 4]"""

    @staticmethod
    def of(tokens: Tokens) -> Timeline:
        """The timeline of tokens. An instant ends when it begins."""
        number = {kind.name: i for i, kind in enumerate(SEEN)}
        kinds = tokens.per_kind(lambda kind: number.get(kind.name, _UNKNOWN))
        end_s = np.where(tokens.where(lambda kind: kind.instant), tokens.start_s, tokens.end_s)
        spans = np.stack([tokens.start_s, end_s], 1)
        return Timeline(tokens.embeddings, kinds.astype(np.int64), spans, tokens.boxes)

    def __len__(self) -> int:
        return len(self.kinds)

    def take(self, rows: Int64) -> Timeline:
        """The timeline of some rows, in the order of `rows`."""
        return Timeline(self.embeddings[rows], self.kinds[rows], self.spans[rows], self.boxes[rows])


@dataclass(frozen=True, eq=False)
class HeadQuestion:
    """What is asked of a video, and when it is true."""

    query: Float32
    """[t, d] of its words, or one embedding for all of them."""
    relevance: Float32
    """[n] R of the video's tokens."""
    moments: Float64 = field(default_factory=lambda: np.empty((0, 2)))
    """[s, 2] in seconds; empty where that is not known."""


@dataclass(frozen=True, eq=False)
class HeadExample:
    """Questions about a video, as a head sees it."""

    video: Timeline
    """[n] the positions within the budget, in order of time."""
    questions: tuple[HeadQuestion, ...]
    """With the relevance of those positions."""
    crops: UInt8 | None = None
    """[k, frames, side, side, 3] of the k actions among them, for a head that sees crops."""


def varied(options: S, rng: np.random.Generator) -> S:
    """The options with a budget between a fifth of theirs and all of it, uniform in its logarithm:
    one head is trained for all budgets in between."""
    most = options.budget
    budget = int(np.exp(rng.uniform(np.log(max(1, most // _BUDGETS)), np.log(most))))
    return replace(options, budget=budget)


Look = Callable[[Int64], UInt8]
"""The crops [k, frames, side, side, 3] of k rows of a video, which are actions."""


def example(
    video: Timeline,
    questions: Sequence[HeadQuestion],
    options: NetworkOptions,
    look: Look | None = None,
) -> HeadExample:
    """Questions about a whole video, within the budget, which they share.

    Raises OptionError as `chosen` and `crops_of` do.
    """
    relevance = np.stack([question.relevance for question in questions])
    rows = in_time(video, chosen(video, relevance, options))
    return shown(video, questions, rows, crops_of(video, rows, options, look))


def shown(
    video: Timeline,
    questions: Sequence[HeadQuestion],
    rows: Int64,
    crops: UInt8 | None = None,
) -> HeadExample:
    """Questions about the positions in `rows` of a video, which are in order of time."""
    asked = [replace(each, relevance=each.relevance[rows]) for each in questions]
    return HeadExample(video.take(rows), tuple(asked), crops)


def in_time(video: Timeline, rows: Int64) -> Int64:
    """Rows in the order of the middles of their spans."""
    ordered: Int64 = rows[np.argsort(video.spans[rows].mean(1), kind="stable")]
    return ordered


def crops_of(
    video: Timeline, rows: Int64, options: NetworkOptions, look: Look | None
) -> UInt8 | None:
    """The crops of the actions among `rows`, for a head that sees crops.

    Raises OptionError if nothing gives them.
    """
    if not options.crops:
        return None
    if look is None:
        raise OptionError("this head sees the crops of actions: it needs the video's pictures")
    return look(rows[video.kinds[rows] == ACTION])


def looking(pictures: Pictures, tokens: Tokens, options: NetworkOptions) -> Look:
    """The crops of tokens from the stored pictures of their video, read when they are needed."""
    return lambda rows: strips(pictures, tokens.take(rows), options.crops, options.crop_px)


def chosen(video: Timeline, relevance: Float32, options: NetworkOptions) -> Int64:
    """The rows that the budget is spent on, given R [m, n] to m queries; in any order.

    Of several queries the largest relevance of each token counts.

    Raises OptionError if the video has too few scene tokens for a head over frames, or none for the
    rule `nearby`.
    """
    middle_s = video.spans.mean(1)
    scenes = np.flatnonzero(video.kinds == SCENE)
    if not len(scenes) and options.select == "nearby":
        raise OptionError("the video has no scene tokens; index it with them")
    if options.positions == "frames":
        check_frames(len(scenes), options.budget)
        return evenly(scenes, middle_s, options.budget)
    known = np.flatnonzero(video.kinds != _UNKNOWN)
    if len(known) <= options.budget:
        return known
    # Embeddings of hours are not copied where all of them stay.
    if len(known) < len(video):
        video, relevance = video.take(known), relevance[:, known]
    if options.stream_s is not None:
        return known[_streamed(video, relevance, options, options.stream_s)]
    return known[_at_once(video, relevance, options)]


def _streamed(video: Timeline, relevance: Float32, options: HeadOptions, window_s: float) -> Int64:
    """The rows chosen window by window: what a window brings meets what was chosen before."""
    kept = np.empty(0, np.int64)
    for new in windows_of(video.spans[:, 0], window_s):
        kept = np.concatenate([kept, new])
        if len(kept) > options.budget:
            kept = kept[_at_once(video.take(kept), relevance[:, kept], options)]
    return kept


def _at_once(video: Timeline, relevance: Float32, options: HeadOptions) -> Int64:
    """The rows chosen of more tokens than the budget, of kinds that heads know."""
    middle_s, scenes = video.spans.mean(1), np.flatnonzero(video.kinds == SCENE)
    attention, context, worth = options.attention, scenes[:0], relevance.max(0)
    if options.select == "nearby":
        # A quarter shows the whole video, whatever was asked.
        attention = _MOST_RELEVANT
        context = evenly(scenes, middle_s, options.budget // 4)
        worth = np.max([lent(middle_s, of_query) for of_query in relevance], 0)
    candidates = Candidates(worth.astype(np.float32), video.embeddings, middle_s, is_checked=True)
    return pick(candidates, attention, Budget(options.budget, np.ones(len(video)), context))


def check_frames(frames: int, budget: int) -> None:
    """Raise OptionError for a video with fewer frames than a head over frames looks at."""
    if frames < budget:
        raise OptionError(
            f"the head looks at {budget} frames, and the video has {frames} scene tokens: index it"
            f" with --set scenes.count={budget} (a second has video.rate_hz frames at most), or set"
            f" find.head_budget={frames}"
        )


def evenly(rows: Int64, times_s: Float64, count: int) -> Int64:
    """`count` different ones of `rows`, or all if there are fewer. They are those that are nearest
    to the middles of `count` equal parts of their time, and the next one where that is taken."""
    rows = rows[np.argsort(times_s[rows], kind="stable")]
    if len(rows) <= count:
        return rows
    times_s, order = times_s[rows], np.arange(count)
    wanted = times_s[0] + (order + 0.5) * (times_s[-1] - times_s[0]) / count
    right = np.searchsorted(times_s, wanted).clip(1, len(rows) - 1)
    left_is_nearer = wanted - times_s[right - 1] <= times_s[right] - wanted
    later = np.maximum.accumulate(right - left_is_nearer - order) + order
    different: Int64 = rows[np.minimum(later, len(rows) - count + order)]
    return different


def lent(times_s: Float64, relevance: Float32) -> Float64:
    """max over j of R(j) - fades * |t(i) - t(j)|: relevance, or what a better one nearby lends."""
    order = np.argsort(times_s, kind="stable")
    slope = _FADES * times_s[order]
    worth = relevance[order].astype(np.float64)
    ahead = np.maximum.accumulate(worth + slope) - slope
    behind = np.maximum.accumulate((worth - slope)[::-1])[::-1] + slope
    out = np.empty_like(worth)
    out[order] = np.maximum(ahead, behind)
    return out
