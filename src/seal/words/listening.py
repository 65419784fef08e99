"""What is said in a source while it is read, by a speech recogniser.

The sound is heard in stretches that end in pauses, so that no word is lost or doubled where two
stretches meet. In memory are two minutes of sound and the words that nobody has asked for yet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from seal.config import SpeechOptions
from seal.types import Float32
from seal.video.sound import RATE_HZ, LostSound, Sound, add_lost
from seal.words.cue import Cue, Transcriber, Transcript, Word
from seal.words.hearing import NEAR_S, PIECE_S, Heard, later, quietest_s
from seal.words.sentences import has_ended, sentences

_LEAST_S = 2 * NEAR_S
"""Shorter stretches wait for more sound: in its second half a stretch should have a pause."""
_LATE_S = 1.0
"""Sound may come so much later than the pictures beside it. The end of a stretch does not depend on
what of it has come."""
_SILENT_S = 10.0
"""Sound that is further behind the pictures than this has ended, or pauses."""
_BLOCK = RATE_HZ


class Listener:
    """Takes sound as it comes and gives what is said in it; a row of sound may be placed anew."""

    def __init__(
        self, transcriber: Transcriber, from_s: float = -math.inf, until_s: float = math.inf
    ) -> None:
        """Only sound at from_s <= time < until_s is heard."""
        self._transcriber = transcriber
        self.heard_s = from_s
        """Sound before this time has been heard."""
        self.until_s = until_s
        """Nothing from this time on is heard."""
        self._samples = np.zeros(round((PIECE_S + 2 * NEAR_S) * RATE_HZ) + _BLOCK, np.float32)
        self._first = 0
        """The place of the first of the samples; place i is at i / RATE_HZ."""
        self._count = 0
        """How many samples there are."""
        self._cues = list[Cue]()
        self._lost = list[LostSound]()
        self._languages = Counter[str]()
        self.is_over = False
        """Whether no sound is to come."""

    def add(self, sound: Sound) -> None:
        """The next sound."""
        for lost in sound.lost:
            if self.heard_s < lost.end_s and lost.start_s < self.until_s:
                add_lost(self._lost, lost)
        place = round(sound.start_s * RATE_HZ)
        for start in range(0, len(sound.samples), _BLOCK):
            self._add(place + start, sound.samples[start : start + _BLOCK])

    def _add(self, place: int, row: Float32) -> None:
        bounds = [self.heard_s, self.until_s]
        first, end = (
            int(np.clip(np.ceil(bound_s * RATE_HZ), place, place + len(row))) - place
            for bound_s in bounds
        )
        row, place = row[first:end], place + first
        if not len(row):
            return
        if self._count and place - self._first - self._count > PIECE_S * RATE_HZ:
            self._hear(self._count)
        elif self._first - place > PIECE_S * RATE_HZ:
            # What is there had wrong stamps.
            self._samples[: self._count] = self._count = 0
        if not self._count:
            self._first = place
        while place + len(row) - self._first > len(self._samples):
            self._hear(self._cut(PIECE_S + NEAR_S, 2 * NEAR_S))
        at = max(0, place - self._first)
        row = row[max(0, self._first - place) :]
        self._samples[at : at + len(row)] = row
        self._count = max(self._count, at + len(row))

    def unheard_s(self, until_s: float) -> float:
        """From when on sound is still to be heard, where the pictures have come by `until_s`."""
        from_s = max(self.heard_s, until_s - _SILENT_S)
        if self._count:
            from_s = self._first / RATE_HZ
        return min([from_s, *(cue.start_s for cue in self._cues)])

    def end(self) -> None:
        """No sound is to come."""
        self.is_over = True

    def heard(self, until_s: float) -> Heard:
        """What is said before about `until_s`, by which the pictures have come, and was not given
        before; once the sound has ended, all of it."""
        count = self._ready(until_s)
        if count:
            self._hear(count)
        if self.is_over:
            until_s = math.inf
        cues = tuple(cue for cue in self._cues if cue.start_s < until_s)
        self._cues = [cue for cue in self._cues if cue.start_s >= until_s]
        lost = tuple(each for each in self._lost if each.start_s < until_s)
        self._lost = [each for each in self._lost if each.start_s >= until_s]
        language = max(self._languages, key=lambda name: self._languages[name], default="")
        return Heard(cues, lost, language if cues else "")

    def skip(self, until_s: float) -> None:
        """Go on behind what `heard` would give."""
        self._forget(self._ready(until_s))
        self._cues = [cue for cue in self._cues if cue.start_s >= until_s]
        self._lost = [each for each in self._lost if each.start_s >= until_s]

    def _ready(self, until_s: float) -> int:
        """How many samples can be heard by now."""
        length_s = self._count / RATE_HZ
        due_s = until_s - self._first / RATE_HZ
        if self.is_over or length_s < due_s - _SILENT_S:
            return self._count
        length_s = min(length_s, due_s - _LATE_S)
        return self._cut(length_s, min(2 * NEAR_S, length_s / 2)) if length_s >= _LEAST_S else 0

    def _cut(self, end_s: float, length_s: float) -> int:
        """The quietest place in the last `length_s` before a time from the start of the samples."""
        first, end = round((end_s - length_s) * RATE_HZ), round(end_s * RATE_HZ)
        return first + round(quietest_s(self._samples[first:end], RATE_HZ, length_s) * RATE_HZ)

    def _hear(self, count: int) -> None:
        """Hear the first `count` samples, and forget them."""
        start_s = self._first / RATE_HZ
        said = self._transcriber.transcribe(self._samples[:count].copy())
        self._cues += (later(cue, start_s) for cue in said.cues)
        self._languages[said.language] += len(said.cues)
        self._forget(count)

    def _forget(self, count: int) -> None:
        rest = max(0, self._count - count)
        self._samples[:rest] = self._samples[count : self._count]
        self._samples[rest : self._count] = 0
        self._first, self._count = self._first + count, rest
        if count:
            self.heard_s = self._first / RATE_HZ


class SpokenWindows:
    """What is said, a sentence each, window by window: from subtitles, or from the sound.

    A sentence of the subtitles belongs to the window in which it begins. One that is heard and may
    go on at the end of a window comes with the next one.
    """

    def __init__(
        self,
        options: SpeechOptions,
        subtitles: Transcript,
        transcriber: Transcriber | None,
        saved: Mapping[str, Any],
    ) -> None:
        """Without subtitles the sound is heard, if there is a `transcriber`. `saved` is what `save`
        gave before; empty at first. Raises what Python does for other things than that."""
        self._options = options
        self._sentences = sentences(subtitles.cues, options)
        self._said_s = float(saved.get("said_s", saved.get("reached_s", -math.inf)))
        self._begun = tuple(_cue(**row) for row in saved.get("begun", []))
        self.language = subtitles.language or str(saved.get("language", ""))
        """ISO 639-1; empty where it is not known."""
        self.lost: list[LostSound] = []
        """Sound that could not be decoded, as it becomes known."""
        self.listener: Listener | None = None
        """What has to be given the sound; None where it is not heard."""
        if transcriber is not None and not subtitles.cues:
            self.listener = Listener(transcriber, self._said_s)

    def before(self, until_s: float) -> tuple[Cue, ...]:
        """The sentences before the end of a window that have not been given yet."""
        if self.listener is None:
            begun = self._said_s
            self._said_s = max(begun, until_s)
            return tuple(cue for cue in self._sentences if begun <= cue.start_s < until_s)
        heard, is_over = self.listener.heard(until_s), self.listener.is_over
        self.lost += heard.lost
        self.language = heard.language or self.language
        said = sentences([*self._begun, *heard.cues], self._options)
        goes_on = bool(said) and not is_over and self._may_go_on(said[-1], self.listener.heard_s)
        self._begun = said[-1:] if goes_on else ()
        return said[:-1] if goes_on else said

    def _may_go_on(self, cue: Cue, heard_s: float) -> bool:
        return not has_ended(cue.text) and heard_s - cue.end_s < self._options.pause_s

    def save(self, until_s: float) -> dict[str, Any]:
        """What goes on from here needs, as JSON; pictures have come by `until_s`."""
        said_s = max(self._said_s, until_s)
        return {
            "said_s": said_s if self.listener is None else self.listener.unheard_s(until_s),
            "begun": [asdict(cue) for cue in self._begun],
            "language": self.language,
        }


def _cue(start_s: float, end_s: float, text: str, words: Iterable[Mapping[str, Any]]) -> Cue:
    said = (Word(float(at["start_s"]), float(at["end_s"]), str(at["text"])) for at in words)
    return Cue(float(start_s), float(end_s), str(text), tuple(said))
