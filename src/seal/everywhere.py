"""Moments of many videos in one list.

The relevance of a token says how far it is above others on one axis, and the best of many tokens is
high by chance. For the match of a video of n tokens it counts by R - ln(n) / SHARPNESS
(`seal.encode.calibration`). So that moments of videos of any length compare, their scores are the
relevance that gives the same probability among all N tokens of the library:

    score = R + ln(N / n) / SHARPNESS

A line in other words than the query's has few of the query's words, and so a low score, while its
meaning is among the nearest of all videos. So unless the best moment is likely by itself, the
sentences whose meaning is near (`seal.attention.words.WordWeights.near`) come first, and take turns
with the other moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, zip_longest

import numpy as np

from seal.content import Question
from seal.encode.calibration import SHARPNESS
from seal.results import Found
from seal.scope import Scope
from seal.store import VideoRecord
from seal.types import Moment, Span
from seal.words.index import quotes

_SEARCHED = 4
"""Of so many videos for each moment that is wanted nearly all moments come (LOG, "Search over all
videos"), and hundreds of videos may have best tokens that are alike."""

Find = Callable[[VideoRecord], Found]
"""The moments of one video."""


def found_everywhere(scope: Scope, query: str, find: Find) -> Found:
    """The moments of the videos in `scope`, best first, and the match of the likeliest video."""
    every = _Search(scope, scope.content.question(query), find)
    moments = every.moments()
    if moments and not quotes(query) and not every.is_likely(moments[0]):
        turns = chain(*zip_longest(every.meant(), moments))
        each = {(one.video, one.span): one for one in turns if one is not None}
        moments = list(each.values())[: scope.options.find.top]
    # With all of its tokens a video says more of itself than with those near the query.
    matches = [one.match for one in every.searched.values() if one.match is not None]
    match = max(matches, key=lambda one: one.probability, default=scope.match(every.question))
    return Found(query, match, moments, several=True)


class _Search:
    """The videos of a scope, those that were searched, and the scores of their moments."""

    def __init__(self, scope: Scope, question: Question, find: Find) -> None:
        self.scope = scope
        self.question = question
        self.searched: dict[str, Found] = {}
        self._find = find

    def moments(self) -> list[Moment]:
        """The best moments of all videos, at most `find.top`.

        A score hardly exceeds that of its video's best token. So videos are searched in order of
        these, until the remaining ones cannot hold a better moment, or `_SEARCHED * find.top` were
        searched. A head gives scores of its own: then `find.top` videos are searched.
        """
        wanted, moments = self.scope.options.find, list[Moment]()
        by_head = wanted.head is not None
        ranked = sorted(self._best(), key=lambda one: -one[0])
        for best, record in ranked[: wanted.top * (1 if by_head else _SEARCHED)]:
            if not by_head and len(moments) == wanted.top and moments[-1].score >= best:
                break
            shift = 0.0 if by_head else self._shift(record)
            found = self.searched[record.id] = self._find(record)
            moments += [replace(one, score=one.score + shift) for one in found.moments]
            moments = sorted(moments, key=lambda one: -one.score)[: wanted.top]
        return moments

    def meant(self) -> list[Moment]:
        """The sentences whose meaning is near to the query, at most `find.top`, nearest first."""
        tokens, question, count = self.scope.tokens, self.question, self.scope.options.find.top
        rows = np.flatnonzero(question.nearness >= 0)
        records = {record.id: record for record in self.scope.content.records}
        return [
            Moment(
                Span(float(tokens.start_s[row]), float(tokens.end_s[row])),
                float(question.relevance[row]) + self._shift(records[str(tokens.video_ids[row])]),
                str(tokens.video_ids[row]),
                str(tokens.ids[row]),
                "meaning",
                str(tokens.text[row]),
            )
            for row in rows[np.argsort(-question.nearness[rows], kind="stable")[:count]]
        ]

    def _best(self) -> list[tuple[float, VideoRecord]]:
        """The score of the best token of each video."""
        return [
            (float(self.question.relevance[rows].max()) + self._shift(record), record)
            for record, rows in self.scope.content.by_video()
        ]

    def _shift(self, record: VideoRecord) -> float:
        content = self.scope.content
        if content.encoder.calibration is None:
            return 0.0
        return math.log(content.total / content.count(record)) / SHARPNESS

    def is_likely(self, moment: Moment) -> bool:
        """Whether a moment makes a match likely by itself; True where nothing is calibrated, and
        for a head."""
        content, options = self.scope.content, self.scope.options.find
        if content.encoder.calibration is None or options.head is not None:
            return True
        likely, prior = options.min_probability, self.question.prior[moment.video]
        return moment.score >= content.encoder.calibration.threshold(likely, prior, content.total)
