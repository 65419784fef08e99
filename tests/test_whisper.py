"""Whisper: the words of real speech, folders that hold no Whisper, consent, and loops."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seal
from hub_server import Hub, serve
from own_network import watched
from seal.config import Options, VideoOptions, WhisperTranscribe
from seal.diagnosis import diagnose
from seal.errors import BackendError, OptionError
from seal.ingest import default_jobs
from seal.preparation import needs, options_for, plan
from seal.store import Store
from seal.types import Float32
from seal.video.audio import open_sound
from seal.weights import WHISPER, check_whole, locate
from seal.words.cue import load_transcriber
from seal.words.loops import first_loop
from sounding import write_sounding
from tiny_transcribers import whisper_folder

FOLDER = whisper_folder()

from seal.words.whisper import WhisperTranscriber, _threads, _windows  # noqa: E402

NASA = (
    "this is the optical and science segment of the webb space telescope in one of the largest"
    " clean rooms in the world at nasa's goddard space flight center in greenbelt maryland"
)


def whisper(**options: object) -> WhisperTranscriber:
    return WhisperTranscriber(
        WhisperTranscribe(**{"weights": str(FOLDER), "device": "cpu"} | options)
    )


@pytest.fixture(scope="module")
def tiny() -> WhisperTranscriber:
    return whisper()


def sound_of(folder: Path, name: str, start_s: float, end_s: float) -> Float32:
    reader = open_sound(folder / "footage" / "words" / f"{name}.mp4", VideoOptions())
    assert reader is not None
    with reader:
        return reader.read(start_s, end_s).samples


def plain(text: str) -> list[str]:
    return text.lower().replace(",", "").replace(".", "").split()


def test_the_words_of_real_speech(tiny: WhisperTranscriber, shared_data: Path) -> None:
    heard = tiny.transcribe(sound_of(shared_data, "nasa-webb", 0.0, 12.3))
    said = plain(" ".join(cue.text for cue in heard.cues))
    assert len({*plain(NASA)} & {*said}) >= 0.9 * len({*plain(NASA)})
    assert abs(len(said) - len(plain(NASA))) <= 2
    assert heard.language == "en"
    starts_s = {plain(w.text)[0]: w.start_s for cue in heard.cues for w in cue.words}
    # The times of the true cues.
    assert starts_s["this"] == pytest.approx(0.21, abs=0.3)
    assert starts_s["at"] == pytest.approx(8.35, abs=0.3)


def test_silence_around_speech_shifts_its_times(
    tiny: WhisperTranscriber, shared_data: Path
) -> None:
    speech = sound_of(shared_data, "nasa-webb", 0.0, 12.0)
    silence = np.zeros(20 * 16_000, np.float32)
    plainly = tiny.transcribe(speech).cues
    later = tiny.transcribe(np.concatenate([silence, speech, silence])).cues
    assert later[0].start_s - plainly[0].start_s == pytest.approx(20.0, abs=0.3)
    assert later[-1].end_s - plainly[-1].end_s == pytest.approx(20.0, abs=0.5)


def test_what_follows_a_phrase_said_again_and_again_is_heard(
    tiny: WhisperTranscriber, shared_data: Path
) -> None:
    line = sound_of(shared_data, "sonnet-1", 2.6, 5.8)
    rest = sound_of(shared_data, "sonnet-1", 31.2, 40.7)
    said = " ".join(c.text for c in tiny.transcribe(np.concatenate([*[line] * 7, rest])).cues)
    assert "fairest creatures" in said
    assert "ornament" in said


def test_a_word_with_a_hyphen_is_one(tiny: WhisperTranscriber, shared_data: Path) -> None:
    cues = tiny.transcribe(sound_of(shared_data, "sonnet-1", 15.0, 31.0)).cues
    assert any("-" in cue.text for cue in cues)
    for cue in cues:
        assert [word.text for word in cue.words] == cue.text.split()


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_a_voice_that_is_made(tiny: WhisperTranscriber, tmp_path: Path) -> None:
    path = tmp_path / "said.wav"
    text = "The quick brown fox jumps over the lazy dog. It will rain in London tomorrow."
    subprocess.run(["espeak-ng", "-s", "140", "-w", str(path), text], check=True)
    reader = open_sound(path, VideoOptions())
    assert reader is not None
    with reader:
        said = plain(" ".join(c.text for c in tiny.transcribe(reader.read(0, 7).samples).cues))
    assert len({"fox", "dog", "rain", "london", "tomorrow"} & {*said}) >= 3


def test_threads_do_not_change_the_words(
    tiny: WhisperTranscriber, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = sound_of(shared_data, "nasa-webb", 0.0, 12.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert _threads() >= 1
    other = whisper()
    assert other.transcribe(sound) == tiny.transcribe(sound)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert _threads() == 0


def test_the_fingerprint_says_what_decides_the_words(tmp_path: Path) -> None:
    assert whisper().fingerprint == whisper(device="auto").fingerprint
    prints = {
        whisper().fingerprint,
        whisper(beam=1).fingerprint,
        whisper(language="en").fingerprint,
    }
    assert len(prints) == 3
    copy = Path(shutil.copytree(FOLDER, tmp_path / "copy"))
    prints = {locate(str(folder), "main", WHISPER).fingerprint for folder in (copy, FOLDER)}
    (same,) = {each.partition("@")[2] for each in prints}
    with (copy / "vocabulary.txt").open("a") as file:
        file.write("\n")
    assert same not in locate(str(copy), "main", WHISPER).fingerprint


@pytest.mark.parametrize("language", ["de", "english", "xx"])
def test_a_language_that_the_model_does_not_know(language: str, tiny: WhisperTranscriber) -> None:
    with pytest.raises(OptionError, match=f"does not know the language '{language}'.*valid: en"):
        whisper(language=language)
    with pytest.raises(OptionError, match="does not know"):
        tiny.transcribe(np.zeros(16_000, np.float32), language)


@pytest.mark.parametrize("device", ["mps", "cuda:x", "tpu"])
def test_a_device_that_runs_no_whisper(device: str) -> None:
    with pytest.raises(BackendError, match=f"device '{device}'.*valid:"):
        whisper(device=device)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(BackendError, match=r"finds \d+ CUDA devices"):
        whisper(device="cuda:99")


def test_a_beam_is_at_least_one() -> None:
    with pytest.raises(OptionError, match="beam must be at least 1"):
        WhisperTranscribe(beam=0)


def spoilt(folder: Path, how: str) -> Path:
    """A folder that holds no Whisper that could be loaded."""
    shutil.copytree(FOLDER, folder)
    if how == "nothing":
        shutil.rmtree(folder)
        folder.mkdir()
    elif how == "torch":
        (folder / "model.bin").unlink()
        (folder / "model.safetensors").write_bytes(b"")
    elif how == "pickle":
        (folder / "model.bin").write_bytes(b"\x80\x04\x95" + bytes(1000))
    elif how == "cut off":
        os.truncate(folder / "model.bin", 1_000_000)
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif how == "damaged tokenizer":
        (folder / "tokenizer.json").write_text("{")
    elif how == "other bands":
        (folder / "preprocessor_config.json").write_text('{"feature_size": 128}')
    return folder


SPOILT = {
    "nothing": "has no files",
    "torch": "need model.bin",
    "pickle": "something else than model.bin",
    "cut off": "does not load as Whisper",
    "no tokenizer": "need model.bin, config.json and tokenizer.json",
    "damaged tokenizer": "does not load as Whisper",
    "other bands": "takes 80 bands of sound and its folder describes 128",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_folder_that_is_no_whisper_is_told_in_one_line(how: str, tmp_path: Path) -> None:
    folder = spoilt(tmp_path / "model", how)
    with pytest.raises(BackendError, match=SPOILT[how]) as caught:
        whisper(weights=str(folder))
    assert "\n" not in str(caught.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(BackendError, match=r'hearing speech needs faster-whisper.*\[speech\]"'):
        whisper()


def test_processes_on_a_cpu_have_a_model_each() -> None:
    hears = Options.load(settings=["transcribe.backend=whisper", "transcribe.device=cpu"])
    assert default_jobs(hears) == default_jobs(Options.load())


@pytest.mark.parametrize("bytes_lost", [1, 1000, 50_000_000])
def test_doctor_finds_a_model_that_is_cut_off(bytes_lost: int, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FOLDER, tmp_path / "copy"))
    check_whole(copy)
    os.truncate(copy / "model.bin", (FOLDER / "model.bin").stat().st_size - bytes_lost)
    with pytest.raises(BackendError, match=r"missing or damaged.*bytes of"):
        check_whole(copy)


# ---- consent, doctor and prepare ----


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "published"))
    # A version, the name of the family, a revision, no array and no second name: fewer bytes are
    # fetched faster.
    head = (FOLDER / "model.bin").read_bytes()[:22]
    (folder / "model.bin").write_bytes(head + bytes(8))
    for name in ("pytorch_model.bin", "README.md", "model.safetensors"):
        (folder / name).write_bytes(b"not to be loaded")
    with serve(Hub({"tiny/whisper": folder})) as running:
        yield running


def run(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, which knows this hub alone and has its cache in `home`."""
    dropped = ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-m", "seal.cli", *arguments], env=environment, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


CHOICE = ("--set=transcribe.backend=whisper", "--set=transcribe.weights=tiny/whisper")


def test_prepare_fetches_what_is_loaded_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    asked = run(hub, home, "prepare", "mini", *CHOICE)
    assert asked.returncode == 2
    assert not hub.fetched()
    done = run(hub, home, "prepare", "mini", *CHOICE, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    listed = [
        file["name"] for model in json.loads(done.stdout)["models"] for file in model["files"]
    ]
    wanted = ["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"]
    assert sorted(listed) == sorted(hub.fetched()) == wanted
    hub.requests.clear()
    assert run(hub, home, "prepare", "mini", *CHOICE).returncode == 0
    assert not hub.fetched()


def test_prepare_refuses_a_model_that_is_not_converted(hub: Hub, tmp_path: Path) -> None:
    (hub.models["tiny/whisper"] / "model.bin").unlink()
    refused = run(hub, tmp_path / "home", "prepare", "mini", *CHOICE, "--yes")
    assert refused.returncode == 1
    assert "seal: tiny/whisper (revision main) cannot be loaded: SEAL needs model.bin" in (
        refused.stderr
    )
    assert not hub.fetched()


def test_a_folder_needs_no_download(tmp_path: Path) -> None:
    options = options_for("mini", ["transcribe.backend=whisper", f"transcribe.weights={FOLDER}"])
    prepared = plan(options)
    assert prepared.is_complete
    assert prepared.missing_bytes == 0
    assert prepared.size_bytes > 70e6
    need = next(need for need in needs(options) if need.stage == "transcribe")
    assert (need.extra, need.layout) == ("speech", WHISPER)
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert re.search(r'^speech = \["faster-whisper>=1', pyproject, re.MULTILINE)
    assert "transcribe" in {state.need.stage for state in diagnose(["mini"]).profiles[0].stages}


def test_a_store_of_someone_else_fetches_no_whisper(hub: Hub, tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "film.mkv", 2.0)
    other = tmp_path / "other"
    settings = ["transcribe.backend=whisper", f"transcribe.weights={FOLDER}"]
    video = seal.open(other).index(film, options=settings)
    # As if it had been indexed with the model of the hub.
    named = {**video.record.options["transcribe"], "weights": "tiny/whisper"}
    record = replace(video.record, options={**video.record.options, "transcribe": named})
    Store(other).finish(record, record.keys)
    for words in (["find", str(film), "a cat"], ["tokens", str(film)], ["ask", str(film), "why"]):
        asked = run(hub, tmp_path / "home", *words, "--store", str(other))
        assert asked.returncode == 0, asked.stderr
    assert hub.requests == []


def test_hearing_sends_nothing(tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "film.mkv", 5.0)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code = """
import sys, time
from seal.cli import main
film, store, folder = sys.argv[1:]
main(["index", film, "--store", store, "--set", "transcribe.backend=whisper",
      "--set", f"transcribe.weights={folder}"], standalone_mode=False)
time.sleep(13)
print("all done")
"""
    names = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    found = watched(
        [sys.executable, "-c", code, str(film), str(tmp_path / "store"), str(FOLDER)],
        kept | {"TMPDIR": str(temporary)},
        timeout_s=300,
    )
    assert found.output.endswith("all done\n")
    assert found.packets == []
    assert not (temporary / ".ses").exists()


# ---- loops ----


@given(
    st.lists(st.integers(0, 999), max_size=30, unique=True),
    st.lists(st.integers(1000, 1999), min_size=2, max_size=6, unique=True),
    st.integers(4, 9),
)
def test_a_loop_is_cut_after_its_first_round(
    before: list[int], phrase: list[int], rounds: int
) -> None:
    words = [f" {word}," for word in [*before, *phrase * rounds]]
    assert first_loop(words) == len(before) + len(phrase)


def segment(seek: int, text: str, ratio: float = 1.2, log_probability: float = -0.3) -> Any:
    """A segment as faster-whisper gives it: a word each half second of its window."""
    words = [
        SimpleNamespace(word=f" {word}", start=seek / 100 + i / 2, end=seek / 100 + i / 2 + 0.4)
        for i, word in enumerate(text.split())
    ]
    return SimpleNamespace(
        seek=seek, start=words[0].start, end=words[-1].end, text=f" {text}", words=words,
        compression_ratio=ratio, avg_logprob=log_probability,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("second", "kept", "is_looped"),
    [
        ({"text": "the second window"}, ["the second window"], False),
        ({"text": "the second window", "ratio": 2.3}, ["the second window"], False),
        ({"text": "the second window", "ratio": 2.5}, [], False),
        ({"text": "the second window", "log_probability": -0.9}, ["the second window"], False),
        ({"text": "the second window", "log_probability": -1.1}, [], False),
        ({"text": "so " + "thank you " * 5, "ratio": 2.5}, ["so thank you"], True),
    ],
)
def test_a_window_of_guesses_is_dropped_and_its_neighbours_stay(
    second: dict[str, Any], kept: list[str], is_looped: bool
) -> None:
    given_ = [segment(0, "a first one"), segment(3000, **second), segment(6000, "and the last")]
    first, middle, last = _windows(given_, 90.0)
    for _, _, said, looped in (first, last):
        assert [len(each.words) for each in said] == [3]
        assert not looped
    assert [each.text.strip() for each in middle[2]] == kept
    assert middle[3] == is_looped
    # What is heard again ends where the next window begins.
    assert middle[1] == 60.0
    if is_looped:
        assert middle[0] == middle[2][-1].words[-1].end


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=80))
def test_words_that_differ_are_no_loop(words: list[int]) -> None:
    assert first_loop([str(word) for word in words]) is None


def test_what_people_say_again_is_no_loop() -> None:
    assert first_loop(plain("no no no no no no no I said never never")) is None
    assert first_loop(plain("row row row your boat row row row your boat")) is None
    assert first_loop(plain("Thank you. Thank you! thank you, THANK you.")) == 2


def test_the_loader_knows_it(tiny: WhisperTranscriber) -> None:
    loaded = load_transcriber(WhisperTranscribe(weights=str(FOLDER), device="cpu"))
    assert loaded is not None
    assert loaded.fingerprint == tiny.fingerprint
