"""What is said in each part of a video: no word is lost or doubled where two parts meet."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.config import Options, VideoOptions
from seal.decompose import Instances
from seal.ingest import index
from seal.store import Store
from seal.words import hearing
from seal.words.hearing import SILENT, Heard, hear, quietest_s
from sounding import write_sounding
from synthetic import write_video
from tiny_transcribers import Beeps, beeps

OPTIONS = VideoOptions()
RATE_HZ = 16_000
LENGTH_S = 40.0
ALL = [f"beep{400 + 10 * number}" for number in range(40)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return write_sounding(path, LENGTH_S, signal=beeps, gop=10)


def heard(film: Path, edges_s: list[float], number: int) -> Heard:
    return hear(Beeps(), film, OPTIONS, edges_s, number)


def words(film: Path, edges_s: list[float]) -> list[str]:
    parts = [heard(film, edges_s, number) for number in range(len(edges_s))]
    return [cue.text for part in parts for cue in part.cues]


@given(st.lists(st.floats(3.0, 12.0), min_size=1, max_size=3))
@settings(max_examples=8)
def test_no_word_is_lost_or_doubled_wherever_the_edges_are(film: Path, steps: list[float]) -> None:
    assert words(film, [0.0, *np.cumsum(steps).tolist()]) == ALL


def test_without_moving_the_edge_a_word_is_cut(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "NEAR_S", 0.0)
    assert words(film, [0.0, 20.7]) != ALL
    monkeypatch.undo()
    assert words(film, [0.0, 20.7]) == ALL


def test_times_are_those_of_the_video(film: Path) -> None:
    cues = [cue for number in (0, 1) for cue in heard(film, [0.0, 20.7], number).cues]
    assert [cue.start_s for cue in cues] == pytest.approx(np.arange(40) + 0.5, abs=0.03)
    assert all(cue.words[0].start_s == cue.start_s for cue in cues)


def test_long_parts_are_heard_in_pieces(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "PIECE_S", 7.0)
    monkeypatch.setattr(hearing, "NEAR_S", 1.0)
    longest = []

    class Measured(Beeps):
        def transcribe(self, sound, language=None):
            longest.append(len(sound) / RATE_HZ)
            return super().transcribe(sound, language)

    part = hear(Measured(), film, OPTIONS, [0.0], 0)
    assert [cue.text for cue in part.cues] == ALL
    assert len(longest) > 3
    assert max(longest) <= 7 + 4 * 1.0


def test_sound_after_the_last_picture_is_heard_and_a_limit_holds(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "film.mkv", 3.0, end_s=LENGTH_S, signal=beeps)
    assert [cue.text for cue in heard(path, [0.0], 0).cues] == ALL
    part = hear(Beeps(), path, OPTIONS, [0.0], 0, until_s=10.3)
    assert [cue.text for cue in part.cues] == ALL[:10]


def test_sound_before_the_first_picture_is_heard(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "film.mkv", 5.0, video_start_s=4.2, end_s=9.0, signal=beeps)
    assert [cue.text for cue in heard(path, [4.2], 0).cues] == ALL[:9]


def test_damaged_sound_is_told_of(tmp_path: Path) -> None:
    path = write_sounding(
        tmp_path / "film.mkv", 20.0, codec="flac", signal=beeps, faults=range(40, 44)
    )
    first, second = (heard(path, [0.0, 10.2], number) for number in (0, 1))
    assert len(first.lost) == 1
    assert second.lost == ()
    assert len([*first.cues, *second.cues]) >= 17


@given(st.floats(0.2, 9.8), st.floats(0.4, 1.5), st.integers(0, 99))
def test_the_quietest_place_is_in_the_pause(at_s: float, pause_s: float, seed: int) -> None:
    times_s = np.arange(10 * RATE_HZ) / RATE_HZ
    sound = np.random.default_rng(seed).uniform(-0.5, 0.5, len(times_s)).astype(np.float32)
    inside = np.abs(times_s - at_s) < pause_s / 2
    sound[inside] *= 0.01
    assert abs(quietest_s(sound, RATE_HZ, 5.0) - at_s) <= max(0.0, pause_s / 2 - 0.1) + 0.06


def test_of_equally_quiet_places_the_nearest_is_taken() -> None:
    silence = np.zeros(10 * RATE_HZ, np.float32)
    assert quietest_s(silence, RATE_HZ, 5.0) == pytest.approx(5.0, abs=0.02)
    assert quietest_s(silence[:100], RATE_HZ, 5.0) == 5.0


def indexed(film: Path, folder: Path, jobs: int) -> list[tuple[str, float, str]]:
    store = Store(folder, create=True)
    options = Options.load(settings=["video.part_s=9", "video.rate_hz=1", "video.short_side_px=32"])
    record = index(film, store, options, jobs=jobs, instances=Instances(transcriber=Beeps()))
    tokens = store.tokens(record.id, kinds=["speech"])
    return [
        (str(tokens.text[i]), float(tokens.start_s[i]), str(tokens.ids[i]))
        for i in range(len(tokens))
    ]


def words_of(tokens: list[tuple[str, float, str]]) -> list[str]:
    """The words in order of time, however many are a sentence."""
    in_order = sorted(tokens, key=lambda token: token[1])
    return " ".join(text for text, _, _ in in_order).split()


def test_any_number_of_processes_gives_the_same_tokens(film: Path, tmp_path: Path) -> None:
    alone = indexed(film, tmp_path / "alone", 1)
    assert words_of(alone) == ALL
    assert indexed(film, tmp_path / "two", 2) == alone


def test_speech_under_a_picture_that_stays_is_heard(tmp_path: Path) -> None:
    """Pictures at 0 and 35 s: in the parts between them and after them there is none."""
    film = write_sounding(
        tmp_path / "film.mkv", 70.0, fps=Fraction(1, 35), gop=99, end_s=LENGTH_S, signal=beeps
    )
    assert words_of(indexed(film, tmp_path / "store", 1)) == ALL


def test_a_film_without_sound_is_told_of(tmp_path: Path) -> None:
    mute = write_video(tmp_path / "mute.mp4", range(0, 1000, 100))
    instances = Instances(transcriber=Beeps())
    record = index(
        mute, Store(tmp_path / "store", create=True), Options.load(), instances=instances
    )
    assert [text for _, text in record.notes] == [SILENT]


def test_a_note_about_subtitles_goes_when_they_go(tmp_path: Path) -> None:
    film, beside = tmp_path / "film.mp4", tmp_path / "film.srt"
    write_video(film, range(0, 1000, 100))
    beside.write_bytes(bytes(range(256)) * 8)
    store = Store(tmp_path / "store", create=True)
    instances = Instances(transcriber=Beeps())

    def notes() -> list[str]:
        record = index(film, store, Options.load(), instances=instances)
        return [text for _, text in record.notes]

    told = notes()
    assert told[1:] == [SILENT]
    assert told[0].startswith("film.srt")
    assert notes() == told
    beside.unlink()
    assert notes() == notes() == [SILENT]
