"""Which tokens a question is answered from: relevance, time and cause.

A question without words of time or cause gets the tokens that attention selects, and so does every
question with `answer.intent=off`. Words such as
"before", "after", "at the end" and "the first time" say where to look. For "why", the effect is
found first. A share of the budget then goes to the time before the effect. The tokens chosen there
represent all of that time, and near times more than far ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from seal.answer.intent import Intent, read, subject
from seal.attention import Budget, pick
from seal.attention.candidates import costs
from seal.config import AttentionOptions, NoAnswer
from seal.results import Match
from seal.scope import Scope
from seal.types import Float32, Int64, Mask, Moment, Span, Tokens

# The start and the end of a video are so much of it; of a film, more than its titles.
_EDGE = 0.1
# A first or last time is a moment that stands out at least so much as the best one does.
_SAME = 0.7
_ANCHOR_SHARE = 0.25
"""Of the budget, for what a question says its subject comes before or after: it has to be seen to
be recognised."""
# What came before an effect is represented whole, whatever of it looks like the question: the cause
# need not be in its words.
_REPRESENT: dict[str, Any] = {"objective": "coverage", "query_weight": 1.0}
_REPRESENT |= {"relevance_exponent": 1.0, "effective_size": np.inf}
_REPRESENT |= {"chosen_weight": 0.0, "time_weight": 0.0}
# The question names an effect that stands out once in three times as the best moment, and in nearly
# half of all as one of two (LOG). More would leave too little to each.
_EFFECTS = 2
_NONE = np.empty(0, np.int64)


class BudgetShare(NamedTuple):
    """A part of the budget, where it may be spent, on what, and how that is chosen."""

    share: float
    allowed: Mask
    relevance: Float32
    options: AttentionOptions


class Evidence(NamedTuple):
    """What a question is answered from."""

    rows: Int64
    """Rows of the video's tokens, in order of time; those shown before are left out."""
    relevance: Float32
    """[n] R of all tokens of the video."""
    moments: list[Moment]
    """Where the video is about the question, best first."""
    match: Match | None = None
    """Whether the video shows what the question is about; None where nobody can tell."""


def gather(
    scope: Scope,
    question: str,
    budget: float,
    *,
    shown: Int64 | None = None,
    new: float = np.inf,
    exclude: Mask | None = None,
    causal: bool = True,
) -> Evidence:
    """The tokens worth showing for a question, at a cost of no more than `budget`.

    Of these, those in `shown` are in the prompt already and are not paid for again. Others come
    for no more than `new`, in the order in which they are chosen. `causal=False` and
    `answer.intent=off` ignore what the question says of time and cause.
    """
    tokens = scope.tokens
    attention = scope.options.attention
    options = scope.options.answer
    # Words of time say nothing of several videos.
    causal = causal and options.intent == "on" and scope.is_one
    asked = scope.content.question(searched_by(question, options))
    scores, moments = asked.relevance, scope.moments(asked) if scope.is_one else []
    free = np.zeros(len(tokens), bool)
    free[_NONE if shown is None else shown] = True
    never = np.zeros(len(tokens), bool) if exclude is None else exclude & ~free
    prices = costs(tokens, attention)
    owed, chosen = np.where(free, 0.0, prices), np.zeros(len(tokens), bool)
    share = spent = 0.0
    plan = _plan(scope, read(question), scores, moments, attention) if causal else []
    # What one part cannot spend the next one may, and what is left in the end goes to all tokens.
    left_over = 1 - sum(part.share for part in plan)
    for part in [*plan, BudgetShare(left_over, _all(tokens), scores, attention)]:
        share += part.share
        left = share * budget - prices[chosen].sum()
        pool = np.flatnonzero(part.allowed & ~never)
        include, price = np.flatnonzero(chosen[pool]), prices[pool]
        if np.delete(price, include).min(initial=np.inf) > left + 1e-9:
            continue
        candidates = scope.candidates(part.relevance, question).take(pool)
        within = Budget(price[include].sum() + left, price, include)
        for row in pool[pick(candidates, part.options, within)]:
            if not chosen[row] and spent + owed[row] <= share * new + 1e-9:
                chosen[row], spent = True, spent + owed[row]
    rows = np.flatnonzero(chosen & ~free)
    in_time = rows[np.argsort(scope.start_s[rows], kind="stable")]
    return Evidence(in_time, scores, moments, scope.match(asked))


def searched_by(question: str, options: NoAnswer) -> str:
    """The text by which evidence for a question is looked for: see `answer.query`."""
    return question if options.query == "question" else subject(question)


def _plan(
    scope: Scope,
    intent: Intent,
    scores: Float32,
    moments: list[Moment],
    usual: AttentionOptions,
) -> list[BudgetShare]:
    """How the budget is spent, given what a question says of cause and time. Shares sum to 1, or
    there are none where the question says nothing of them."""
    tokens, options = scope.tokens, scope.options.answer
    if intent.why and moments:
        near = np.zeros(len(tokens), np.float32)
        for moment in moments[:_EFFECTS]:
            near = np.maximum(near, _nearness(tokens, moment.span.start_s, options.cause_s))
        share = options.cause_share
        return [
            BudgetShare(1 - share, _all(tokens), scores, usual),
            BudgetShare(share, near > 0, near, replace(usual, **_REPRESENT)),
        ]
    if intent.relation:
        anchors = scope.relevance(intent.anchor)
        found = _moments(scope, anchors)
        if not found:
            return []
        # Where nothing else is asked for than what comes next, it is what comes next.
        reach_s = np.inf if intent.query else options.cause_s
        allowed = _related(tokens, intent, found[0].span, reach_s)
        seen = _between(tokens, found[0].span.start_s, found[0].span.end_s)
        return [
            BudgetShare(_ANCHOR_SHARE, seen, anchors, usual),
            BudgetShare(1 - _ANCHOR_SHARE, allowed, scores, usual),
        ]
    if intent.place in ("start", "end"):
        length_s = _EDGE * scope.record.duration_s
        start_s, end_s = tokens.start_s.min(initial=0), tokens.end_s.max(initial=0)
        early = _between(tokens, start_s, start_s + length_s)
        late = _between(tokens, end_s - length_s, end_s)
        return [BudgetShare(1.0, early if intent.place == "start" else late, scores, usual)]
    if intent.place and (every := _moments(scope, scores)):
        alike = [moment.span for moment in every if moment.score >= _SAME * every[0].score]
        span = min(alike) if intent.place == "first" else max(alike)
        return [BudgetShare(1.0, _between(tokens, span.start_s, span.end_s), scores, usual)]
    return []


def _moments(scope: Scope, scores: Float32) -> list[Moment]:
    """All spans that stand out from the curve of relevance, best first."""
    options = replace(scope.options.find, top=len(scope.tokens) + 1)
    timed = scope.content.timed(options.smoothing_s)
    return [moment for moment, _ in timed.moments(scores, options)]


def _related(tokens: Tokens, intent: Intent, anchor: Span, reach_s: float) -> Mask:
    if intent.relation == "before":
        return _between(tokens, anchor.start_s - reach_s, anchor.start_s)
    if intent.relation == "after":
        return _between(tokens, anchor.end_s, anchor.end_s + reach_s)
    return _between(tokens, anchor.start_s, anchor.end_s)


def _nearness(tokens: Tokens, start_s: float, reach_s: float) -> Float32:
    """[n] how soon before an instant each token is: in (0, 1), and 0 outside of the reach."""
    before = _between(tokens, start_s - reach_s, start_s)
    ago_s = np.maximum(start_s - tokens.middle_s, 0)
    near: Float32 = (np.exp(-2 * ago_s / reach_s) * before).astype(np.float32)
    return near


def _between(tokens: Tokens, start_s: float, end_s: float) -> Mask:
    """The tokens whose middle lies in a span."""
    mask: Mask = (tokens.middle_s >= start_s) & (tokens.middle_s < end_s)
    return mask


def _all(tokens: Tokens) -> Mask:
    return np.ones(len(tokens), bool)
