"""Kills at random moments while several processes index: nothing is lost, and nothing is twice.

    python benchmarks/engine_kills.py [--kills 40] [--nodes 0] [--seed 0]

Each turn indexes a clip that is cut in parts and clips of one part, and kills one process with
SIGKILL:

worker  a process that `seal index --jobs 2` has started. The command goes on and ends well. With
        `engine.retries=0` the part of a process that dies is a dead letter: what the command
        says, what `seal list` shows and which parts the store lacks must agree.
driver  the command itself. The same command then completes the video.
shard   one of three shards that run at once. The shard is run again, and the video is complete.
node    (`--nodes`, with the extra ray) a node of a Ray cluster of two, and a worker beside it.

After each turn the store has the videos and tokens of a run that was never killed, with their ids,
and no video is unfinished. Exits with 1 at the first promise that is broken, and says which seed
repeats it. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from kills import TESTS, BrokenPromiseError, promise

sys.path.insert(0, str(TESTS))

from seal.store import Store
from store_worker import assert_same
from synthetic import write_video

_SETTINGS = ["--set", "video.part_s=4", "--set", "video.short_side_px=64"]
_SHARDS = 3
_SHORT = 3
"""Clips of one part."""


class Turns:
    """Turns of a campaign, which leave nothing but their result."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self._folder, self._rng = folder, rng
        self._clips = [write_video(folder / "clip.mp4", range(0, 24_000, 40), gop=50)]
        self._clips += [
            write_video(folder / f"short-{number}.mp4", range(0, 2000 + 40 * number, 40))
            for number in range(_SHORT)
        ]
        began = time.monotonic()
        promise(self._start(folder / "whole", "--jobs", "2").wait() == 0, "a plain run failed")
        self.run_s = time.monotonic() - began
        whole = Store(folder / "whole")
        self._want = {video.id: whole.tokens(video.id) for video in whole.videos()}
        self._nodes: Any = None

    def _start(self, store: Path, *words: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "seal.cli",
            "index",
            *map(str, self._clips),
            "--store",
            str(store),
        ]
        environment = self._nodes.environment if "ray" in words else None
        return subprocess.Popen(
            [*command, *_SETTINGS, "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def _wait(self) -> None:
        time.sleep(self._rng.uniform(0.1, 1.0) * self.run_s)

    def _check(self, store: Path) -> None:
        opened = Store(store)
        videos = sorted(video.id for video in opened.videos())
        promise(videos == sorted(self._want), f"{videos} are there")
        promise(opened.unfinished() == [], "a video is unfinished")
        for video, tokens in self._want.items():
            assert_same(opened.tokens(video), tokens)
        shutil.rmtree(store)

    def worker(self) -> int:
        store, retries = self._folder / "worker", self._rng.choice([0, 2])
        words = ["--jobs", "2", "--set", f"engine.retries={retries}"]
        process = self._start(store, *words)
        self._wait()
        killed = 0
        for child in self._rng.sample(found := children(process.pid), min(1, len(found))):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                killed = 1
        out, _ = process.communicate()
        if process.returncode == 1:
            promise(retries == 0, "a worker was not replaced")
            rows = [json.loads(line) for line in out.splitlines()]
            # What is complete is described by its tokens.
            (share,) = [row for row in rows if "dead" in row]
            dead = [letter["part"] for letter in share["dead"]]
            (begun,) = Store(store).unfinished()
            promise(begun.id == share["video"], "the store has another unfinished video")
            promise([letter.part for letter in begun.dead] == dead, "the store has other letters")
            promise(len(dead) == killed, f"{dead} failed, and one worker was killed")
            done = set(begun.done.values())
            promise(done <= {share["parts"] - len(dead)}, "other parts than the dead are missing")
            promise(self._start(store, *words).wait() == 0, "the run after does not end well")
        else:
            promise(process.returncode == 0, f"it ended with {process.returncode}")
        self._check(store)
        return killed

    def driver(self) -> int:
        store, words = self._folder / "driver", ["--jobs", "2"]
        process = self._start(store, *words)
        self._wait()
        process.kill()
        killed = process.wait() == -signal.SIGKILL
        promise(self._start(store, *words).wait() == 0, "the run after does not end well")
        self._check(store)
        return int(killed)

    def shard(self) -> int:
        store, killed = self._folder / "shard", 0
        shards = [("--jobs", "1", "--shard", f"{k + 1}/{_SHARDS}") for k in range(_SHARDS)]
        running = [self._start(store, *words) for words in shards]
        self._wait()
        self._rng.choice(running).kill()
        for words, process in zip(shards, running, strict=True):
            process.communicate()
            if process.returncode == -signal.SIGKILL:
                killed = 1
                promise(self._start(store, *words).wait() == 0, "the shard does not end well")
            else:
                promise(process.returncode == 0, f"a shard ended with {process.returncode}")
        self._check(store)
        return killed

    def node(self) -> int:
        if self._nodes is None:
            from test_ray import Nodes

            self._nodes = Nodes()
        store = self._folder / "node"
        process = self._start(store, "--engine", "ray", "--set", "engine.retries=5")
        self._wait()
        self._nodes.kill_one()
        process.communicate()
        promise(process.returncode == 0, f"it ended with {process.returncode}")
        self._check(store)
        return 1

    def close(self) -> None:
        if self._nodes is not None:
            self._nodes.close()


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts, began = Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        turns = Turns(Path(folder), random.Random(arguments.seed))
        try:
            while counts.total() < arguments.kills:
                for turn in (turns.worker, turns.driver, turns.shard):
                    killed = turn()
                    counts[turn.__name__] += killed
                    if not killed:
                        # The machine has become faster.
                        turns.run_s *= 0.8
                    print(dict(counts), file=sys.stderr, flush=True)
            while counts["node"] < arguments.nodes:
                counts["node"] += turns.node()
        except (BrokenPromiseError, AssertionError) as error:
            raise SystemExit(f"--seed {arguments.seed}, after {dict(counts)}: {error}") from error
        finally:
            turns.close()
    print("| killed | kills | broken promises |\n|---|---|---|")
    for name, count in counts.items():
        print(f"| {name} | {count} | 0 |")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
