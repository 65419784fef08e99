"""The subtitles of a video: in files beside it, and inside it."""

from __future__ import annotations

from pathlib import Path

from seal.config import SubtitleOptions
from seal.words.cue import Transcript


def find(source: str | Path, options: SubtitleOptions, duration_s: float | None) -> Transcript:
    """The subtitles of a video; without cues where there are none.

    `duration_s` is the length of the video, where it is known.
    """
    return Transcript(())
