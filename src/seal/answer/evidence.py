"""Which tokens a question is answered from: relevance, time and cause.

A question without words of time or cause gets the tokens that attention selects. "Before", "after",
"at the end" or "the first time" say where to look. For "why" the effect is found first; a share of
the budget then goes to what came before it, new things before old ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seal.answer.intent import Intent, read
from seal.attention import Budget, Candidates, choose
from seal.attention.candidates import costs
from seal.ground import find_moments, relevance_curve
from seal.query import IndexedVideo
from seal.types import Float32, Int64, Moment, Span, Tokens

Mask = NDArray[np.bool_]

# The start and the end of a video are so much of it; of a film, more than its titles.
_EDGE = 0.1
# A first or last time is a moment that stands out at least so much as the best one does.
_SAME = 0.7
_ANCHOR_SHARE = 0.25
"""Of the budget, for what a question says its subject comes before or after: it has to be seen to
be recognised."""


class Part(NamedTuple):
    """A part of the budget, where it may be spent, and on what."""

    share: float
    allowed: Mask
    relevance: Float32


class Evidence(NamedTuple):
    """What a question is answered from."""

    rows: Int64
    """Rows of the video's tokens, in order of time; those shown before are left out."""
    relevance: Float32
    """[n] R of all tokens of the video."""
    moments: list[Moment]
    """Where the video is about the question, best first."""


def gather(
    video: IndexedVideo,
    question: str,
    budget: float,
    *,
    shown: Int64 | None = None,
    exclude: Mask | None = None,
    causal: bool = True,
) -> Evidence:
    """The tokens worth showing for a question, at a cost of no more than `budget`.

    Those in `shown` are in the prompt already: they cost nothing, and what is chosen differs from
    them. `causal=False` ignores what the question says of time and cause.
    """
    tokens, attention = video.tokens, video.options.attention
    intent = read(question) if causal else Intent(question)
    scores = video.relevance(intent.query or intent.anchor or question)
    moments = find_moments(relevance_curve(tokens, scores, video.options.find), video.options.find)
    taken = np.zeros(len(tokens), bool)
    pinned = np.empty(0, np.int64) if shown is None else shown
    prices = costs(tokens, attention)
    share = 0.0
    # What one part cannot spend the next one may, and what is left in the end goes to all tokens.
    rest = Part(0.0, _all(tokens), scores)
    for part in [*_plan(video, intent, scores, moments), rest]:
        share += part.share
        held = np.union1d(pinned, np.flatnonzero(taken))
        left = share * budget - prices[taken].sum()
        open_ = part.allowed.copy() if exclude is None else part.allowed & ~exclude
        open_[held] = False
        if prices[open_].min(initial=np.inf) > left + 1e-9:
            continue
        open_[held] = True
        within = Budget(prices[held].sum() + left, prices, held, np.flatnonzero(~open_))
        chosen = choose(Candidates.of(tokens, part.relevance), attention, within).rows
        taken[np.setdiff1d(chosen, pinned)] = True
    rows = np.flatnonzero(taken)
    return Evidence(rows[np.argsort(tokens.start_s[rows], kind="stable")], scores, moments)


def _plan(
    video: IndexedVideo, intent: Intent, scores: Float32, moments: list[Moment]
) -> list[Part]:
    """How the budget is spent, given what a question says of cause and time. Shares sum to 1."""
    tokens, options = video.tokens, video.options.answer
    if intent.why and moments:
        start_s = moments[0].span.start_s
        before = _between(tokens, start_s - options.cause_s, start_s)
        share = options.cause_share
        return [
            Part(1 - share, _all(tokens), scores),
            Part(share, before, _causes(tokens, before, start_s, options.cause_s)),
        ]
    if intent.relation:
        anchors = video.relevance(intent.anchor)
        found = _moments(video, anchors)
        if not found:
            return [Part(1.0, _all(tokens), scores)]
        # Where nothing else is asked for than what comes next, it is what comes next.
        reach_s = np.inf if intent.query else options.cause_s
        allowed = _related(tokens, intent, found[0].span, reach_s)
        seen = _between(tokens, found[0].span.start_s, found[0].span.end_s)
        return [Part(_ANCHOR_SHARE, seen, anchors), Part(1 - _ANCHOR_SHARE, allowed, scores)]
    if intent.place in ("start", "end"):
        length_s = _EDGE * video.record.duration_s
        start_s, end_s = tokens.start_s.min(initial=0), tokens.end_s.max(initial=0)
        early = _between(tokens, start_s, start_s + length_s)
        late = _between(tokens, end_s - length_s, end_s)
        return [Part(1.0, early if intent.place == "start" else late, scores)]
    if intent.place and moments:
        alike = [m.span for m in _moments(video, scores) if m.score >= _SAME * moments[0].score]
        span = min(alike) if intent.place == "first" else max(alike)
        return [Part(1.0, _between(tokens, span.start_s, span.end_s), scores)]
    return [Part(1.0, _all(tokens), scores)]


def _moments(video: IndexedVideo, scores: Float32) -> list[Moment]:
    """All moments that stand out, best first."""
    options = replace(video.options.find, top=len(video.tokens) + 1)
    return find_moments(relevance_curve(video.tokens, scores, options), options)


def _related(tokens: Tokens, intent: Intent, anchor: Span, reach_s: float) -> Mask:
    if intent.relation == "before":
        return _between(tokens, anchor.start_s - reach_s, anchor.start_s)
    if intent.relation == "after":
        return _between(tokens, anchor.end_s, anchor.end_s + reach_s)
    return _between(tokens, anchor.start_s, anchor.end_s)


def _causes(tokens: Tokens, before: Mask, effect_s: float, reach_s: float) -> Float32:
    """[n] in [0, 1] how much each token of the time before an effect could be its cause: the closer
    to it, and the less like anything of the time before that, the more."""
    worth = np.zeros(len(tokens), np.float32)
    earlier = tokens.embeddings[_between(tokens, effect_s - 2 * reach_s, effect_s - reach_s)]
    alike = tokens.embeddings[before] @ earlier.T
    new = 1 - np.clip(alike.max(1, initial=0), 0, 1)
    near = 1 - (effect_s - tokens.middle_s[before]) / reach_s
    worth[before] = (new + near) / 2
    return worth


def _between(tokens: Tokens, start_s: float, end_s: float) -> Mask:
    """The tokens whose middle lies in a span."""
    mask: Mask = (tokens.middle_s >= start_s) & (tokens.middle_s < end_s)
    return mask


def _all(tokens: Tokens) -> Mask:
    return np.ones(len(tokens), bool)
