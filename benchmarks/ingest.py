"""How fast a film is indexed, against decoding it and doing nothing else, and with how much memory.

    python benchmarks/ingest.py speed [--film FILE] [--runs 3]
    python benchmarks/ingest.py memory [--film FILE]
    python benchmarks/ingest.py quick [--film FILE]
    python benchmarks/ingest.py stages [--film FILE]

Whole processes are measured, start-up included. `speed` runs both in turn, so that the ratio holds
on a machine whose speed drifts; beside it stands the ratio of CPU time, which others at work on
the machine change less. `stages` says where the CPU time goes, on one thread, in two minutes from
the middle of the film. `memory` indexes the film, and the film looped to one hour, and
adds up what all processes of a run hold (PSS, from /proc: Linux only). `quick` indexes the film
with --quick, and the film at 720p looped to two hours, of which it asks one question at once.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import cv2

from data import ROOT
from seal.config import Options
from seal.decompose import Models, decompose
from seal.decompose.history import History
from seal.decompose.shots import Shots
from seal.detect.mini import MiniDetector
from seal.encode.mini import MiniEncoder
from seal.segment.classical import ClassicalSegmenter
from seal.segment.mini import MiniSegmenter
from seal.track.camera import Camera
from seal.track.mini import MiniTracker
from seal.track.motion import MotionTracker
from seal.video import Frame, open_video


class Reader:
    """Frames, each read by a call of its own, which is a stage."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames

    def read(self) -> Frame:
        return next(self._frames)


STAGES: dict[str, list[tuple[type, str]]] = {
    "decoding and conversion": [(Reader, "read")],
    "shots": [(Shots, "push")],
    "JPEGs": [(History, "push"), (History, "image")],
    "looks of the detector": [(MiniDetector, "detect"), (MiniDetector, "glance")],
    "motion: flow and camera": [(Camera, "motion")],
    "motion: what it follows": [(MotionTracker, "push"), (MotionTracker, "end")],
    "links": [(MiniTracker, "push"), (MiniTracker, "end")],
    "regions": [(ClassicalSegmenter, "segment")],
    "objects": [(MiniSegmenter, "segment")],
    "embeddings": [(MiniEncoder, "encode_images")],
}
"""What takes part in a stage, without what another stage does within it."""
STRETCH_S = 120.0

BARE_DECODE = """
import sys, av
with av.open(sys.argv[1]) as container:
    container.streams.video[0].thread_type = "AUTO"
    for frame in container.decode(video=0):
        pass
"""


def index_command(film: Path, store: Path) -> list[str]:
    return [sys.executable, "-m", "seal.cli", "index", str(film), "--store", str(store)]


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall clock and CPU time of a command, with all processes that it waits for."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_mb(command: list[str]) -> float:
    """The largest sum, over the processes of a run, of the memory they hold."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(pss_kb(pid) for pid in tree(process.pid)))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return peak / 1024


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(below for child in children for below in tree(child))]


def pss_kb(pid: int) -> int:
    """Resident memory, shared pages divided among those that share them; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def duration_s(film: Path) -> float:
    with av.open(film) as container:
        return container.duration / av.time_base


def loop(film: Path, target: Path, length_s: float) -> None:
    """The film again and again, its packets copied, until it is `length_s` long."""
    with av.open(target, "w") as out:
        stream, shift, shift_s = None, 0, 0.0
        while shift_s < length_s:
            with av.open(film) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                end = 0
                for packet in container.demux(source):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + packet.duration)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    out.mux(packet)
                shift += end
                shift_s = float(shift * source.time_base)


def at_720p(film: Path, target: Path) -> None:
    """The film in 1280 x 720 px, with a keyframe every 250 pictures at most."""
    with av.open(film) as container, av.open(target, "w") as out:
        source = container.streams.video[0]
        source.thread_type = "AUTO"
        stream = out.add_stream("libx264", rate=source.average_rate)
        stream.options = {"preset": "superfast"}
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for frame in container.decode(source):
            out.mux(stream.encode(frame.reformat(1280, 720)))
        out.mux(stream.encode(None))


def quick(film: Path) -> None:
    seal = [sys.executable, "-m", "seal.cli"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [*index_command(film, folder / "a"), "--quick", "--json"]
        rows = []
        for _ in range(3):
            subprocess.run([*seal, "remove", "--store", folder / "a", film], capture_output=True)
            done = subprocess.run(command, check=True, capture_output=True)
            rows.append(json.loads(done.stdout)["seconds"])
        length_s = duration_s(film)
        print(f"{film.name}, {length_s:.0f} s: {statistics.median(rows):.2f} s, median of 3")
        print(
            f"  seal index --quick {length_s / statistics.median(rows):.0f} x real time", flush=True
        )
        at_720p(film, folder / "720p.mp4")
        loop(folder / "720p.mp4", folder / "long.mp4", 7200)
        film, store = folder / "long.mp4", folder / "b"
        index_s, _ = seconds([*index_command(film, store), "--quick"])
        find_s, _ = seconds([*seal, "find", str(film), "a rabbit", "--store", str(store)])
        print(
            f"{duration_s(film):.0f} s of 720p: index --quick {index_s:.1f} s, find {find_s:.1f} s"
        )


def speed(film: Path, runs: int) -> None:
    length_s, bare, index = duration_s(film), [], []
    for run in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(seconds([sys.executable, "-c", BARE_DECODE, str(film)]))
            index.append(seconds(index_command(film, Path(folder) / "store")))
        print(
            f"run {run + 1}: bare decode {bare[-1][0]:.1f} s ({bare[-1][1]:.1f} of CPU time),"
            f" index {index[-1][0]:.1f} s ({index[-1][1]:.1f})",
            file=sys.stderr,
        )
    print(f"{film.name}, {length_s:.0f} s, median of {runs} runs")
    for clock, name in enumerate(("wall clock", "CPU time")):
        bare_s, index_s = ([row[clock] for row in rows] for rows in (bare, index))
        ratio = statistics.median(i / b for b, i in zip(bare_s, index_s, strict=True))
        print(f"  {name}")
        print(f"    bare decode  {length_s / statistics.median(bare_s):6.1f} x real time")
        print(f"    seal index   {length_s / statistics.median(index_s):6.1f} x real time")
        print(f"    ratio        {ratio:6.2f}")


def timed(stages: dict[str, list[tuple[type, str]]]) -> dict[str, list[float]]:
    """CPU seconds and calls of each stage from now on, by way of what stands for its methods."""
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    running: list[str] = []
    last = time.thread_time()

    def switch(change: Callable[[], Any]) -> None:
        nonlocal last
        now = time.thread_time()
        if running:
            spent[running[-1]][0] += now - last
        last = now
        change()

    def watched(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            switch(lambda: running.append(stage))
            spent[stage][1] += 1
            try:
                return method(*given, **named)
            finally:
                switch(running.pop)

        return call

    for stage, parts in stages.items():
        for kind, name in parts:
            setattr(kind, name, watched(stage, getattr(kind, name)))
    return spent


def stages(film: Path) -> None:
    cv2.setNumThreads(1)
    options = Options.load()
    models = Models.load(options)
    middle_s = duration_s(film) / 2
    spent = timed(STAGES)

    with open_video(film, options.video, threads=1) as video:
        video.survey()
        reader = Reader(video.frames(middle_s - STRETCH_S / 2, middle_s + STRETCH_S / 2))

        def frames() -> Any:
            with suppress(StopIteration):
                while True:
                    yield reader.read()

        began = time.thread_time()
        keys, start_s = models.keys(options), middle_s - STRETCH_S / 2
        for _ in decompose(
            frames(), keys, options, models, video.info, start_s=start_s, video_id=film.stem
        ):
            pass
        whole_s = time.thread_time() - began
    spent["the rest"] = [whole_s - sum(s for s, _ in spent.values()), 1]
    print("| stage | CPU ms per second of video | calls | ms a call |")
    print("|---|---|---|---|")
    for stage, (cpu_s, calls) in spent.items():
        a_call = cpu_s / calls * 1e3
        print(f"| {stage} | {cpu_s / STRETCH_S * 1e3:.1f} | {calls:.0f} | {a_call:.2f} |")
    print(f"| all | {whole_s / STRETCH_S * 1e3:.1f} | | |")


def memory(film: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hour = Path(folder) / f"hour{film.suffix}"
        loop(film, hour, 3600)
        short = peak_mb(index_command(film, Path(folder) / "a"))
        print(f"peak memory, {duration_s(film):.0f} s of film:  {short:.0f} MB", flush=True)
        long = peak_mb(index_command(hour, Path(folder) / "b"))
        print(f"peak memory, {duration_s(hour):.0f} s of film: {long:.0f} MB")
        print(f"ratio {long / short:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "memory", "quick", "stages"])
    parser.add_argument("--film", type=Path, default=ROOT / "videos" / "big_buck_bunny_360p.mp4")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed(arguments.film, arguments.runs)
    elif arguments.what == "memory":
        memory(arguments.film)
    elif arguments.what == "stages":
        stages(arguments.film)
    else:
        quick(arguments.film)
