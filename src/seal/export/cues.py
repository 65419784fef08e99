"""Moments as subtitles (SubRip) and as chapters of a player (WebVTT)."""

from __future__ import annotations

from collections.abc import Mapping

from seal.errors import OptionError
from seal.results import Found
from seal.store import VideoRecord
from seal.types import Moment
from seal.words import Cue
from seal.words import export as subtitles


def srt(found: Found, videos: Mapping[str, VideoRecord]) -> bytes:
    """A SubRip file: see `_file`."""
    return _file(found, videos, "srt")


def vtt(found: Found, videos: Mapping[str, VideoRecord]) -> bytes:
    """A WebVTT file, which a player takes for chapters: see `_file`."""
    return _file(found, videos, "vtt")


def title(found: Found, rank: int, moment: Moment) -> str:
    """One line about a moment: the words by which it was found, or else the query."""
    said = f'"{moment.text}"' if moment.text else found.query
    return f"{' '.join(said.split())} (rank {rank}, score {moment.score:.3f})"


def _file(found: Found, videos: Mapping[str, VideoRecord], form: str) -> bytes:
    """A cue for each moment, in order of time. Times count from the first picture, as players do.

    Raises OptionError for moments of several videos.
    """
    names = {moment.video for moment in found.moments}
    if len(names) > 1:
        raise OptionError(
            f"a .{form} file is about one video, and these moments are of {len(names)}: export each"
            " video by itself, or as .csv, .edl or .otio"
        )
    cues = [
        Cue(
            moment.span.start_s - videos[moment.video].start_s,
            moment.span.end_s - videos[moment.video].start_s,
            title(found, rank, moment),
        )
        for rank, moment in enumerate(found.moments, 1)
    ]
    cues.sort(key=lambda cue: (cue.start_s, cue.end_s))
    return subtitles.render(cues, form).encode("utf-8", "replace")
