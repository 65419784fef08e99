"""What engines cost beside `local`, and how much of 64 workers would be at work.

    python benchmarks/engines.py overhead [--film FILE] [--jobs 2] [--runs 3] [--set KEY=VALUE]
    python benchmarks/engines.py simulate [--film FILE] [--workers 64] [--parts 12]

`overhead` indexes a film, or a folder of videos, with `local` and `--jobs` processes, with `local`
and one process, with `ray` and as many CPUs, and as many shards at once with one process each, in
turn, whole processes with their start. `ray` is left out where it is not installed.

`simulate` indexes some parts of the film, one after another, and times each part and what it takes
to store it. It then replays these times, drawn with replacement, as the 103 videos of LVBench (68
minutes each) on so many workers: `ray`, whose one driver stores all parts of four videos at a
time, and shards, each of which stores its own and has a fixed share. Efficiency is the work of all
parts by the workers' time until the last one ends. It also says at how many workers the driver is
busy with storing alone.
"""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data import ROOT
from seal.config import Options
from seal.decompose import Models
from seal.ingest import Shard, index_part, prepare
from seal.store import Store
from seal.video import open_video

_FILM = ROOT / "videos" / "big_buck_bunny_360p.mp4"
_VIDEOS, _VIDEO_S = 103, 4080.0
"""LVBench."""
_VIDEOS_AT_ONCE = 4


def overhead(film: Path, jobs: int, runs: int, settings: list[str]) -> None:
    chosen = [word for setting in settings for word in ("--set", setting)]
    plain = [sys.executable, "-m", "seal.cli", "index", str(film), *chosen]
    ways: dict[str, list[list[str]]] = {
        "local": [[*plain, "--jobs", str(jobs)]],
        "local, one process": [[*plain, "--jobs", "1"]],
        "shards": [
            [*plain, "--jobs", "1", "--shard", f"{number + 1}/{jobs}"] for number in range(jobs)
        ],
    }
    if importlib.util.find_spec("ray"):
        ways["ray"] = [[*plain, "--engine", "ray", "--jobs", str(jobs)]]
    took: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, commands in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                began, before_s = time.monotonic(), _children_s()
                running = [
                    subprocess.Popen(
                        [*command, "--store", f"{folder}/store"],
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                    for command in commands
                ]
                if any(process.wait() for process in running):
                    raise SystemExit(f"{name} failed")
                took[name].append(time.monotonic() - began)
                busy[name].append(_children_s() - before_s)
                records = Store(f"{folder}/store").videos()
    print("| engine | seconds, median | CPU seconds | ratio to local, median of pairs |")
    print("|---|---|---|---|")
    for name, seconds in took.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, took["local"], strict=True))
        cpu_s = statistics.median(busy[name])
        print(f"| {name} | {statistics.median(seconds):.1f} | {cpu_s:.1f} | {ratio:.2f} |")
    length_s = sum(record.duration_s for record in records)
    load = os.getloadavg()[0]
    print(f"{len(records)} videos of {length_s:.0f} s, {jobs} processes, load {load:.1f}")


def _children_s() -> float:
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def simulate(film: Path, workers: int, count: int, settings: list[str]) -> None:
    options = Options.load(settings=settings)
    parts_s, stores_s = measured(film, count, options)
    print(f"part: {statistics.mean(parts_s):.2f} s (sd {statistics.pstdev(parts_s):.2f})")
    print(f"to store it: {statistics.mean(stores_s):.3f} s")
    most = statistics.mean(parts_s) / statistics.mean(stores_s)
    print(f"one driver stores what {most:.0f} workers make")
    rng = random.Random(0)
    each = round(_VIDEO_S / options.video.part_s)
    videos = [
        [(rng.choice(parts_s), rng.choice(stores_s)) for _ in range(each)] for _ in range(_VIDEOS)
    ]
    work_s = sum(part_s for video in videos for part_s, _ in video)
    print("| engine | efficiency |\n|---|---|")
    ways: dict[str, Callable[[list[list[tuple[float, float]]], int], float]] = {
        "ray": by_driver,
        "shards": by_shards,
    }
    for name, way in ways.items():
        print(f"| {name}, {workers} workers | {work_s / (workers * way(videos, workers)):.3f} |")


def measured(film: Path, count: int, options: Options) -> tuple[list[float], list[float]]:
    """Seconds to make each of some parts, and to store each."""
    parts_s, stores_s = [], []
    with tempfile.TemporaryDirectory() as folder, open_video(film, options.video) as video:
        store, models = Store(folder, create=True), Models.load(options)
        plan = prepare(film, video, store, options, models).plan
        assert plan
        numbers = plan.todo
        for number in numbers[:: max(1, len(numbers) // count)][:count]:
            began = time.monotonic()
            part = index_part(plan, number, models)
            made = time.monotonic()
            stored = part.tokens, part.pictures, part.gaps, part.meanings
            store.add(plan.video_id, number, part.keys, *stored)
            parts_s.append(made - began)
            stores_s.append(time.monotonic() - made)
    return parts_s, stores_s


def by_driver(videos: list[list[tuple[float, float]]], workers: int) -> float:
    """When the last part is stored: any free worker takes the next part of the videos that are
    worked on, and one driver stores what they have made in order of its end."""
    free = [0.0] * workers
    open_videos = [list(video) for video in videos[:_VIDEOS_AT_ONCE]]
    waiting = [list(video) for video in videos[_VIDEOS_AT_ONCE:]]
    stored_s, made = 0.0, list[tuple[float, float]]()
    while open_videos or waiting:
        if not open_videos:
            open_videos.append(waiting.pop(0))
        part_s, store_s = open_videos[0].pop()
        if not open_videos[0]:
            # Its thread goes on to the next video when its last part is stored; near enough now.
            open_videos.pop(0)
            if waiting:
                open_videos.append(waiting.pop(0))
        at = heapq.heappop(free) + part_s
        heapq.heappush(free, at)
        made.append((at, store_s))
    for at, store_s in sorted(made):
        stored_s = max(stored_s, at) + store_s
    return stored_s


def by_shards(videos: list[list[tuple[float, float]]], workers: int) -> float:
    """When the last shard ends."""
    ends = [0.0] * workers
    for place, video in enumerate(videos):
        for number in range(1, workers + 1):
            shard = Shard(number, workers, place)
            ends[number - 1] += sum(
                part_s + store_s for p, (part_s, store_s) in enumerate(video) if shard.has(p)
            )
    return max(ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["overhead", "simulate"])
    parser.add_argument("--film", type=Path, default=_FILM)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--parts", type=int, default=12)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    if given.what == "overhead":
        overhead(given.film, given.jobs, given.runs, given.settings)
    else:
        simulate(given.film, given.workers, given.parts, given.settings)


if __name__ == "__main__":
    main()
