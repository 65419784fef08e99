"""Damaged files through whole `seal index`: each is indexed or an error, and no loss is silent.

    python benchmarks/damaged.py [--count 2000] [--seed 0] [--jobs 2] [--log FILE]
    python benchmarks/damaged.py --only 17 42 --folder DIR

`mangling.py` makes the files: excerpts of real films (or of `--films`) in seven containers, damaged
in 22 ways. `--only` makes and runs files by their numbers, and keeps them in `--folder`.
The exit code is 1 if a bar is missed.

**Outcome.** Each file goes through the command's own code, with a new store, in a process of its
own. The process is a fork of one that has imported much, opened nothing and started no thread. The
fork may address 6 GB (RLIMIT_AS, so allocations fail as on a full machine; an undamaged file takes
2.9 GB of addresses) and take 60 s. Whatever ends in neither of the two right ways is run again as
an ordinary `python -m seal.cli index`, whose outcome counts.

    ok          exit 0 with tokens
    error       exit 1, and one line that begins with "seal:"
    traceback, crash (a signal), hang (60 s), empty (exit 0 without tokens), other

**Loss.** Every picture carries a number, so what SEAL shows can be told from what it leaves out
without trusting anybody's clock. The reference is every picture that FFmpeg decodes, through PyAV:
all video streams, all packets, on after errors. A pass of `seal.video` with the default options
gives the analysed frames, and the index gives the gaps. Analysed frames are matched with pictures
of the same number, in order: as many as possible, and of such matchings the one with the least
loss. Between two matched frames n pictures are not shown, which is n / rate seconds, where the rate
is that of the undamaged clip. An analysed frame stands for 1 / `video.rate_hz` seconds. That holds
for smeared pictures too, which match nothing. With k frames, the first of the two and those that
match nothing,

    loss = max(0, n / rate - k / video.rate_hz - seconds of gaps between the two frames)

and likewise before the first matched frame and after the last. A gap makes up only for pictures
that are missing at its own place. `ffprobe -count_frames`, where it is installed, counts the
pictures as well, with another version of FFmpeg.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import av
import numpy as np

from data import ROOT
from mangling import SUFFIXES, Film, Mutant, Studio, number_on

LIMIT_S = 60
LIMIT_BYTES = 6 << 30
MAX_LOSS = 0.02
"""Of all pictures."""
MAX_SILENT = 0.10
"""Of the pictures of one file."""
RIGHT = ("ok", "error")
WRONG = ("traceback", "crash", "hang", "empty", "other")
_POLL_S = 0.01
_MAX_FAILURES = 100
"""A demuxer that fails this often in a row is not asked again."""
_SERVE = "serve-forks"

FILMS = [
    ("videos/clips/01_dog.mp4", 60),
    ("videos/clips/car-detection.mp4", 200),
    ("videos/clips/one-by-one-person-detection.mp4", 300),
    ("footage/clips/city-montage.mp4", 0),
    ("footage/clips/drummer.mp4", 400),
    ("davis/breakdance.mp4", 0),
    ("davis/car-roundabout.mp4", 0),
]
"""File and first picture of each excerpt: cuts, cameras that stand and move, upright and wide."""


# ---- the process that forks ----


def serve() -> None:
    """For each line of standard input, a job: fork, and print how the child ended."""
    # Much of what `seal index` loads. Lance, PyArrow and onnxruntime start threads as they load,
    # which a fork lacks: it would wait for them for ever. So each fork loads these itself.
    import lance_namespace  # noqa: F401
    import rich.progress  # noqa: F401

    import seal.cli
    import seal.library  # noqa: F401

    if len(os.listdir("/proc/self/task")) > 1:
        raise SystemExit("something that was imported has started a thread: forks are not safe")
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        job = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if not child:
            # The child leaves the loop and ends as any Python process ends.
            return _work(job)
        status, usage = _wait(child, began + LIMIT_S)
        answer = {
            "status": status,
            "seconds": time.monotonic() - began,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024,
        }
        print(json.dumps(answer), file=answers, flush=True)
    return None


def _wait(child: int, until: float) -> tuple[int | None, resource.struct_rusage]:
    """Exit status, negative for a signal, None for a hang; and what the process used."""
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return None, usage
        time.sleep(_POLL_S)


def _work(job: dict[str, Any]) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    for descriptor, name in enumerate(["/dev/null", job["stdout"], job["stderr"]]):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if descriptor else os.O_RDONLY
        os.dup2(os.open(name, flags), descriptor)
    if job["what"] == "measure":
        print(json.dumps(measure(job["path"])))
        return
    arguments = ["index", job["path"], "--store", job["store"], "--json"]
    if job["what"] == "command":
        os.execv(sys.executable, [sys.executable, "-m", "seal.cli", *arguments])
    from seal.cli import main

    main(arguments, prog_name="seal")


class Forker:
    """A process that runs jobs in forks of itself, one at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), _SERVE],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, what: str, path: Path) -> Ended:
        store = self._folder / "store"
        outputs = {name: str(self._folder / name) for name in ("stdout", "stderr")}
        job = {"what": what, "path": str(path), "store": str(store), **outputs}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        shutil.rmtree(store, ignore_errors=True)
        told = {name: Path(file).read_text(errors="replace") for name, file in outputs.items()}
        return Ended(**answer, **told)

    def close(self) -> None:
        self._process.communicate()


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int | None
    seconds: float
    cpu_s: float
    peak_mb: float
    stdout: str
    stderr: str

    @property
    def outcome(self) -> str:
        """One of RIGHT and WRONG."""
        if self.status is None:
            return "hang"
        if self.status < 0:
            return "crash"
        if "Traceback (most recent call last)" in self.stderr:
            return "traceback"
        lines = self.stderr.splitlines()
        if not all(line.startswith("seal: ") for line in lines):
            return "other"
        if self.status == 1 and len(lines) == 1 and not self.stdout:
            return "error"
        if self.status != 0:
            return "other"
        return "ok" if sum(json.loads(self.stdout)["tokens"].values()) else "empty"

    @property
    def last_line(self) -> str:
        return (self.stderr.strip().splitlines() or [""])[-1]


# ---- what is lost ----


def measure(path: str) -> dict[str, Any]:
    """The numbers of the pictures that FFmpeg decodes, and those of the frames that SEAL analyses,
    with their times in seconds."""
    from seal import Options
    from seal.video import open_video

    found: dict[str, Any] = {"pictures": decoded(path), "frames": []}
    try:
        with open_video(path, Options.load().video, threads=1) as video:
            # As indexing does: of damaged files a second pass can show more than the first.
            video.survey()
            for frame in video.frames():
                found["frames"].append((frame.time_s, number_on(_without_bars(frame.image))))
    except Exception:
        # The outcome of the command tells of it.
        found["failure"] = traceback.format_exc()
    return found


def _without_bars(image: np.ndarray) -> np.ndarray:
    """The picture between the bars that pictures of another shape than the first one get."""
    is_seen = image.max(2) > 0
    rows, columns = np.flatnonzero(is_seen.any(1)), np.flatnonzero(is_seen.any(0))
    if not len(rows):
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def decoded(path: str) -> list[int | None]:
    """The number on every picture of every video stream; None where damage has changed it."""
    numbers: list[int | None] = []
    try:
        container = av.open(path, metadata_errors="replace")
    except (av.FFmpegError, OSError, IndexError):
        return numbers
    with container:
        videos = [each for each in container.streams.video if each.codec_context is not None]
        for stream in videos:
            stream.codec_context.thread_count = 1
        failures, packets = 0, container.demux()
        while failures < _MAX_FAILURES:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, IndexError):
                failures, packets = failures + 1, container.demux()
                continue
            if packet is None:
                break
            failures = 0
            if packet.stream not in videos:
                continue
            try:
                numbers += [number_on(each.to_ndarray(format="gray")) for each in packet.decode()]
            except (av.FFmpegError, ValueError):
                continue
    return numbers


def counted(path: Path) -> int | None:
    """The pictures that the installed FFmpeg decodes; None where it is not installed."""
    if shutil.which("ffprobe") is None:
        return None
    command = ["ffprobe", "-v", "quiet", "-count_frames", "-select_streams", "v"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "json", f"file:{path}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    streams = json.loads(run.stdout or "{}").get("streams", [])
    return sum(int(stream.get("nb_read_frames", 0)) for stream in streams)


def lost_s(
    pictures: Sequence[int | None],
    frames: Sequence[tuple[float, int | None]],
    gaps: Sequence[Sequence[Any]],
    step_s: float,
    stands_for_s: float,
) -> float:
    """Seconds of pictures that no frame stands for and no gap covers: see the top of this file."""
    places: dict[int, list[int]] = {}
    for place, number in enumerate(pictures):
        if number is not None:
            places.setdefault(number, []).append(place)
    # A chain of nodes, (number of the frame, place of the picture), from before all to the end.
    times_s = [time_s for time_s, _ in frames]
    begin, end = (-1, -1), (len(frames), len(pictures))
    best: dict[tuple[int, int], tuple[int, float]] = {begin: (0, 0.0)}
    spans = _union(gaps)

    def reach(frame: int, place: int) -> tuple[int, float]:
        to_s = times_s[frame] if frame < len(frames) else float("inf")
        options = []
        for (before, before_place), (matched, lost) in best.items():
            if before < frame and before_place < place:
                from_s = times_s[before] if before >= 0 else float("-inf")
                missing_s = (place - before_place - 1) * step_s - _within(spans, from_s, to_s)
                # Frames that match nothing are smeared pictures; they stand for as much.
                missing_s -= (frame - max(before, 0)) * stands_for_s
                options.append((matched - 1, lost + max(0.0, missing_s)))
        return min(options)

    for frame, (_, number) in enumerate(frames):
        for place in [] if number is None else places.get(number, []):
            best[frame, place] = reach(frame, place)
    return reach(*end)[1]


def _union(gaps: Sequence[Sequence[Any]]) -> list[list[float]]:
    spans: list[list[float]] = []
    for start_s, end_s, *_ in sorted(gaps, key=lambda gap: gap[0]):
        if spans and start_s <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end_s)
        else:
            spans.append([start_s, end_s])
    return spans


def _within(spans: Sequence[Sequence[float]], start_s: float, end_s: float) -> float:
    return sum(max(0.0, min(end, end_s) - max(start, start_s)) for start, end in spans)


# ---- the campaign ----


@dataclass(frozen=True)
class Result:
    """What became of one file."""

    mutant: Mutant
    ended: Ended
    decoded_s: float
    counted_s: float | None
    lost_s: float
    gaps: list[list[Any]]
    frames: int
    goes_back: bool
    """Whether the times of the frames do not rise."""

    @property
    def lost(self) -> float:
        """The share of the pictures that are lost in silence; an error is not silent."""
        return self.lost_s / self.decoded_s if self.decoded_s else 0.0

    @property
    def is_wrong(self) -> bool:
        return self.ended.outcome in WRONG or self.lost > MAX_SILENT or self.goes_back

    def to_json(self) -> dict[str, Any]:
        mutant, ended = self.mutant, self.ended
        return {
            "number": mutant.number,
            "form": str(mutant.form),
            "film": mutant.film,
            "damage": mutant.damage,
            "detail": mutant.detail,
            "outcome": ended.outcome,
            "seconds": round(ended.seconds, 2),
            "cpu_s": round(ended.cpu_s, 2),
            "peak_mb": round(ended.peak_mb),
            "decoded_s": round(self.decoded_s, 2),
            "ffprobe_s": self.counted_s and round(self.counted_s, 2),
            "frames": self.frames,
            "lost_s": round(self.lost_s, 2),
            "goes_back": self.goes_back,
            "gaps": self.gaps,
            "says": ended.last_line,
        }

    def __str__(self) -> str:
        mutant, ended = self.mutant, self.ended
        told_s = sum(end_s - start_s for start_s, end_s, _ in self.gaps)
        parts = [
            f"{mutant.number:4d} {ended.outcome:9s} {mutant.form}, {mutant.damage}",
            f"{self.decoded_s:.2f} s decoded, {self.lost_s:.2f} lost, {told_s:.2f} in gaps",
        ]
        parts += ["times go back"] if self.goes_back else []
        return "; ".join([*parts, ended.last_line])


def examine(mutant: Mutant, forker: Forker) -> Result:
    """Index a file, and find out what is lost."""
    from seal import Options

    ended = forker.run("index", mutant.path)
    if ended.outcome not in RIGHT:
        ended = forker.run("command", mutant.path)
    measured = forker.run("measure", mutant.path)
    if measured.status != 0:
        raise SystemExit(f"{mutant.path} cannot be measured ({measured.status}): {measured.stderr}")
    found = json.loads(measured.stdout)
    count, step_s = counted(mutant.path), float(1 / mutant.form.rate_hz)
    frames = [(time_s, number) for time_s, number in found["frames"]]
    gaps = json.loads(ended.stdout)["gaps"] if ended.outcome == "ok" else []
    lost = 0.0
    if ended.outcome != "error":
        stands_for_s = 1 / Options.load().video.rate_hz
        lost = lost_s(found["pictures"], frames, gaps, step_s, stands_for_s)
    times_s = [time_s for time_s, _ in frames]
    return Result(
        mutant,
        ended,
        len(found["pictures"]) * step_s,
        None if count is None else count * step_s,
        lost,
        gaps,
        len(frames),
        any(later <= earlier for earlier, later in pairwise(times_s)),
    )


def campaign(arguments: argparse.Namespace, folder: Path) -> list[Result]:
    films = [Film(path) for path in arguments.films] or [
        Film(ROOT / name, first) for name, first in FILMS
    ]
    studio, lock = Studio(folder, films, arguments.seed), Lock()
    idle: SimpleQueue[Forker] = SimpleQueue()
    forkers = [Forker(folder / f"forks-{number}") for number in range(arguments.jobs)]
    for forker in forkers:
        idle.put(forker)

    def one(number: int) -> Result:
        with lock:
            mutant = studio.mutant(number)
        forker = idle.get()
        try:
            result = examine(mutant, forker)
        finally:
            idle.put(forker)
        if not arguments.only:
            mutant.path.unlink()
        with lock:
            print(json.dumps(result.to_json()), file=log, flush=True)
            if result.is_wrong or arguments.only:
                print(result, file=sys.stderr, flush=True)
        return result

    numbers = arguments.only or range(arguments.count)
    try:
        with open(arguments.log, "w") as log, ThreadPoolExecutor(arguments.jobs) as pool:
            return list(pool.map(one, numbers))
    finally:
        for forker in forkers:
            forker.close()


def table(results: Sequence[Result]) -> str:
    """The outcomes by container and by kind of damage, and what was lost."""
    columns = ["", "files", *RIGHT, *WRONG, "decoded, s", "lost, s", "lost", "files above 10 %"]
    rows = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    groups = {suffix: [r for r in results if r.mutant.form.suffix == suffix] for suffix in SUFFIXES}
    for damage in sorted({result.mutant.damage for result in results}):
        groups[damage] = [r for r in results if r.mutant.damage == damage]
    for name, group in {**groups, "all": list(results)}.items():
        if not group:
            continue
        outcomes = Counter(result.ended.outcome for result in group)
        read = [result for result in group if result.ended.outcome != "error"]
        decoded_s, lost = (sum(getattr(r, key) for r in read) for key in ("decoded_s", "lost_s"))
        above = sum(result.lost > MAX_SILENT for result in read)
        cells = [name, len(group), *(outcomes[each] for each in (*RIGHT, *WRONG))]
        share = f"{lost / decoded_s:.1%}" if decoded_s else ""
        cells += [f"{decoded_s:.0f}", f"{lost:.1f}", share, above]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        results = campaign(arguments, arguments.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            results = campaign(arguments, Path(folder))
    print(table(results))
    read = [result for result in results if result.ended.outcome != "error"]
    refused = [r for r in results if r.ended.outcome == "error" and r.decoded_s > 1]
    lost = sum(r.lost_s for r in read) / max(sum(r.decoded_s for r in read), 1e-9)
    wrong = [result for result in results if result.is_wrong]
    counted_s = [r.counted_s for r in read if r.counted_s is not None]
    print(f"\n{len(results)} files, seed {arguments.seed}, {time.monotonic() - began:.0f} s;")
    if counted_s:
        print(f"ffprobe counts {sum(counted_s):.0f} s of pictures in the files that were read;")
    print(f"{lost:.2%} lost in silence; wrong: {[result.mutant.number for result in wrong]};")
    print(f"refused, with more than 1 s to decode: {[r.mutant.number for r in refused]}")
    return int(bool(wrong) or lost > MAX_LOSS)


if __name__ == "__main__" and sys.argv[1:2] == [_SERVE]:
    serve()
elif __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER")
    parser.add_argument("--films", type=Path, nargs="+", default=[], help="instead of real ones")
    parser.add_argument("--folder", type=Path, help="where clips and files are made and kept")
    parser.add_argument("--log", default=os.devnull, help="gets a line of JSON for each file")
    sys.exit(main(parser.parse_args()))
