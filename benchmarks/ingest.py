"""How fast a film is indexed, against decoding it and doing nothing else, and with how much memory.

    python benchmarks/ingest.py speed [--film FILE] [--runs 3]
    python benchmarks/ingest.py memory [--film FILE]
    python benchmarks/ingest.py quick [--film FILE]

Whole processes are measured, start-up included. `speed` runs both in turn, so that the ratio holds
on a machine whose speed drifts. `memory` indexes the film, and the film looped to one hour, and
adds up what all processes of a run hold (PSS, from /proc: Linux only). `quick` indexes the film
with --quick, and the film at 720p looped to two hours, of which it asks one question at once.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from data import ROOT

BARE_DECODE = """
import sys, av
with av.open(sys.argv[1]) as container:
    container.streams.video[0].thread_type = "AUTO"
    for frame in container.decode(video=0):
        pass
"""


def index_command(film: Path, store: Path) -> list[str]:
    return [sys.executable, "-m", "seal.cli", "index", str(film), "--store", str(store)]


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


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
        index_s = seconds([*index_command(film, store), "--quick"])
        find_s = seconds([*seal, "find", str(film), "a rabbit", "--store", str(store)])
        print(
            f"{duration_s(film):.0f} s of 720p: index --quick {index_s:.1f} s, find {find_s:.1f} s"
        )


def speed(film: Path, runs: int) -> None:
    length_s, rows = duration_s(film), []
    for run in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            bare_s = seconds([sys.executable, "-c", BARE_DECODE, str(film)])
            index_s = seconds(index_command(film, Path(folder) / "store"))
        rows.append((bare_s, index_s))
        print(f"run {run + 1}: bare decode {bare_s:.1f} s, index {index_s:.1f} s", file=sys.stderr)
    bare = statistics.median(bare for bare, _ in rows)
    index = statistics.median(index for _, index in rows)
    ratio = statistics.median(index / bare for bare, index in rows)
    print(f"{film.name}, {length_s:.0f} s, median of {runs} runs")
    print(f"  bare decode  {length_s / bare:6.1f} x real time")
    print(f"  seal index   {length_s / index:6.1f} x real time")
    print(f"  ratio        {ratio:6.2f}")


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
    parser.add_argument("what", choices=["speed", "memory", "quick"])
    parser.add_argument("--film", type=Path, default=ROOT / "videos" / "big_buck_bunny_360p.mp4")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed(arguments.film, arguments.runs)
    elif arguments.what == "memory":
        memory(arguments.film)
    else:
        quick(arguments.film)
