"""Cues to sentences, the size of a speech token."""

from __future__ import annotations

from collections.abc import Iterable

from seal.config import SpeechOptions
from seal.words.cue import Cue


def sentences(cues: Iterable[Cue], options: SpeechOptions) -> tuple[Cue, ...]:
    """The words of `cues`, in order of time, a sentence each."""
    return tuple(cues)
