"""What is said in one part of a video, by a speech recogniser.

Parts are cut where the pictures allow it, which may be within a word. So each edge between two
parts is moved to the quietest place near it. Both parts find that place by reading the same stretch
of sound anew, so that no word is lost or doubled, whichever processes work on them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seal.config import VideoOptions
from seal.types import Float32
from seal.video.audio import SoundReader, open_sound
from seal.video.sound import LostSound
from seal.words.cue import Cue, Transcriber

NEAR_S = 5.0
"""An edge is moved by this much at most."""
PIECE_S = 120.0
"""Sound is heard in pieces of about this length, whatever the length of a part: they are memory."""
_PAUSE_S = 0.3
"""The quietest place is in the middle of the quietest stretch of this length."""
_STEP_S = 0.02
SILENT = "nothing is heard: there is no sound that FFmpeg decodes"
"""The note on a source without sound."""


@dataclass(frozen=True)
class Heard:
    """What is said in one part of a video."""

    cues: tuple[Cue, ...] = ()
    """In order of time, which is that of the video."""
    lost: tuple[LostSound, ...] = ()
    """Stretches of the part whose sound could not be decoded."""
    language: str = ""
    """ISO 639-1 of most of it; empty where nothing is said."""


def hear(
    transcriber: Transcriber,
    source: str | Path,
    options: VideoOptions,
    edges_s: Sequence[float],
    number: int,
    until_s: float = math.inf,
) -> Heard:
    """What is said in part `number` of a video whose parts begin at `edges_s`.

    The first part has what is said before the first picture as well, and the last part all that is
    said before `until_s`. Raises VideoError if the source cannot be opened.
    """
    reader = open_sound(source, options)
    if reader is None:
        return Heard()
    cues, lost, languages = list[Cue](), list[LostSound](), Counter[str]()
    with reader:
        start_s, end_s = _bounds(reader, edges_s, number, until_s)
        for piece_s, piece_end_s in _pieces(reader, start_s, end_s):
            sound = reader.read(piece_s, piece_end_s)
            samples = np.trim_zeros(sound.samples, "b") if sound.is_end else sound.samples
            said = transcriber.transcribe(samples)
            cues += (later(cue, piece_s) for cue in said.cues)
            languages[said.language] += len(said.cues)
            lost += sound.lost
            if sound.is_end:
                break
    language = max(languages, key=lambda name: languages[name], default="") if cues else ""
    return Heard(tuple(cues), tuple(lost), language)


def quietest_s(sound: Float32, rate_hz: int, near_s: float) -> float:
    """Where the sound is quietest, in seconds from its start; of several places the one nearest to
    `near_s`. Without sound it is `near_s`."""
    step = round(_STEP_S * rate_hz)
    count = len(sound) // step
    width = min(count, round(_PAUSE_S / _STEP_S))
    if width < 1:
        return near_s
    # Differences of neighbours: voices stand out against hum and wind.
    steep = np.diff(sound, prepend=sound[:1]).astype(np.float64)
    power = np.square(steep[: count * step]).reshape(count, step).sum(1)
    # Sums of integers are exact: equally quiet places are equal.
    total = np.concatenate([[0], np.cumsum(np.round(power * 1e9).astype(np.int64))])
    loudness = total[width:] - total[:-width]
    places = (np.arange(len(loudness)) + width / 2) * _STEP_S
    best = places[loudness == loudness.min()]
    return float(best[np.argmin(np.abs(best - near_s))])


def _bounds(
    reader: SoundReader, edges_s: Sequence[float], number: int, until_s: float
) -> tuple[float, float]:
    """Where the sound of a part begins and ends; infinity for the end of the sound."""
    begins = number == 0
    start_s = min(edges_s[0], reader.start_s) if begins else _moved(reader, edges_s, number)
    if number + 1 < len(edges_s):
        until_s = min(until_s, _moved(reader, edges_s, number + 1))
    return start_s, max(start_s, until_s)


def _moved(reader: SoundReader, edges_s: Sequence[float], number: int) -> float:
    """The edge before part `number`, at the quietest place near it. Two edges never cross."""
    edge_s = edges_s[number]
    around = [edges_s[number - 1], *edges_s[number + 1 : number + 2]]
    return _quiet(reader, edge_s, min([NEAR_S, *(0.4 * abs(other - edge_s) for other in around)]))


def _quiet(reader: SoundReader, edge_s: float, near_s: float) -> float:
    sound = reader.read(edge_s - near_s, edge_s + near_s)
    return sound.start_s + quietest_s(sound.samples, sound.rate_hz, near_s)


def _pieces(reader: SoundReader, start_s: float, end_s: float) -> Iterator[tuple[float, float]]:
    """The stretch in pieces, without end where it has none."""
    while end_s - start_s > PIECE_S + 2 * NEAR_S:
        cut_s = _quiet(reader, start_s + PIECE_S, NEAR_S)
        yield start_s, cut_s
        start_s = cut_s
    if end_s > start_s:
        yield start_s, end_s


def later(cue: Cue, shift_s: float) -> Cue:
    """The cue with all its times shifted."""
    words = tuple(
        replace(word, start_s=word.start_s + shift_s, end_s=word.end_s + shift_s)
        for word in cue.words
    )
    return replace(cue, start_s=cue.start_s + shift_s, end_s=cue.end_s + shift_s, words=words)
