"""Text tokens: text in the picture, for as long as it stays.

A reader takes a second for a picture, so that few are read: one every `text.interval_s` while
anything changes, and one where text seems to appear or change. What was read is followed in the
small analysed frames, which tell when it came and when it went.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from seal.config import Options, TextOptions, deciding
from seal.decompose.draft import Draft
from seal.decompose.lettering import Look, appeared
from seal.decompose.lines import FollowedLine, match
from seal.decompose.maker import Maker, Models, PartContext
from seal.kinds import TEXT
from seal.types import Box, Float32
from seal.video import Frame
from seal.words import TextReader, Transcript
from seal.words.alike import joined
from seal.words.layout import contained, paragraphs

# Raise it when the same readings give other tokens than before: stored ones are made anew.
_VERSION = 1
_SAVED = 6.0
"""So many readings are at hand for changes at most; one comes every `interval_s`."""
_APART_S = 0.35
"""The least time between two readings: what changes faster is in one of them."""
_SETTLES_S = 0.6
"""A picture that changes is read when it has come to rest, or after this time: while one text fades
into another, letters are read that neither has."""
_REMEMBERED = 2.0
"""Frames of so many intervals are kept, in which the beginning of a text is looked for."""
_TOGETHER_S = 0.5
"""Lines that come and go within this time of each other are one text."""
_READ_AGAIN = 1 / 3
"""A text was misread if fewer of the readings since it came have found it."""
_SURE = 0.7
"""A text that was read only once counts if the reading is surer than this."""


class Writing(Maker):
    """One token for each paragraph of text that stays."""

    def __init__(self, options: TextOptions, reader: TextReader) -> None:
        self._options = options
        self._reader = reader
        self._looks: deque[Look] = deque()
        self._followed: list[FollowedLine] = []
        self._read_at: Look | None = None
        """The frame that was read last."""
        self._shares: Float32 = np.empty((0, 0), np.float32)
        self._saved = _SAVED
        self._is_due = True
        self._wanted_s: float | None = None
        """Since when a reading is wanted, of a picture that has come to rest."""
        self._aspect = 1.0
        self.pictures_read = 0

    @classmethod
    def of(cls, part: PartContext) -> Writing:
        assert part.models.reader is not None, "without a reader the kind has no key"
        return cls(part.options.text, part.models.reader)

    @classmethod
    def deciding(
        cls, options: Options, models: Models, subtitles: Transcript | None
    ) -> list[Any] | None:
        if models.reader is None:
            return None
        return [
            _VERSION,
            deciding(options.text),
            models.reader.fingerprint,
            deciding(options.read),
        ]

    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        """The text tokens that have ended; it reads `frame` if the text in it may have changed."""
        look = Look.of(frame)
        before = self._looks[-1] if self._looks else None
        self._looks.append(look)
        self._aspect = frame.image.shape[1] / frame.image.shape[0]
        changed = [each.follow(look) for each in self._followed]
        self._is_due |= cut or any(changed)
        if before is not None:
            passed_s = look.time_s - before.time_s
            self._saved = min(_SAVED, self._saved + passed_s / self._options.interval_s)
            self._is_due |= appeared(look.stroke_shares(before), self._shares)
            shares = look.stroke_shares()
            if shares.shape == self._shares.shape:
                # Text that takes the place of other text appears as well.
                self._shares = np.minimum(self._shares, shares)
        drafts = []
        if self._wants(look):
            self._wanted_s = look.time_s if self._wanted_s is None else self._wanted_s
            is_at_rest = before is None or look.is_like(before)
            if is_at_rest or look.time_s - self._wanted_s >= _SETTLES_S:
                drafts = self._read(frame, look)
        reach_s = _REMEMBERED * self._options.interval_s
        while look.time_s - self._looks[0].time_s > reach_s:
            self._looks.popleft()
        return drafts

    def end(self) -> list[Draft]:
        """The text tokens that last until the end of the part."""
        ended, self._followed = self._followed, []
        return self._drafts(ended)

    def _wants(self, look: Look) -> bool:
        if self._read_at is None:
            return True
        since_s = look.time_s - self._read_at.time_s
        if since_s >= self._options.interval_s and not look.is_like(self._read_at):
            return True
        return self._is_due and since_s >= _APART_S and self._saved >= 1

    def _read(self, frame: Frame, look: Look) -> list[Draft]:
        self.pictures_read += 1
        since_s = math.inf if self._read_at is None else look.time_s - self._read_at.time_s
        if since_s < self._options.interval_s:
            self._saved -= 1
        self._read_at, self._is_due, self._wanted_s = look, False, None
        self._shares = look.stroke_shares()
        lines = [
            line
            for line in self._reader.read(frame.larger(self._options.short_side_px))
            if line.score >= self._options.min_score and any(map(str.isalnum, line.text))
        ]
        misses = {id(each): each.misses for each in self._followed}
        new = [FollowedLine(line, look) for line in match(self._followed, lines, look)]
        earlier = list(self._looks)[:-1]
        ended = []
        for each in self._followed:
            is_missed = each.misses > misses[id(each)]
            is_replaced = any(contained(each.box, other.box) >= 0.5 for other in new)
            if is_missed and (is_replaced or not each.is_there):
                each.leave()
                ended.append(each)
        for line in new:
            rivals = [each for each in ended if contained(each.box, line.box) >= 0.5]
            line.trace_back(earlier, rivals)
            for rival in rivals:
                if rival.end_s >= line.start_s and line.start_pts > rival.read_pts:
                    rival.end_pts = min(rival.end_pts, line.start_pts)
        self._followed = [each for each in self._followed if each not in ended] + new
        return self._drafts(ended)

    def _drafts(self, ended: list[FollowedLine]) -> list[Draft]:
        found = [each for each in ended if _is_text(each)]
        groups: list[list[FollowedLine]] = []
        for each in sorted(found, key=lambda each: (each.start_pts, each.end_pts)):
            for group in groups:
                first = group[0]
                is_same_time = (
                    abs(each.start_s - first.start_s) <= _TOGETHER_S
                    and abs(each.end_s - first.end_s) <= _TOGETHER_S
                )
                if is_same_time:
                    group.append(each)
                    break
            else:
                groups.append([each])
        drafts = []
        for group in groups:
            drafts += [self._draft(each) for each in paragraphs(group, self._aspect)]
        return drafts

    def _draft(self, lines: list[FollowedLine]) -> Draft:
        best = [line.best for line in lines]
        longest = max(lines, key=lambda line: line.end_pts - line.start_pts)
        boxes = [line.union for line in lines]
        return Draft(
            kind=TEXT,
            pts=(longest.start_pts, longest.end_pts),
            box=Box(
                min(box.x0 for box in boxes),
                min(box.y0 for box in boxes),
                max(box.x1 for box in boxes),
                max(box.y1 for box in boxes),
            ),
            score=float(np.mean([vote.score for vote in best])),
            shown=[longest.best.pts],
            text=joined([vote.text for vote in best]),
        )


def _is_text(line: FollowedLine) -> bool:
    if line.hits == 1 and line.best.score < _SURE:
        return False
    return line.hits >= _READ_AGAIN * (line.hits + line.misses)
