"""Killed, interrupted, full, damaged, crowded: the store loses nothing that was committed."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seal.store.lance as lance_module
import seal.store.store as store_module
import store_worker
from s3_server import S3Server, only_folders
from seal.errors import StoreError, StoreFullError
from seal.store import Store, schema
from seal.store.lance import Tables
from seal.store.place import is_bucket
from small_disk import mounted
from store_worker import (
    KEYS,
    KINDS,
    assert_known,
    assert_nothing_left_over,
    assert_same,
    index,
    known_part,
    known_tokens,
    make_part,
    make_record,
)


@pytest.fixture
def store(place: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("seal.store.store._MANY_FILES", 5)
    return Store(place, create=True)


class Workers:
    """Processes that index videos into one store, started together (see store_worker.py)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._launcher = subprocess.Popen(
            [sys.executable, store_worker.__file__],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _numbers(self) -> list[int]:
        assert self._launcher.stdout
        return [int(word) for word in self._launcher.stdout.readline().split()]

    def start(self, path: Path | str, names: list[str], rounds: int) -> list[int]:
        assert self._launcher.stdin
        print(rounds, path, *names, file=self._launcher.stdin, flush=True)
        children = self._numbers()
        assert len(children) == len(names)
        return children

    def running(self) -> bool:
        assert self._launcher.stdout
        return not select.select([self._launcher.stdout], [], [], 0)[0]

    def wait(self) -> list[int]:
        """How each ended: 0 is well, 9 is killed."""
        return self._numbers()

    def stop(self) -> None:
        self._launcher.communicate()


@pytest.fixture(scope="module")
def workers(s3_if_any: S3Server | None) -> Iterator[Workers]:
    workers = Workers({} if s3_if_any is None else s3_if_any.environment)
    yield workers
    workers.stop()


def test_killed_at_any_instant_it_stays_readable_and_the_next_run_completes_it(
    store: Store, workers: Workers
) -> None:
    for _ in range(5):
        for child in workers.start(store.path, ["a", "b"], rounds=1000):
            time.sleep(random.uniform(0.0, 0.4))
            os.kill(child, signal.SIGKILL)
        assert workers.wait() == [signal.SIGKILL] * 2
        again = Store(store.path)
        for video in again.videos():
            assert_known(again, video)
    for name in ("a-0", "a-1", "b-0", "b-1"):
        index(again, make_record(name))
        assert_known(again, again.resolve(name))
    assert_nothing_left_over(again)


def test_tables_come_into_being_once(place: str, workers: Workers) -> None:
    for attempt in range(2 if is_bucket(place) else 4):
        path = f"{place}{attempt}"
        workers.start(path, ["a", "b", "c", "d"], rounds=1)
        assert workers.wait() == [0, 0, 0, 0]
        store = Store(path)
        assert sorted(video.id for video in store.videos()) == ["a-0", "b-0", "c-0", "d-0"]
        for video in store.videos():
            assert_known(store, video)


def test_processes_that_work_at_once_share_a_store(place: str, workers: Workers) -> None:
    names = ["a", "b", "c"]
    workers.start(place, names, rounds=2 if is_bucket(place) else 6)
    whole = 0
    while workers.running():
        store = Store(place, create=True)
        for video in store.videos():
            tokens = store.tokens(video.id)
            if store.resolve(video.id) == video:  # Otherwise it was replaced as we read.
                assert_same(tokens, known_tokens(video))
                whole += 1
    assert workers.wait() == [0, 0, 0]
    assert whole > 0
    assert sorted(v.id for v in store.videos()) == [f"{name}-{i}" for name in names for i in (0, 1)]
    for video in store.videos():
        assert_known(store, video)
    assert store._tables.open("tokens_4x1").list_indices()
    assert_nothing_left_over(store)


def test_readers_and_writers_survive_a_purge(place: str, workers: Workers) -> None:
    """Processes that read and write, while another one removes the files of their snapshots."""
    rounds = 2 if is_bucket(place) else 4
    workers.start(place, ["a", "b", "read", "read", "purge"], rounds)
    assert workers.wait() == [0] * 5
    store = Store(place)
    assert sorted(video.id for video in store.videos()) == ["a-0", "a-1", "b-0", "b-1"]
    for video in store.videos():
        assert_known(store, video)
    assert_nothing_left_over(store)


@pytest.mark.parametrize("read", ["tokens", "pictures", "nearest"])
def test_a_reader_whose_files_a_purge_removed_reads_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    index(store, make_record())
    tokens, direction = store.tokens("film"), np.ones(4, np.float32)
    name = {"tokens": "scan", "pictures": "frames", "nearest": "nearest"}[read]
    query, snapshots = getattr(store_module, name), []

    def slow(table: Any, *arguments: Any, **options: Any) -> Any:
        snapshots.append(table.version)
        if len(snapshots) == 1:
            other = Store(store.path)
            for number in range(3):
                index(other, make_record(f"other{number}"))
            other.optimize(purge=True)
        return query(table, *arguments, **options)

    monkeypatch.setattr(store_module, name, slow)
    if read == "tokens":
        assert_same(store.tokens("film"), tokens)
    elif read == "pictures":
        assert store.pictures("film", tokens) == [b"%d" % start for start in tokens.pts[:, 0]]
    else:
        found = store.nearest(direction, 1, 50)
        assert set(found.video_ids) == {"film", "other0", "other1", "other2"}
    assert snapshots[0] < snapshots[1]


@pytest.mark.parametrize("at", ["remove", "optimize"])
def test_the_last_video_removed_gives_its_bytes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr("seal.store.lance._WORTH_AN_INDEX", 4)
    empty = store.size_bytes()
    for name in ("a", "b"):
        tokens, pictures = make_part(["scene"] * 99, list(range(99)))
        store.add(name, 0, KEYS, tokens, {pts: os.urandom(5_000) for pts in pictures})
        store.finish(make_record(name), KEYS)
    store.add("half", 0, KEYS, *known_part("half", 0, KEYS))
    full = store.size_bytes()
    assert full > 1_000_000
    store.remove("a")
    store.remove("half")
    store.remove("b", purge=at == "remove")
    if at == "optimize":
        # Readers and writers that are at work have ten minutes.
        store.optimize()
        assert store.size_bytes() > full
        store.optimize(purge=True)
    # What stays is a manifest and the last transaction of each table.
    assert store.size_bytes() < empty + 9_000
    index(store, make_record())
    assert_known(store, store.resolve("film"))


class Interrupted(BaseException):
    """What Ctrl-C raises, but ours."""


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the n-th write to the disk from now on the last: the next one is not reached."""
    left = [10**9]

    def limited(method: Any) -> Any:
        def write(*arguments: Any) -> None:
            if left[0] == 0:
                raise Interrupted
            left[0] -= 1
            method(*arguments)

        return write

    for name in ("append", "delete"):
        monkeypatch.setattr(Tables, name, limited(getattr(Tables, name)))

    def arm(writes: int) -> None:
        left[0] = writes

    return arm


@only_folders
@pytest.mark.parametrize("work", ["first", "changed", "removed"])
def test_interrupted_between_any_two_writes(
    store: Store, interrupt_after: Callable[[int], None], work: str
) -> None:
    changed = KEYS | {"scene": "s2", "object": "o2"}
    for writes in range(100):
        if work == "first":
            store.remove("film")
        else:
            index(store, make_record(), parts=2)
        interrupt_after(writes)
        try:
            if work == "removed":
                store.remove("film")
            else:
                index(store, make_record(), changed, parts=2)
            break
        except Interrupted:
            pass
        finally:
            interrupt_after(10**9)
        again = Store(store.path)
        for video in again.videos():
            assert_known(again, video, parts=2)
        assert again.videos() or work != "changed"
        if work == "removed":
            again.remove("film")
        else:
            index(again, make_record(), changed, parts=2)
            assert_known(again, again.resolve("film"), parts=2)
        assert_nothing_left_over(again)
    assert writes >= 3


def test_two_runs_of_one_video_with_the_same_options_agree(store: Store) -> None:
    other = Store(store.path)
    for each in (store, other):
        assert each.begin(make_record(), KEYS).done == set()
    for part in range(3):
        for each in (store, other):
            each.add("film", part, KEYS, *known_part("film", part, KEYS))
    store.finish(make_record(), KEYS)
    committed = store._tables.rows(schema.VIDEOS)
    other.add("film", 0, KEYS, *known_part("film", 0, KEYS))
    other.finish(make_record(), KEYS)
    assert store._tables.rows(schema.VIDEOS) == committed
    assert_known(other, other.resolve("film"))
    assert_nothing_left_over(store)


def test_a_reader_overtaken_by_a_commit_reads_that_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(store, make_record())
    changed = dict.fromkeys(KINDS, "changed")
    opened = Tables.open

    def slow(tables: Tables, name: str) -> Any:
        if name.startswith(schema.TOKENS):
            monkeypatch.undo()
            index(Store(store.path), make_record(), changed)
        return opened(tables, name)

    monkeypatch.setattr(Tables, "open", slow)
    tokens = store.tokens("film")
    assert store.resolve("film").keys == changed
    assert_same(tokens, known_tokens(store.resolve("film")))


@pytest.mark.parametrize(
    ("message", "is_newer", "again"),
    [
        ("Commit conflict for version 3", False, True),
        ("a file was not found", True, True),
        ("a file was not found", False, False),
        ("the disk is odd", True, False),
    ],
)
def test_a_change_is_tried_again_only_where_another_process_was_in_its_way(
    store: Store, monkeypatch: pytest.MonkeyPatch, message: str, is_newer: bool, again: bool
) -> None:
    index(store, make_record())
    monkeypatch.setattr(lance_module, "_ATTEMPTS", 3)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    calls = []

    def change(table: Any) -> None:
        calls.append(table.version)
        if is_newer:
            index(Store(store.path), make_record(f"other-{len(calls)}"))
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=message):
        store._tables._change(schema.VIDEOS, change)
    assert len(calls) == (3 if again else 1)


def test_a_run_whose_parts_another_dropped_says_so_and_can_be_repeated(store: Store) -> None:
    ours, theirs = dict.fromkeys(KINDS, "ours"), dict.fromkeys(KINDS, "theirs")
    store.begin(make_record(), ours)
    store.add("film", 0, ours, *known_part("film", 0, ours))
    index(Store(store.path), make_record(), theirs)
    store.add("film", 1, ours, *known_part("film", 1, ours))
    with pytest.raises(StoreError, match="same command again"):
        store.finish(make_record(), ours)
    assert_known(store, store.resolve("film"))
    assert index(store, make_record(), ours)
    assert_known(store, store.resolve("film"))
    assert_nothing_left_over(store)


def test_a_part_that_is_swept_while_it_is_stored_is_stored_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = dict.fromkeys(KINDS, "ours"), dict.fromkeys(KINDS, "theirs")
    mark = Tables.mark

    def slow(tables: Tables, name: str, column: str, where: str) -> int:
        if name == schema.PARTS:
            monkeypatch.undo()
            index(Store(store.path), make_record(), theirs)
        return mark(tables, name, column, where)

    monkeypatch.setattr(Tables, "mark", slow)
    store.add("film", 0, ours, *known_part("film", 0, ours))
    assert_known(store, store.resolve("film"))
    store.finish(make_record(), ours)
    assert_known(store, store.resolve("film"), parts=1)
    assert_nothing_left_over(store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own."""
    with mounted(tmp_path / "small", megabytes=4) as place:
        yield place


def test_a_full_disk_is_an_error_and_loses_nothing(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seal.store.store._MANY_FILES", 5)
    store = Store(small_disk / "store", create=True)
    index(store, make_record("old"))
    ballast, outcomes = small_disk / "ballast", []
    for free in range(0, 480, 96):
        with ballast.open("wb") as file, suppress(OSError):
            file.truncate(0)
            while os.statvfs(small_disk).f_bavail > free // 4:
                file.write(bytes(4096))
                file.flush()
        try:
            index(store, make_record("new"))
            outcomes.append("done")
        except StoreFullError as error:
            assert str(store.path) in str(error)  # noqa: PT017
            outcomes.append("full")
        for video in Store(store.path).videos():
            assert_known(store, video)
        ballast.unlink()
        index(store, make_record("new"))
        for name in ("old", "new"):
            assert_known(store, store.resolve(name))
        assert_nothing_left_over(store)
        store.remove("new")
    assert set(outcomes) == {"full", "done"}


def damages(folder: Path) -> Iterator[str]:
    """Cut short or overwrite one file of a store after the other: the latest one of each kind that
    Lance needs for reading. Yields the table (or other file) that is hurt right now."""
    noise = random.Random(0)
    unused = {"latest_version_hint.json", "_transactions"}
    files = [f for f in folder.rglob("*") if f.is_file() and not unused & {f.name, f.parent.name}]
    files.sort(key=lambda file: file.stat().st_mtime_ns)
    for file in {file.parent: file for file in files}.values():
        data, third = file.read_bytes(), len(file.read_bytes()) // 3
        for damage in (
            b"",
            data[: len(data) // 2],
            bytes(len(data)),
            data[:third] + noise.randbytes(third) + data[2 * third :],
        ):
            file.write_bytes(damage)
            yield next(name for name in file.relative_to(folder).parts if Path(name).suffix)
        file.write_bytes(data)


def error_of(read: Callable[[Store], object], path: Path) -> str:
    """The message of the StoreError that opening and reading raises; empty if none."""
    try:
        read(Store(path))
    except StoreError as error:
        return str(error)
    return ""


@only_folders
def test_a_damaged_store_is_an_error_that_names_it(store: Store) -> None:
    index(store, make_record(), parts=1)
    index(store, make_record(), KEYS | {"object": "o-new"}, parts=1)
    store.add("half", 0, KEYS, *known_part("half", 0, KEYS))
    record, tokens = store.resolve("film"), store.tokens("film")
    reads: list[Callable[[Store], object]] = [
        lambda store: store.videos(),
        lambda store: store.resolve("film"),
        lambda store: store.count("film"),
        lambda store: assert_known(store, record, parts=1),
        lambda store: store.pictures("film", tokens),
        lambda store: store.begin(record, KEYS) and store.unfinished(),
    ]
    hurt = {
        "store.json": {0, 1, 2, 3, 4, 5},
        "videos.lance": {0, 1, 2, 3, 4, 5},
        "parts.lance": {5},
        "pictures.lance": {3, 4},
        "meanings_3.lance": {3},
        "tokens_4x1.lance": {3},
    }
    refused = dict.fromkeys(hurt, 0)
    for part in damages(store.path):
        errors = [error_of(read, store.path) for read in reads]
        failed = {i for i, error in enumerate(errors) if error}
        assert failed <= hurt[part]
        assert all(str(store.path) in errors[i] for i in failed)
        refused[part] += failed == hurt[part]
    # Of each table a manifest and a data file, and of those with vectors a deletion file.
    assert refused == {
        "store.json": 4,
        "videos.lance": 8,
        "parts.lance": 8,
        "pictures.lance": 8,
        "meanings_3.lance": 12,
        "tokens_4x1.lance": 12,
    }


@only_folders
@pytest.mark.parametrize("table", ["videos", "parts", "tokens_4x1"])
def test_a_table_that_lost_its_files_is_not_an_empty_one(store: Store, table: str) -> None:
    index(store, make_record())
    store.add("half", 0, KEYS, *known_part("half", 0, KEYS))
    shutil.rmtree(store.path / schema.FOLDER / f"{table}.lance" / "data")
    with pytest.raises(StoreError, match=str(store.path)):
        index(Store(store.path), make_record("other"))


@only_folders
def test_a_store_without_permission_is_an_error_that_names_it(store: Store) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (store.path / schema.VERSION_FILE).chmod(0)
    with pytest.raises(StoreError, match=str(store.path)):
        Store(store.path)


def test_ctrl_c_while_a_table_is_made_is_no_error_of_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lance goes on writing in the background while what it has written is removed."""
    done = threading.Event()

    def interrupted(database: Any, name: str, **_: Any) -> None:
        def write() -> None:
            while not done.is_set():
                with suppress(OSError):
                    (Path(database.uri) / f"{time.time_ns()}").touch()

        threading.Thread(target=write).start()
        time.sleep(0.3)
        raise KeyboardInterrupt

    made = type(store._tables.database)
    monkeypatch.setattr(made, "create_table", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            store.add("film", 0, KEYS, *known_part("film", 0, KEYS))
    finally:
        done.set()


# What a kill leaves


def test_a_commit_that_was_never_marked_goes_with_the_next_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although it is newer than the visible one, which the next run finds complete."""
    record = make_record()
    index(store, record)
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "mark", interrupted_mark(Tables.mark))
        with pytest.raises(KeyboardInterrupt):
            index(Store(store.path), record, KEYS | {"object": "o2"})
    assert store._tables.open("videos").count_rows() == 2
    assert index(Store(store.path), record) == []
    assert_nothing_left_over(store)


def interrupted_mark(mark: Callable[..., int]) -> Callable[..., int]:
    def interrupted(tables: Tables, name: str, *arguments: str) -> int:
        if name == "videos":
            raise KeyboardInterrupt
        return mark(tables, name, *arguments)

    return interrupted


@only_folders
def test_temporary_files_go_with_the_next_run_and_the_rest_with_a_purge(store: Store) -> None:
    index(store, make_record())
    folder = store.path / schema.FOLDER
    drafts = [folder / ".new-abc" / "t.lance" / "x", folder / "videos.lance" / "data" / ".tmpAbC"]
    lost = folder / "videos.lance" / "data" / f"{'0' * 50}.lance"
    for file in (*drafts, lost):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half of it")
    (store.path / "store.json.4711").write_text("{")
    # As long as another process writes, all of it may be what that one writes.
    with store._tables._place.held():
        store.optimize(purge=True)
        assert all(file.exists() for file in (*drafts, lost))
    index(Store(store.path), make_record())
    assert not any(file.exists() for file in drafts)
    assert not list(folder.glob(".new*"))
    store.optimize(purge=True)
    assert not lost.exists()
    assert sorted(entry.name for entry in store.path.iterdir()) == ["schema-2", "store.json"]
    assert_known(store, store.resolve("film"))


@only_folders
def test_nobody_clears_up_beside_a_process_that_writes(store: Store) -> None:
    index(store, make_record())
    place = store._tables._place
    with place.held(), place.held() as together:
        assert together
        with place.held(alone=True) as alone:
            assert not alone
    with place.held(alone=True) as alone:
        assert alone
        with place.held(alone=True) as second:
            assert not second
