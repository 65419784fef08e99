"""One stretch of words with its times, and the interfaces of what hears and reads."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seal import backends
from seal.errors import OptionError
from seal.types import Box, Float32, UInt8


@dataclass(frozen=True, slots=True)
class Word:
    """One word and when it is said, in seconds on the clock of its video."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """A stretch of words, as a subtitle file or a speech recogniser gives it.

    Raises OptionError for times that are not finite or run backwards.
    """

    start_s: float
    """Seconds on the clock of its video."""
    end_s: float
    text: str
    """Plain text in one line, without markup."""
    words: tuple[Word, ...] = ()
    """The words of `text` with their times, where the source gives them; otherwise empty."""

    def __post_init__(self) -> None:
        finite = math.isfinite(self.start_s) and math.isfinite(self.end_s)
        if not finite or self.end_s < self.start_s:
            raise OptionError(
                f"a cue needs finite times that run forward, got {self.start_s} to {self.end_s}"
            )


@dataclass(frozen=True)
class Transcript:
    """All words of a video or of a stretch of it."""

    cues: tuple[Cue, ...]
    """In order of their start."""
    language: str = ""
    """ISO 639-1, such as "en"; empty if it is not known."""
    origin: str = ""
    """What the cues were read from, as a person names it: a file name, a stream, a model."""
    fingerprint: str = ""
    """Identifies the content: part of the key under which speech tokens are stored."""
    notes: tuple[str, ...] = field(default=())
    """What a user should know, each a sentence: cues that were left out, other languages."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text in a picture."""

    text: str
    box: Box
    score: float
    """How sure the back end is of the text, in [0, 1]."""


class Transcriber(ABC):
    """Sound to words."""

    fingerprint: str
    """Identifies algorithm, weights and options; part of the key under which tokens are stored."""
    rate_hz: int = 16_000
    """Samples a second of the sound that it takes."""

    @abstractmethod
    def transcribe(self, sound: Float32, language: str | None = None) -> Transcript:
        """The words of mono `sound` [n] in [-1, 1]; times are seconds from its start.

        Silence, music and noise have no words. Without a `language` (ISO 639-1) it is detected.
        Raises OptionError for anything else than such sound.
        """


class TextReader(ABC):
    """Pictures to the lines of text in them."""

    fingerprint: str
    """Identifies algorithm, weights and options; part of the key under which tokens are stored."""

    @abstractmethod
    def read(self, image: UInt8) -> Sequence[Line]:
        """The lines of one RGB picture [height, width, 3], from top to bottom."""


def check_sound(sound: Float32) -> None:
    """OptionError unless it is mono sound, float32 [n] without NaN or infinity."""
    if sound.dtype != np.float32 or sound.ndim != 1:
        raise OptionError(f"sound must be float32 [n], got {sound.dtype} {list(sound.shape)}")
    if not np.isfinite(sound).all():
        raise OptionError("sound must be finite numbers, got NaN or infinity in it")


def load_transcriber(options: Any) -> Transcriber | None:
    """What these options of the stage `transcribe` describe; None for the back end `none`.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    if options.backend == "none":
        return None
    transcriber: Transcriber = backends.make("transcribe", options, Transcriber)
    return transcriber


def load_reader(options: Any) -> TextReader | None:
    """What these options of the stage `read` describe; None for the back end `none`.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    if options.backend == "none":
        return None
    reader: TextReader = backends.make("read", options, TextReader)
    return reader
