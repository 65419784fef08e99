"""Kills at random instants: what was committed stays, and the next run clears up.

    python benchmarks/kills.py [--store 1000] [--s3 60] [--upgrades 100] [--commands 150] [--seed 0]

Four campaigns, with as many SIGKILLs as the options say; the whole takes about twenty minutes on
two cores (Linux only).

store      Two processes index, remove and optimize videos of their own in one store and write down
           what they have done. After each kill the store has every video as it was written down;
           after each few, a run that is not killed leaves nothing but the videos.
s3         The same in an object store: `moto_server` on this machine, which is not killed.
upgrades   A store of SEAL 0.1 is opened, and the process killed.
commands   `seal index` with two jobs, two of them at once, `remove`, `optimize`, `list` on a store
           of SEAL 0.1 and `watch --state`, each as a process group or as a process alone. After a
           kill, no process is left that the command started; the next run ends well with the tokens
           of a run that was never killed, and leaves no semaphore and no temporary file.

Exits with 1 at the first promise that is broken, and says which seed repeats it.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import s3_server  # noqa: E402
from filmed import write_film  # noqa: E402
from seal.store import Store  # noqa: E402
from store_worker import (  # noqa: E402
    KEYS,
    assert_known,
    assert_nothing_left_over,
    assert_same,
    index,
    make_record,
)

_SERVE = "--serve"
_LONGEST_S = 0.5
"""A worker of the store campaign is killed within this time: some ten commits."""
_LONGEST_S3_S = 3.0
"""The same for the s3 campaign."""
_RERUN_EVERY = 20
"""Kills between two runs that are not killed."""
_GONE_S = 20.0
"""What a killed command started has to be gone by then."""
_MARK = "SEAL_KILLED_BY"
"""A variable in the environment of every process that a killed command started."""
_SHM = Path("/dev/shm")
_LARGEST = 1.5
"""A store after clearing up is at most this many times as large as one that was never killed."""
_SLACK_BYTES = 32_768
"""And this much more: what Lance keeps beside the rows, however few."""


class BrokenPromiseError(Exception):
    """A promise that was not kept."""


def promise(kept: object, what: str) -> None:
    if not kept:
        raise BrokenPromiseError(what)


# The store


def churn(path: str, name: str, seed: int, log: Path) -> None:
    """Index, remove and optimize, and write down each step before and after, until killed."""
    rng = random.Random(seed)
    store = Store(path, create=True)
    with log.open("a", buffering=1) as file:
        for step in range(1_000_000):
            video = f"{name}-{rng.randrange(3)}"
            work = rng.choice(["index", "index", "index", "remove", "optimize"])
            key = f"{seed}-{step}"
            print(work, video, key, "begins", file=file)
            if work == "index":
                index(store, make_record(video), KEYS | {"object": key})
            elif work == "remove":
                store.remove(video, purge=rng.random() < 0.5)
            else:
                store.optimize(purge=rng.random() < 0.5)
            print(work, video, key, "ends", file=file)


def serve() -> None:
    """Fork a process per line of input: importing LanceDB takes a second."""
    import lancedb  # noqa: F401

    warnings.filterwarnings("ignore", message="lancedb fork support")
    for line in sys.stdin:
        words = line.split()
        child = os.fork()
        if child == 0:
            try:
                if words[0] == "churn":
                    churn(words[1], words[2], int(words[3]), Path(words[4]))
                else:
                    Store(words[1])
            finally:
                os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


class Worker:
    """A process that forks those that are killed."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__, _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *words: object) -> int:
        assert self._server.stdin
        assert self._server.stdout
        print(*words, file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def ended(self) -> bool:
        """Waits; whether the process was killed."""
        assert self._server.stdout
        return int(self._server.stdout.readline()) == signal.SIGKILL

    def stop(self) -> None:
        self._server.communicate()


Version = str | None
"""The key under which a video is committed; None where it is removed."""


def allowed(log: Path, before: dict[str, set[Version]]) -> dict[str, set[Version]]:
    """In which versions each video may be found after a kill: the last one that was written down,
    and the one that was being made."""
    found = dict(before)
    for line in log.read_text().splitlines() if log.exists() else ():
        work, video, key, state = line.split()
        if work == "optimize":
            continue
        made = key if work == "index" else None
        old = found.get(video, {None})
        found[video] = {made} if state == "ends" else old | {made}
    return found


def check_store(path: Path | str, versions: dict[str, set[Version]]) -> None:
    store = Store(path, create=True)
    there = {video.id: video for video in store.videos()}
    for name, possible in versions.items():
        version = there[name].keys["object"] if name in there else None
        promise(version in possible, f"{name} is there as {version}, and not as {possible}")
    for video in there.values():
        assert_known(store, video)
        versions[video.id] = {video.keys["object"]}


def clear_up(path: Path | str) -> Store:
    """A run that is not killed: all videos, and nothing else."""
    store = Store(path, create=True)
    for name in ("a-0", "a-1", "a-2", "b-0", "b-1", "b-2"):
        keys = KEYS | {"object": "same"}
        index(store, make_record(name), keys)
        assert_known(store, store.resolve(name))
    store.optimize(purge=True)
    assert_nothing_left_over(store)
    if isinstance(path, Path):
        for entry in path.rglob("*"):
            promise(".new-" not in entry.name, f"{entry} is left")
        there = sorted(entry.name for entry in path.iterdir())
        promise(there == ["schema-2", "store.json"], "files are left")
    return store


def size_bytes(path: Path) -> int:
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


def of_store(kills: int, seed: int, folder: Path) -> Iterator[int]:
    most = _LARGEST * clear_up(folder / "fresh").size_bytes() + _SLACK_BYTES
    yield from _of_store(folder / "store", kills, seed, folder, _LONGEST_S, most)


def of_s3(kills: int, seed: int, folder: Path) -> Iterator[int]:
    with s3_server.running(folder) as server:
        os.environ |= server.environment
        done = 0
        while done < kills:
            # A store of its own for each run: the server lists a prefix as slowly as its bucket.
            # What a killed process wrote and did not commit stays for seven days, so that no size
            # is promised.
            path, wanted = server.new_address(), min(_RERUN_EVERY, kills - done)
            campaign = _of_store(path, wanted, seed + done, folder, _LONGEST_S3_S, math.inf)
            for count in campaign:
                yield done + count
            done += count


def _of_store(
    path: Path | str, kills: int, seed: int, folder: Path, longest_s: float, most: float
) -> Iterator[int]:
    rng, log = random.Random(seed), folder / "log"
    workers = [Worker(), Worker()]
    versions: dict[str, set[Version]] = {}
    done = since = 0
    while done < kills:
        children = [
            worker.start("churn", path, name, rng.randrange(10**9), f"{log}-{name}")
            for worker, name in zip(workers, "ab", strict=True)
        ]
        for child in children:
            time.sleep(rng.uniform(0, longest_s))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        ended = [worker.ended() for worker in workers]
        promise(all(ended), "a process ended before it was killed: its error is above")
        done, since = done + len(ended), since + len(ended)
        for name in "ab":
            versions = allowed(Path(f"{log}-{name}"), versions)
            Path(f"{log}-{name}").unlink(missing_ok=True)
        check_store(path, versions)
        if since >= _RERUN_EVERY or done >= kills:
            since = 0
            size = clear_up(path).size_bytes()
            promise(size <= most, f"the store has {size:,} bytes, one never killed {most:,.0f}")
            versions = {name: {"same"} for name in versions}
        yield done
    for worker in workers:
        worker.stop()


# Stores of SEAL 0.1


def old_store(folder: Path) -> Path:
    with tarfile.open(TESTS / "data" / "schema-1.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


def of_upgrades(kills: int, seed: int, folder: Path) -> Iterator[int]:
    from test_store_migrate import assert_all_there

    rng, made, worker = random.Random(seed), old_store(folder / "old"), Worker()
    longest_s, done = 0.5, 0
    while done < kills:
        path = Path(shutil.copytree(made, folder / "upgraded"))
        began = time.monotonic()
        child = worker.start("open", path)
        time.sleep(rng.uniform(0, longest_s))
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        if worker.ended():
            done += 1
        else:
            longest_s = time.monotonic() - began
        assert_all_there(path)
        shutil.rmtree(path)
        yield done
    worker.stop()


# Commands


class Commands:
    """Commands that are killed, and what they must leave."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self._rng = rng
        self._folder = folder
        self._shm = {*_SHM.iterdir()}
        self._film, self._other = folder / "film.mp4", folder / "other.mp4"
        write_film(self._film, seed=0, duration_s=6.0)
        write_film(self._other, seed=1, duration_s=3.0)
        self._films = [str(self._film), str(self._other)]
        whole = folder / "whole"
        self._index_s = self._run("index", *self._films, "--jobs", "2", "--store", whole)
        self._want = Store(whole)
        self._whole = whole
        self._old = old_store(folder / "old")
        self._watch = ["watch", str(self._film), "--query", "a ball", "--window", "2", "--json"]
        self._watch_s = self._run(*self._watch, "--state", folder / "state-whole")
        self._short_s = self._run("list", "--store", whole)

    def _start(self, *words: object, mark: str = "") -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "seal.cli", *map(str, words)],
            env=os.environ | {_MARK: mark},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _run(self, *words: object) -> float:
        """Runs a command to its end, which must be good, and returns the seconds that took."""
        began = time.monotonic()
        process = self._start(*words)
        _, said = process.communicate()
        line = " ".join(map(str, words))
        promise(process.returncode == 0, f"seal {line}: {process.returncode}: {said.decode()}")
        return time.monotonic() - began

    def _kill(self, longest_s: float, *commands: Sequence[object]) -> int:
        """Starts commands at once and kills each, with its group or alone; how many were."""
        mark = uuid4().hex
        began = [self._start(*words, mark=mark) for words in commands]
        killed = 0
        for process in began:
            time.sleep(self._rng.uniform(0, longest_s) / len(began))
            if process.poll() is None:
                kill = os.killpg if self._rng.random() < 0.5 else os.kill
                kill(process.pid, signal.SIGKILL)
        for process in began:
            killed += process.wait() == -signal.SIGKILL
            if process.stderr:
                process.stderr.close()
        deadline = time.monotonic() + _GONE_S
        while left := marked(mark):
            promise(time.monotonic() < deadline, f"processes {left} outlive what started them")
            time.sleep(0.05)
        return killed

    def _check(self, store: Path, films: Sequence[str]) -> None:
        """These films are in a store as in one that was never killed, and nothing else is."""
        got = Store(store)
        for video in self._want.videos():
            if video.path in films:
                assert_same(got.tokens(video.id), self._want.tokens(video.id))
        promise(sorted(v.path for v in got.videos()) == sorted(films), "other videos than indexed")
        promise(got.unfinished() == [], "an unfinished video is left")
        left = [entry for entry in store.rglob("*") if ".new" in entry.name]
        left += list(store.glob("store.json.*"))
        promise(not left, f"{left} are left")
        # Those of other programs come and go; what is left by a kill stays.
        deadline = time.monotonic() + _GONE_S
        while (semaphores := {*_SHM.glob("sem.*")} - self._shm) and time.monotonic() < deadline:
            time.sleep(0.05)
        promise(not semaphores, f"{semaphores} are left")
        got.optimize(purge=True)
        size, most = size_bytes(store), _LARGEST * size_bytes(self._whole) + _SLACK_BYTES
        promise(size <= most, f"the store has {size:,} bytes, one never killed {most:,.0f}")

    def index(self) -> int:
        store = self._folder / "indexed"
        words = ["index", *self._films, "--jobs", "2", "--store", store]
        killed = sum(self._kill(self._index_s, words) for _ in range(3))
        self._run(*words)
        self._check(store, self._films)
        shutil.rmtree(store)
        return killed

    def two_indexers(self) -> int:
        store = self._folder / "twice"
        words = ["index", *self._films, "--jobs", "1", "--store", store]
        killed = self._kill(2 * self._index_s, words, words)
        self._run(*words)
        self._check(store, self._films)
        shutil.rmtree(store)
        return killed

    def _shortly(self, check: Callable[[Path], None], *words: object) -> int:
        """Kills a short command on a copy of the whole store, then checks the copy."""
        store = Path(shutil.copytree(self._whole, self._folder / "copy"))
        killed = self._kill(1.5 * self._short_s, [*words, "--store", store])
        check(store)
        shutil.rmtree(store)
        return killed

    def remove(self) -> int:
        return self._shortly(self._removed, "remove", str(self._other))

    def _removed(self, store: Path) -> None:
        there = [video.path for video in Store(store).videos()]
        promise(str(self._film) in there, "a video that nobody removed is gone")
        if str(self._other) in there:
            self._run("remove", self._other, "--store", store)
        self._check(store, [str(self._film)])

    def optimize(self) -> int:
        return self._shortly(lambda store: self._check(store, self._films), "optimize")

    def upgrade(self) -> int:
        from test_store_migrate import assert_all_there

        store = Path(shutil.copytree(self._old, self._folder / "upgraded"))
        killed = self._kill(2 * self._short_s, ["list", "--store", store])
        assert_all_there(store)
        shutil.rmtree(store)
        return killed

    def watch(self) -> int:
        folder = self._folder / "watched"
        folder.mkdir()
        words = [*self._watch, "--state", folder / "state"]
        killed = sum(self._kill(self._watch_s, words) for _ in range(3))
        self._run(*words)
        left = [entry.name for entry in folder.iterdir()]
        promise(left == ["state"], f"{left} are left beside the state")
        shutil.rmtree(folder)
        return killed


def marked(mark: str) -> list[int]:
    """The processes that were started with a mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def of_commands(kills: int, seed: int, folder: Path) -> Iterator[int]:
    commands, done = Commands(folder, random.Random(seed)), 0
    turns: list[Callable[[], int]] = [
        *(commands.index, commands.two_indexers, commands.remove),
        *(commands.optimize, commands.upgrade, commands.watch),
    ]
    turn = 0
    while done < kills:
        done += turns[turn % len(turns)]()
        turn += 1
        yield done


CAMPAIGNS = {"store": of_store, "s3": of_s3, "upgrades": of_upgrades, "commands": of_commands}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kills in (("store", 1000), ("s3", 60), ("upgrades", 100), ("commands", 150)):
        parser.add_argument(f"--{name}", type=int, default=kills, metavar="KILLS")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| campaign | kills | broken promises | time |\n|---|---|---|---|", flush=True)
    for name, campaign in CAMPAIGNS.items():
        began, done, wanted = time.monotonic(), 0, getattr(arguments, name)
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                progress = campaign(wanted, arguments.seed, Path(folder))
                while done < wanted:
                    done = next(progress)
            except (BrokenPromiseError, AssertionError) as error:
                raise SystemExit(
                    f"{name}, --seed {arguments.seed}, kill {done}: {error}"
                ) from error
        print(f"| {name} | {done} | 0 | {time.monotonic() - began:.0f} s |", flush=True)


if __name__ == "__main__":
    serve() if _SERVE in sys.argv else main()
