"""Moments of many videos in one list.

The relevance of a token says how far it is above others on one axis, and the best of many tokens is
high by chance: for the match of a video of n tokens it counts by R - ln(n) / SHARPNESS
(`seal.encode.calibration`). So that moments of videos of any length compare, their scores are the
relevance that gives the same probability among all N tokens of the library:

    score = R + ln(N / n) / SHARPNESS

Where even the best moment makes a match less probable than UNCLEAR, nothing says whether pictures
or words are nearer to what is meant. Then they take turns, each in their own order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from seal.content import Question
from seal.encode.calibration import SHARPNESS
from seal.results import Found
from seal.scope import Scope
from seal.store import VideoRecord
from seal.types import Mask, Moment

UNCLEAR = 0.18
"""Of nine in ten descriptions of a clip, the best picture in 75 videos has a larger probability."""

Find = Callable[[VideoRecord], Found]
"""The moments of one video."""


def found_everywhere(scope: Scope, query: str, find: Find) -> Found:
    """The moments of the videos in `scope`, best first, and the match of the likeliest video."""
    every = _Search(scope, scope.content.question(query), find)
    by_words = every.question.found_by != "picture"
    moments = every.moments(np.ones(len(by_words), bool), lambda moment: True)
    if by_words.any() and moments and every.is_unclear(moments[0]):
        few = scope.options.find.top
        seen = every.moments(~by_words, lambda moment: moment.found_by == "picture", few)
        said = every.moments(by_words, lambda moment: moment.found_by != "picture", few)
        pair = (seen, said) if moments[0].found_by == "picture" else (said, seen)
        moments = [one for both in zip_longest(*pair) for one in both if one is not None][:few]
    # With all of its tokens a video says more of itself than with those near the query.
    matches = [one.match for one in every.searched.values() if one.match is not None]
    match = max(matches, key=lambda one: one.probability, default=scope.match(every.question))
    return Found(query, match, moments, several=True)


class _Search:
    """The videos of a scope, each searched at most once, and the scores of their moments."""

    def __init__(self, scope: Scope, question: Question, find: Find) -> None:
        self.scope = scope
        self.question = question
        self.searched: dict[str, Found] = {}
        self._find = find

    def moments(
        self, rows: Mask, of: Callable[[Moment], bool], most: int | None = None
    ) -> list[Moment]:
        """The best moments of the sort `of`, at most `find.top`, of the videos with the best tokens
        of these rows [n], of at most so many videos.

        A score hardly exceeds that of its video's best token. So videos are searched in order of
        these, until the remaining ones cannot hold a better moment. A head gives scores of its own:
        then `find.top` videos are searched.
        """
        wanted, moments = self.scope.options.find, list[Moment]()
        by_head = wanted.head is not None
        ranked = sorted(self._best(rows), key=lambda one: -one[0])
        for best, record in ranked[: wanted.top if by_head else most]:
            if not by_head and len(moments) == wanted.top and moments[-1].score >= best:
                break
            if record.id not in self.searched:
                self.searched[record.id] = self._find(record)
            shift = 0.0 if by_head else self._shift(record)
            own = (one for one in self.searched[record.id].moments if of(one))
            moments += [replace(one, score=one.score + shift) for one in own]
            moments = sorted(moments, key=lambda one: -one.score)[: wanted.top]
        return moments

    def _best(self, rows: Mask) -> list[tuple[float, VideoRecord]]:
        """The score of the best token of each video that has any of these rows."""
        return [
            (float(self.question.relevance[mine].max()) + self._shift(record), record)
            for record, all_rows in self.scope.content.by_video()
            if len(mine := all_rows[rows[all_rows]])
        ]

    def _shift(self, record: VideoRecord) -> float:
        content = self.scope.content
        if content.encoder.calibration is None:
            return 0.0
        return math.log(content.total / content.count(record)) / SHARPNESS

    def is_unclear(self, moment: Moment) -> bool:
        """Whether a moment alone leaves a match unclear; False where nothing is calibrated."""
        content = self.scope.content
        if content.encoder.calibration is None or self.scope.options.find.head is not None:
            return False
        prior = self.question.prior[moment.video]
        return moment.score < content.encoder.calibration.threshold(UNCLEAR, prior, content.total)
