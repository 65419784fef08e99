"""What every speech recogniser promises, checked on every one of the table of back ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seal import backends
from seal.config import VideoOptions, WhisperTranscribe
from seal.errors import OptionError
from seal.types import Float32
from seal.video.audio import open_sound
from seal.words.cue import Transcriber, load_transcriber
from sounding import hum
from tiny_transcribers import Beeps, beeps, whisper_folder

RATE_HZ = 16_000
TIMES_S = np.arange(12 * RATE_HZ) / RATE_HZ
NAMES = [name for name in backends.names("transcribe") if name != "none"]


def test_every_back_end_is_tried() -> None:
    assert NAMES == ["whisper"]
    assert load_transcriber(backends.default_options("transcribe", "none")) is None


@pytest.fixture(scope="module", params=[*NAMES, "made up"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def transcriber(name: str) -> Transcriber:
    if name == "made up":
        return Beeps()
    loaded = load_transcriber(WhisperTranscribe(weights=str(whisper_folder()), device="cpu"))
    assert loaded is not None
    return loaded


@pytest.fixture(scope="module")
def speech(name: str, shared_data: Path) -> Float32:
    """Twelve seconds of something to hear."""
    if name == "made up":
        return beeps(TIMES_S).astype(np.float32)
    sound = open_sound(shared_data / "footage" / "words" / "nasa-webb.mp4", VideoOptions())
    assert sound is not None
    with sound:
        return sound.read(0.0, 12.0).samples


def noise(slope: float) -> Float32:
    """Noise whose amplitude falls with this power of the frequency."""
    spectrum = np.fft.rfft(np.random.default_rng(7).standard_normal(len(TIMES_S)))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** slope
    rows = np.fft.irfft(spectrum, len(TIMES_S))
    return (0.5 * rows / np.abs(rows).max()).astype(np.float32)


def chords() -> Float32:
    """Three tones that change twice a second: as near to music as a formula is."""
    shift = 2 ** (np.floor(2 * TIMES_S) % 12 / 12)
    tones = [np.sin(2 * np.pi * hz * shift * TIMES_S) for hz in (220.0, 277.2, 329.6)]
    return (0.2 * np.sum(tones, axis=0)).astype(np.float32)


WORDLESS = {
    "empty": np.zeros(0, np.float32),
    "one sample": np.ones(1, np.float32),
    "a moment": noise(0)[:100],
    "silence": np.zeros(12 * RATE_HZ, np.float32),
    "nearly silence": 1e-4 * noise(0),
    "white noise": noise(0),
    "pink noise": noise(0.5),
    "brown noise": noise(1),
    "a tone": (0.5 * np.sin(2 * np.pi * 440 * TIMES_S)).astype(np.float32),
    "chords": chords(),
    "sixty tones": hum(TIMES_S).astype(np.float32),
    "clicks": (TIMES_S % 0.5 < 0.001).astype(np.float32),
}


@pytest.mark.parametrize("kind", WORDLESS)
def test_there_are_no_words_where_nobody_speaks(kind: str, transcriber: Transcriber) -> None:
    cues = transcriber.transcribe(WORDLESS[kind]).cues
    if isinstance(transcriber, Beeps):
        assert all(0 <= cue.start_s <= cue.end_s <= 12 for cue in cues)
    else:
        assert cues == ()


def test_times_are_in_order_and_within_the_sound(transcriber: Transcriber, speech: Float32) -> None:
    cues = transcriber.transcribe(speech).cues
    assert cues
    assert [cue.start_s for cue in cues] == sorted(cue.start_s for cue in cues)
    for cue in cues:
        assert 0 <= cue.start_s <= cue.end_s <= len(speech) / RATE_HZ
        starts_s = [word.start_s for word in cue.words]
        assert starts_s == sorted(starts_s)
        for word in cue.words:
            assert cue.start_s <= word.start_s <= word.end_s <= cue.end_s
            assert isinstance(word.start_s, float)


def test_words_make_up_the_text(transcriber: Transcriber, speech: Float32) -> None:
    for cue in transcriber.transcribe(speech).cues:
        assert cue.text == " ".join(cue.text.split()) != ""
        assert "".join(word.text for word in cue.words) == cue.text.replace(" ", "")


def test_the_same_sound_gives_the_same_words(transcriber: Transcriber, speech: Float32) -> None:
    before = speech.copy()
    first = transcriber.transcribe(speech)
    assert transcriber.transcribe(speech) == first
    np.testing.assert_array_equal(speech, before)


def test_a_view_is_as_good_as_a_copy(transcriber: Transcriber, speech: Float32) -> None:
    view = np.repeat(speech, 2)[::2]
    view.setflags(write=False)
    assert transcriber.transcribe(view) == transcriber.transcribe(speech)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(100, np.float64),
        np.zeros(100, np.int16),
        np.zeros((1, 100), np.float32),
        np.full(100, np.nan, np.float32),
        np.full(100, np.inf, np.float32),
    ],
)
def test_anything_else_than_mono_sound_is_refused(transcriber: Transcriber, wrong: Float32) -> None:
    with pytest.raises(OptionError, match="sound must be"):
        transcriber.transcribe(wrong)


def test_it_has_a_fingerprint(transcriber: Transcriber) -> None:
    assert transcriber.fingerprint
    assert transcriber.rate_hz == RATE_HZ
