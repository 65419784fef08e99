"""A store that SEAL 0.1 made is upgraded when it is opened, and loses nothing on the way."""

from __future__ import annotations

import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest

from seal.errors import StoreError, StoreVersionError
from seal.store import Store, Unfinished, schema
from seal.store.lance import Tables
from seal.types import Tokens
from store_worker import KEYS, assert_same, index, known_part, make_record

DATA = Path(__file__).parent / "data"
WANT = json.loads(lzma.decompress((DATA / "schema-1.json.xz").read_bytes()))
"""What SEAL 0.1 read from the store: by video the columns of its tokens, pictures and record."""
KILLS = int(os.environ.get("SEAL_TEST_KILLS", "40"))
"""Each takes half a second: the count of the benchmarks' log, 200, is not for every run."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schema-1")
    with tarfile.open(DATA / "schema-1.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    """A store that SEAL 0.1 made: two videos, one of them indexed twice, and half of a third."""
    return Path(shutil.copytree(made, tmp_path / "store"))


def assert_all_there(path: Path) -> None:
    store = Store(path)
    assert [video.id for video in store.videos()] == list(WANT)
    for video in store.videos():
        want, got = WANT[video.id], store.tokens(video.id)
        since = {"notes": [], "is_quick": False, "language": "", "meaning": ""}
        assert json.loads(video.to_json()) == want["record"] | since
        for name in ("ids", "pts", "boxes", "embeddings", "facets"):
            assert getattr(got, name).tolist() == want[name]
        assert [got.track(i).tolist() for i in range(len(got))] == want["tracks"]
        assert [jpeg.decode() for jpeg in store.pictures(video.id, got)] == want["pictures"]
        assert set(got.text) == {""}
    assert store.unfinished() == [
        Unfinished("half-dead0003", "", {"scene": 2, "object": 2, "action": 2})
    ]
    assert sorted(entry.name for entry in path.iterdir()) == ["schema-2", "store.json"]


def test_opening_upgrades(old: Path) -> None:
    assert schema.read_version(old) == 1
    for _ in range(2):
        assert_all_there(old)
        assert schema.read_version(old) == 2


def test_what_was_indexed_is_not_indexed_again(old: Path) -> None:
    store = Store(old)
    film, walk = store.videos()
    for record in (film, walk):
        stored = store.begin(record, record.keys)
        assert stored.complete == set(record.keys)
        assert stored.done == {
            (kind, part) for kind in KEYS for part in range(3 if record is film else 1)
        }
        store.finish(record, record.keys)
    assert_all_there(old)


def test_a_video_that_lost_its_rows_of_parts_is_still_read(old: Path) -> None:
    parts = lancedb.connect(old).open_table("parts")
    parts.delete("video_id = 'film-c0ffee01' AND part < 2")
    store, want = Store(old), WANT["film-c0ffee01"]
    assert store.tokens("film-c0ffee01").ids.tolist() == want["ids"]
    counts = store.count("film-c0ffee01")
    assert sum(counts.values()) == len(want["ids"])
    contents = store._committed("film-c0ffee01").contents
    assert [part.number for part in contents.parts["scene"]] == [0, 1, 2]
    assert all(part.count >= 0 for parts in contents.parts.values() for part in parts)
    assert all(parts[1].count == 0 for parts in contents.parts.values())


def test_a_half_indexed_video_is_completed(old: Path) -> None:
    store = Store(old)
    record = make_record("half-dead0003")
    assert store.begin(record, KEYS).done == {(kind, part) for kind in KEYS for part in (0, 1)}
    tokens, pictures, *_ = known_part("half", 2, KEYS)
    store.add(record.id, 2, KEYS, tokens, pictures)
    store.finish(record, KEYS)
    got = store.tokens(record.id)
    parts = Tokens.concatenate(known_part("half", part, KEYS)[0] for part in range(3))
    order = np.argsort([list(KEYS).index(kind) for kind in parts.kinds], kind="stable")
    np.testing.assert_array_equal(got.embeddings, parts.take(order).embeddings)
    assert len(set(got.ids)) == len(got)
    assert set(tokens.ids) < set(got.ids)


def test_ids_of_unfinished_parts_are_the_same_in_every_upgrade(made: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        store = Store(shutil.copytree(made, tmp_path / name))
        store.finish(make_record("half-dead0003"), KEYS)
        found.append(store.tokens("half-dead0003"))
    assert_same(*found)
    assert found[0].ids.tolist() == found[1].ids.tolist()


def test_an_upgraded_store_can_be_written(old: Path) -> None:
    store = Store(old)
    record = store.resolve("film")
    index(store, record, dict(record.keys) | {"scene": "other"})
    assert store.resolve("film").keys["scene"] == "other"
    store.remove("walk-beef0002")
    store.remove("half-dead0003")
    assert [video.id for video in Store(old).videos()] == [record.id]
    assert Store(old).unfinished() == []


def test_newer_stores_are_refused(old: Path) -> None:
    schema.write_version(old, 3)
    with pytest.raises(StoreVersionError, match=r"schema 3.*upgrade"):
        Store(old)


def test_two_processes_upgrade_at_once(made: Path, tmp_path: Path) -> None:
    code = "import sys; from seal.store import Store; input(); Store(sys.argv[1]).videos()"
    for attempt in range(3):
        path = shutil.copytree(made, tmp_path / f"store{attempt}")
        command = [sys.executable, "-c", code, str(path)]
        both = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
        for process in both:
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.flush()
        for process in both:
            process.communicate()
        assert [process.returncode for process in both] == [0, 0]
        assert_all_there(path)


def test_a_process_overtaken_by_another_upgrade_reads_that_one(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one completes the upgrade, and deletes the old tables and our draft."""
    append = Tables.append

    def overtaken(tables: Tables, name: str, rows: Any) -> None:
        monkeypatch.undo()
        assert_all_there(old)
        append(tables, name, rows)

    monkeypatch.setattr(Tables, "append", overtaken)
    assert_all_there(old)


def test_another_upgrade_may_remove_tables_after_they_are_named(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Tables.names

    def overtaken(tables: Tables) -> list[str]:
        named = names(tables)
        monkeypatch.undo()
        assert_all_there(old)
        return named

    monkeypatch.setattr(Tables, "names", overtaken)
    assert_all_there(old)


def test_an_older_seal_that_writes_meanwhile_is_noticed(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove_walk() -> None:
        lancedb.connect(old).open_table("videos").delete("id = 'walk-beef0002'")

    append, left = Tables.append, [1]

    def slow(tables: Tables, name: str, rows: Any) -> None:
        if name == "videos" and left:
            left.pop()
            remove_walk()
        append(tables, name, rows)

    monkeypatch.setattr(Tables, "append", slow)
    assert [video.id for video in Store(old).videos()] == ["film-c0ffee01"]


def test_an_older_seal_that_writes_after_an_interrupted_upgrade_is_noticed(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(schema, "write_version", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Store(old)
    lancedb.connect(old).open_table("videos").delete("id = 'walk-beef0002'")
    with pytest.raises(StoreError, match="delete the folder"):
        Store(old)
    shutil.rmtree(old / "schema-2")
    assert [video.id for video in Store(old).videos()] == ["film-c0ffee01"]


def test_a_full_disk_leaves_the_old_store(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tables: Tables, name: str, rows: Any) -> None:
        raise OSError("No space left on device (os error 28)")

    with monkeypatch.context() as patched:
        patched.setattr(Tables, "append", full)
        with pytest.raises(StoreError, match="no space left"):
            Store(old)
    assert schema.read_version(old) == 1
    assert not [entry for entry in old.iterdir() if entry.name.startswith(".new-")]
    assert_all_there(old)


def steps_patched(kill_at: int) -> None:
    """Let this process kill itself before its write number `kill_at`."""
    left = [kill_at]

    def limited(write: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return write(*arguments, **options)

        return step

    Tables.append = limited(Tables.append)  # type: ignore[method-assign]
    Path.write_text = limited(Path.write_text)  # type: ignore[method-assign]
    for module, name in ((os, "rename"), (os, "replace"), (shutil, "rmtree")):
        setattr(module, name, limited(getattr(module, name)))


LAUNCHER = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from seal.store import Store
from test_store_migrate import steps_patched
for line in sys.stdin:
    path, kill_at = line.rsplit(" ", 1)
    child = os.fork()
    if child == 0:
        steps_patched(int(kill_at))
        Store(path)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Forks processes, because LanceDB loads for a second. Prints their ids and how they ended."""


def test_killed_at_any_instant_of_the_upgrade_nothing_is_lost(made: Path, tmp_path: Path) -> None:
    """At each write first, then at random times."""
    kills, step, longest_s = 0, 0, 0.0
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdin
        assert launcher.stdout
        while kills < KILLS:
            path = shutil.copytree(made, tmp_path / f"store{kills}")
            print(path, step, file=launcher.stdin, flush=True)
            child, began = int(launcher.stdout.readline()), time.monotonic()
            if longest_s:
                time.sleep(random.uniform(0, longest_s))
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            killed = int(launcher.stdout.readline()) == signal.SIGKILL
            if not longest_s and not killed:
                # All writes were tried.
                assert step > 20
                longest_s, step = time.monotonic() - began, 10**9
            step += not longest_s
            kills += killed
            assert_all_there(path)
            shutil.rmtree(path)
        launcher.stdin.close()
