"""Speech tokens: what is said, a sentence each, from subtitles or a speech recogniser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from seal.config import Options, deciding
from seal.decompose.draft import Draft
from seal.decompose.maker import Maker, Models, PartContext
from seal.kinds import SPEECH
from seal.types import WHOLE_FRAME, Float64
from seal.video import Frame
from seal.words import Cue, Transcript

TICK = Fraction(1, 1000)
"""Subtitles have times in milliseconds; the time base of a video may be its frame interval."""


class Speech(Maker):
    """One token for each sentence of the part."""

    needs_frames = False

    def __init__(self, heard: Callable[[], Sequence[Cue]]) -> None:
        self._heard = heard

    @classmethod
    def of(cls, part: PartContext) -> Speech:
        return cls(part.heard)

    @classmethod
    def deciding(
        cls, options: Options, models: Models, subtitles: Transcript | None
    ) -> list[Any] | None:
        if subtitles is not None and subtitles.cues:
            return [deciding(options.speech), subtitles.fingerprint]
        if models.transcriber is not None:
            return [
                deciding(options.speech),
                models.transcriber.fingerprint,
                deciding(options.transcribe),
            ]
        return None

    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        return []

    def end(self) -> list[Draft]:
        return [
            Draft(
                kind=SPEECH,
                pts=(_ticks(cue.start_s), _ticks(cue.end_s)),
                box=WHOLE_FRAME,
                score=1.0,
                track=_word_times(cue),
                text=cue.text,
                tick=TICK,
            )
            for cue in self._heard()
        ]


def _ticks(time_s: float) -> int:
    return round(time_s / TICK)


def _word_times(cue: Cue) -> Float64:
    """[words, 5] the start of each word in seconds, and the whole frame."""
    times_s = np.array([word.start_s for word in cue.words], np.float64).reshape(-1, 1)
    return np.hstack([times_s, np.tile(np.array(WHOLE_FRAME), (len(times_s), 1))])
