"""Subtitles against the files they come from: times within 10 ms, and the text exact.

    python benchmarks/subtitles.py [--cues 200000] [--pairs 3]

**Real files.** The four Popeye excerpts and `footage/words`, each with its `.srt` beside it, and
with that file as a text stream inside. `ffmpeg` makes the streams: SubRip, ASS and WebVTT in
Matroska, 3GPP Timed Text in MP4, WebVTT in WebM. FFmpeg writes no text streams into MPEG-TS, so
there the file lies beside a video that starts at 1.4 s or later. The truth is what `pysubs2` reads
from the `.srt`, on the clock of the container that was made.

**Pictures.** The PGS streams inside the Popeye excerpts, by their times alone. The excerpts lack
some pictures. A picture is on screen for whole frames, so its times are those of frames.

**Oddities.** The cases of `tests/oddities.py`.

**Size.** Reading and cutting a file of `--cues` cues.

**Indexing.** `--pairs` times the film with subtitles, a cue every four seconds, and without: the
median ratio of their times.

The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import pysubs2

from data import ROOT
from seal.config import SpeechOptions, SubtitleOptions
from seal.types import Box, UInt8
from seal.words import Cue, Line, TextReader
from seal.words.export import write
from seal.words.formats import parse
from seal.words.sentences import sentences
from seal.words.subtitles import find
from seal.words.tidy import Extent, tidy

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from oddities import ODDITIES

_BAR_S = 0.010
_FRAME_S = 1 / 24
# Name, suffix, and how `ffmpeg` encodes the streams.
_MUXED = {
    "SubRip in Matroska": (".mkv", ["-c", "copy", "-c:s", "srt"]),
    "ASS in Matroska": (".mkv", ["-c", "copy", "-c:s", "ass"]),
    "WebVTT in Matroska": (".mkv", ["-c", "copy", "-c:s", "webvtt"]),
    "Timed Text in MP4": (".mp4", ["-c", "copy", "-c:s", "mov_text"]),
    "WebVTT in WebM": (".webm", ["-an", "-c:v", "libvpx", "-b:v", "50k", "-c:s", "webvtt"]),
}

Times = list[tuple[float, float, str]]


class Blank(TextReader):
    """Reads the same line in every picture."""

    fingerprint = "blank"

    def __init__(self) -> None:
        self._count = 0

    def read(self, image: UInt8) -> Sequence[Line]:
        self._count += 1
        return [Line(f"picture {self._count}", Box(0, 0, 1, 1), 1.0)]


def truth(path: Path, shift_s: float = 0.0) -> Times:
    events = pysubs2.load(str(path), encoding="utf-8-sig")
    return [
        (
            event.start / 1000 + shift_s,
            event.end / 1000 + shift_s,
            " ".join(event.plaintext.split()),
        )
        for event in events
    ]


def score(cues: Sequence[Cue], expected: Times) -> tuple[int, int, float]:
    """How many cues there should be, how many have the exact text, and the worst time error."""
    pairs = list(zip(cues, expected, strict=False))
    exact = sum(cue.text == text for cue, (_, _, text) in pairs)
    errors = [
        max(abs(cue.start_s - start_s), abs(cue.end_s - end_s))
        for cue, (start_s, end_s, _) in pairs
    ]
    return len(expected), exact if len(cues) == len(expected) else 0, max(errors, default=0.0)


def real() -> list[tuple[Path, Path]]:
    """Each video with its subtitle file."""
    files = [
        *(ROOT / "videos").glob("popeye_?.srt"),
        *(ROOT / "footage" / "words").glob("*.srt"),
    ]
    found = [(file.with_suffix(kind), file) for file in files for kind in (".mkv", ".mp4")]
    return sorted(pair for pair in found if pair[0].exists())


def beside() -> Iterator[tuple[str, tuple[int, int, float]]]:
    for video, file in real():
        yield f"{file.name} beside", score(find(video, SubtitleOptions(), None).cues, truth(file))


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def starts_s(path: Path) -> tuple[float, float]:
    """When the container starts and when its video does."""
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        return (container.start_time or 0) / 1e6, float(stream.start_time * stream.time_base)


def inside(folder: Path) -> Iterator[tuple[str, tuple[int, int, float]]]:
    for name, (suffix, how) in _MUXED.items():
        whole = [0, 0, 0.0]
        for video, file in real():
            if video.suffix != ".mp4":
                continue
            out = folder / f"{video.stem}{suffix}"
            ffmpeg("-i", video, "-i", file, "-map", "0", "-map", "1", *how, out)
            # The whole file may have been moved, so that none of its packets is before 0.
            shift_s = starts_s(out)[1] - starts_s(video)[1]
            cues = find(out, SubtitleOptions(source="inside"), None).cues
            count, exact, error_s = score(cues, truth(file, shift_s))
            whole = [whole[0] + count, whole[1] + exact, max(whole[2], error_s)]
        yield name, (int(whole[0]), int(whole[1]), whole[2])


def late(folder: Path) -> Iterator[tuple[str, tuple[int, int, float]]]:
    for video, file in real():
        if video.suffix == ".mp4":
            out = folder / f"{video.stem}.ts"
            ffmpeg("-i", video, "-c", "copy", out)
            shutil.copy(file, out.with_suffix(".srt"))
            shift_s = starts_s(out)[0]
            cues = find(out, SubtitleOptions(), None).cues
            yield f"{out.name} from {shift_s:.3f} s", score(cues, truth(file, shift_s))


def pictures() -> Iterator[tuple[str, int, int, float]]:
    """Lines of the file, pictures that were found, and the worst error of a start."""
    for video, file in real():
        if video.suffix != ".mkv":
            continue
        cues = find(video, SubtitleOptions(source="inside"), None, reader=Blank()).cues
        starts = [start_s for start_s, _, _ in truth(file)]
        errors = [min(abs(cue.start_s - start_s) for start_s in starts) for cue in cues]
        yield video.name, len(starts), len(cues), max(errors)


def oddities() -> tuple[int, int, float]:
    exact, worst_s = 0, 0.0
    for text, expected in ODDITIES.values():
        cues = tidy(parse(text)[0], Extent(0.0, None))[0]
        count, right, error_s = score(cues, expected)
        exact += right == count
        worst_s = max(worst_s, error_s)
    return len(ODDITIES), exact, worst_s


def size(count: int) -> None:
    def clock(second: int) -> str:
        return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"

    text = "".join(
        f"{n + 1}\n{clock(n)},000 --> {clock(n)},900\n<i>This is line {n}</i>\nand it ends.\n\n"
        for n in range(count)
    )
    began = time.process_time()
    cues = tidy(parse(text)[0], Extent(0.0, None))[0]
    read_s = time.process_time() - began
    made = sentences(cues, SpeechOptions())
    cut_s = time.process_time() - began - read_s
    print(f"{len(cues)} cues: {read_s:.1f} s to read, {cut_s:.1f} s to {len(made)} sentences (CPU)")


def indexing(pairs: int, folder: Path) -> None:
    film = folder / "film.mp4"
    film.symlink_to(ROOT / "videos" / "big_buck_bunny_360p.mp4")
    cues = [
        Cue(4.0 * i, 4.0 * i + 3, f"What happens in scene {i} is said here.") for i in range(158)
    ]
    write(cues, folder / "film.srt")
    ratios = []
    for _ in range(pairs):
        times = []
        for source in ("auto", "none"):
            shutil.rmtree(folder / "store", ignore_errors=True)
            command = [sys.executable, "-m", "seal.cli", "index", film, "--store", folder / "store"]
            began = time.monotonic()
            subprocess.run(
                [*command, "--set", f"subtitles.source={source}"], check=True, capture_output=True
            )
            times.append(time.monotonic() - began)
        ratios.append(times[0] / times[1])
    print(f"indexing with subtitles: {statistics.median(ratios):.3f} times as long as without")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cues", type=int, default=200_000)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made = [*inside(Path(name)), *late(Path(name))] if shutil.which("ffmpeg") else []
        rows = [*beside(), *made, ("oddities", oddities())]
    print(f"{'what':34} {'cues':>5} {'exact':>6} {'worst time error':>17}")
    missed = False
    for what, (count, exact, error_s) in rows:
        missed |= exact != count or error_s > _BAR_S
        print(f"{what:34} {count:5d} {exact:6d} {error_s * 1000:14.1f} ms")
    print(f"\n{'pictures inside':34} {'lines':>5} {'found':>6} {'worst start error':>17}")
    for what, count, found, error_s in pictures():
        missed |= error_s > _FRAME_S
        print(f"{what:34} {count:5d} {found:6d} {error_s * 1000:14.1f} ms")
    print()
    size(options.cues)
    with tempfile.TemporaryDirectory() as name:
        indexing(options.pairs, Path(name))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
