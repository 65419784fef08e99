"""The sound of a video is where the clock of its pictures says, whatever the file holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.video import open_video
from seal.video.audio import SoundReader, open_sound
from seal.video.sound import RATE_HZ, Sound
from sounding import hum, lag_s, loudness, write_sounding
from synthetic import write_sound, write_video

OPTIONS = VideoOptions()
FEW_MS = 0.005
AAC = {"codec": "aac", "form": "fltp"}
OPUS = {"codec": "libopus", "form": "flt"}
MP2 = {"codec": "mp2", "form": "s16"}
FORMATS: dict[str, dict[str, Any]] = {
    "aac.mp4": AAC,
    "aac-5.1.mkv": AAC | {"layout": "5.1"},
    "aac.ts": AAC,
    "flac.mkv": {"codec": "flac"},
    "flac-7.1.mkv": {"codec": "flac", "layout": "7.1"},
    "mono.avi": {"layout": "mono"},
    "mp2.ts": MP2,
    "mp3.mp4": {"codec": "libmp3lame", "form": "fltp", "rate_hz": 44_100},
    "opus.mkv": OPUS,
    "opus.webm": OPUS | {"video_codec": "libvpx"},
    "pcm.avi": {},
    "pcm-44.mkv": {"rate_hz": 44_100},
    "pcm-8k.mkv": {"rate_hz": 8000, "layout": "mono"},
    "pcm-8k-8bit.avi": {"codec": "pcm_u8", "form": "u8", "rate_hz": 8000},
    "pcm-96k.mkv": {"codec": "pcm_f32le", "form": "flt", "rate_hz": 96_000},
    "unnamed-channels.mkv": {"layout": "3 channels"},
}
"""The name of a file, and how its sound is encoded."""


def opened(path: Path) -> SoundReader:
    reader = open_sound(path, OPTIONS)
    assert reader is not None
    return reader


def read(path: Path, start_s: float, end_s: float) -> Sound:
    with opened(path) as sound:
        return sound.read(start_s, end_s)


def place(sound: Sound, start_s: float, end_s: float) -> np.ndarray:
    """The samples between two times."""
    first, end = (round((at_s - sound.start_s) * sound.rate_hz) for at_s in (start_s, end_s))
    return sound.samples[first:end]


@pytest.fixture(scope="module", params=FORMATS)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / request.param
    return write_sounding(path, **FORMATS[request.param])


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 5.0), (2.0, 4.5), (3.3, 3.9)])
def test_sound_is_where_the_clock_says(film: Path, start_s: float, end_s: float) -> None:
    with open_video(film, OPTIONS) as video:
        # A transport stream has to begin above 0, with pictures and sound alike.
        shift_s = video.info.start_s
    sound = read(film, start_s + shift_s, end_s + shift_s)
    assert sound.samples.shape == (round((end_s - start_s) * RATE_HZ),)
    assert sound.samples.dtype == np.float32
    assert np.abs(sound.samples).max() <= 1
    assert sound.lost == ()
    # Each encoder has a delay of its own, which AVI cannot state.
    assert abs(lag_s(sound.samples, start_s)) <= FEW_MS


def test_all_of_it_is_there(film: Path) -> None:
    sound = read(film, 0.0, 5.5)
    pieces = sound.samples[RATE_HZ : 5 * RATE_HZ].reshape(-1, RATE_HZ // 10)
    assert min(map(loudness, pieces)) > 0.5 * loudness(sound.samples)


def test_the_same_stretch_is_the_same_whatever_was_read_before(film: Path) -> None:
    with opened(film) as sound:
        first = sound.read(2.0, 3.0)
        sound.read(0.0, 4.0)
        again = sound.read(2.0, 3.0)
    np.testing.assert_array_equal(first.samples, again.samples)
    np.testing.assert_array_equal(read(film, 2.0, 3.0).samples, first.samples)


@pytest.mark.parametrize("name", ["aac.mp4", "flac.mkv", "mp2.ts"])
def test_a_late_start_and_an_early_end_are_silence(name: str, tmp_path: Path) -> None:
    path = write_sounding(tmp_path / name, start_s=1.5, end_s=4.0, **FORMATS[name])
    with open_video(path, OPTIONS) as video:
        shift_s = video.info.start_s
    sound = read(path, shift_s, 6.0 + shift_s)
    assert sound.is_end
    assert loudness(place(sound, shift_s, shift_s + 1.4)) < 1e-3
    assert loudness(place(sound, shift_s + 1.6, shift_s + 3.9)) > 0.1
    assert loudness(place(sound, shift_s + 4.1, shift_s + 6)) < 1e-3
    assert abs(lag_s(place(sound, shift_s + 2, shift_s + 3.5), 2.0)) <= FEW_MS


@pytest.mark.parametrize("name", ["aac.mp4", "pcm-44.mkv", "mp2.ts"])
def test_a_hole_shifts_nothing_after_it(name: str, tmp_path: Path) -> None:
    path = write_sounding(tmp_path / name, holes=[(2.5, 3.5)], **FORMATS[name])
    with open_video(path, OPTIONS) as video:
        shift_s = video.info.start_s
    sound = read(path, shift_s, 5.5 + shift_s)
    assert loudness(place(sound, shift_s + 2.6, shift_s + 3.4)) < 0.02
    for start_s, end_s in ((0.5, 2.4), (3.7, 5.4)):
        assert abs(lag_s(place(sound, shift_s + start_s, shift_s + end_s), start_s)) <= FEW_MS


def test_sound_that_drifts_stays_with_the_clock(tmp_path: Path) -> None:
    """Samples that come a thousandth too fast are 30 ms off after half a minute of counting."""
    path = write_sounding(tmp_path / "drift.mkv", 30.0, drift=0.001)
    sound = read(path, 0.0, 30.0)
    for at_s in np.arange(1.0, 29.0, 1.7):
        assert abs(lag_s(place(sound, at_s, at_s + 0.2), at_s, most_s=0.05)) <= FEW_MS


@pytest.mark.parametrize("name", ["aac.mp4", "opus.mkv", "aac.ts"])
def test_nothing_is_lost_of_the_place_in_an_hour(name: str, tmp_path: Path) -> None:
    """An hour by the stamps: a hole of 58 minutes lies between two pieces of sound."""
    path = write_sounding(
        tmp_path / name,
        4.0,
        end_s=3600.0,
        holes=[(60.0, 3540.0)],
        **(FORMATS[name] | {"rate_hz": 16_000}),
    )
    with open_video(path, OPTIONS) as video:
        shift_s = video.info.start_s
    sound = read(path, shift_s + 3545.0, shift_s + 3548.0)
    assert abs(lag_s(sound.samples, 3545.0)) <= FEW_MS
    assert loudness(read(path, shift_s + 1000.0, shift_s + 1010.0).samples) < 1e-3


@pytest.mark.parametrize("name", ["aac.mp4", "flac.mkv", "mp2.ts"])
def test_damaged_packets_are_silence_and_told(name: str, tmp_path: Path) -> None:
    faults = range(90, 97) if name != "flac.mkv" else range(24, 28)
    path = write_sounding(tmp_path / name, faults=faults, **FORMATS[name])
    with open_video(path, OPTIONS) as video:
        shift_s = video.info.start_s
    sound = read(path, shift_s, 5.5 + shift_s)
    assert sound.lost
    assert all("decoded" in each.reason for each in sound.lost)
    length_s = sum(each.end_s - each.start_s for each in sound.lost)
    assert length_s < 0.7
    after_s = sound.lost[-1].end_s + 0.3
    assert abs(lag_s(place(sound, after_s, 5.4 + shift_s), after_s - shift_s)) <= FEW_MS
    # What lies outside the stretch is not told of.
    assert read(path, shift_s, sound.lost[0].start_s - 0.1).lost == ()


def test_the_default_of_several_streams_is_heard(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "two.mkv", codec="flac", streams=2, default=1)
    assert abs(lag_s(read(path, 1.0, 4.0).samples, 1.0)) <= FEW_MS


def test_the_first_stream_is_heard_where_none_is_the_default(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "two.ts", streams=2, **MP2)
    assert loudness(read(path, 1.0, 4.0).samples) > 0.1


def test_no_sound(tmp_path: Path) -> None:
    assert open_sound(write_video(tmp_path / "mute.mp4", range(0, 1000, 100)), OPTIONS) is None
    (tmp_path / "pictures").mkdir()
    assert open_sound(tmp_path / "pictures", OPTIONS) is None
    with pytest.raises(VideoError, match="nothing"):
        open_sound(tmp_path / "nothing.mp4", OPTIONS)


def test_sound_without_pictures(tmp_path: Path) -> None:
    assert loudness(read(write_sound(tmp_path / "sound.mp4"), 0.0, 1.0).samples) < 1e-3


def test_a_stretch_beyond_the_end_is_silence(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "film.mp4", **AAC)
    sound = read(path, 100.0, 101.0)
    assert sound.is_end
    assert len(sound.samples) == RATE_HZ
    assert not sound.samples.any()
    assert not read(path, 0.0, 1.0).is_end


@pytest.mark.parametrize("stretch", [(2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_stretch_has_two_times_in_order(stretch: tuple[float, float], tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "film.avi", 1.0)
    with opened(path) as sound, pytest.raises(OptionError, match="finite times in order"):
        sound.read(*stretch)


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg would take the name for a list of files."""
    monkeypatch.chdir(tmp_path)
    path = Path("concat:a.avi")
    os.rename(write_sounding(tmp_path / "film.avi", 1.0), path)
    assert loudness(read(path, 0.0, 1.0).samples) > 0.1


def test_samples_are_finite_and_in_range(tmp_path: Path) -> None:
    def loud(times_s: np.ndarray) -> np.ndarray:
        samples = 9 * hum(times_s)
        samples[::1000] = np.nan
        samples[1::1000] = np.inf
        return samples

    path = write_sounding(tmp_path / "loud.mkv", codec="pcm_f32le", form="flt", signal=loud)
    sound = read(path, 0.0, 5.0)
    assert np.isfinite(sound.samples).all()
    assert np.abs(sound.samples).max() <= 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "film.ts"
    return write_sounding(path, 3.0, **MP2).read_bytes()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=60))
@settings(max_examples=15)
def test_bytes_that_are_damaged_raise_nothing_else(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(whole)
    for at, value in flips:
        data[at % len(data)] = value
    path = tmp_path_factory.mktemp("damaged") / "film.ts"
    path.write_bytes(data)
    try:
        reader = open_sound(path, OPTIONS)
    except VideoError:
        return
    if reader is not None:
        with reader:
            sound = reader.read(0.5, 2.5)
        assert sound.samples.shape == (2 * RATE_HZ,)
        assert np.isfinite(sound.samples).all()


def test_the_resampler_of_pyav_keeps_the_place_of_a_click() -> None:
    """What the reader builds on: the delay of the filter is taken out."""
    samples = np.zeros((1, 44_100), np.float32)
    samples[0, 22_050] = 1.0
    resampler = av.AudioResampler("fltp", "mono", RATE_HZ)
    frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
    frame.sample_rate = 44_100
    rows = [out.to_ndarray()[0] for part in (frame, None) for out in resampler.resample(part)]
    assert abs(int(np.argmax(np.abs(np.concatenate(rows)))) - RATE_HZ // 2) <= 1
