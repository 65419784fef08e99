"""Several processes at work on one video, step by step in every order: nothing is lost."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from seal.errors import NotIndexedError, StoreError
from seal.store import Store, Unfinished, commits, schema
from seal.store.lance import Tables
from seal.store.place import is_bucket
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

ORDERS = int(os.environ.get("SEAL_TEST_ORDERS", "2"))
FIRST = int(os.environ.get("SEAL_TEST_FIRST_ORDER", "0"))
"""How many orders of steps are tried, and the seed of the first. Each takes half a second."""
PARTS = 2
OTHER = KEYS | {"object": "o2", "action": "a2"}

Work = Callable[[Store], None]


class Turns:
    """Threads that take turns: one runs at a time, from one access to a table to the next."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._changed = threading.Condition()
        self._turn: int | None = None
        self._left = 0
        self._waiting: set[int] = set()
        self._here = threading.local()

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def access(*arguments: Any, **options: Any) -> Any:
            name = getattr(self._here, "name", None)
            if name is None or getattr(self._here, "inside", False):
                return method(*arguments, **options)
            self._await(name)
            self._here.inside = True
            try:
                return method(*arguments, **options)
            finally:
                self._here.inside = False

        return access

    def _await(self, name: int) -> None:
        with self._changed:
            if self._turn == name and self._left:
                self._left -= 1
                return
            self._next()
            self._changed.wait_for(lambda: self._turn == name)

    def _next(self) -> None:
        """Choose who goes on, for how many steps."""
        self._turn = self._random.choice(sorted(self._waiting)) if self._waiting else None
        self._left = self._random.choice([0, 0, 1, 3, 8])
        self._changed.notify_all()

    def run(self, path: str, works: list[Work]) -> list[BaseException | None]:
        """What each raised."""
        errors: list[BaseException | None] = [None] * len(works)
        self._waiting = set(range(len(works)))

        def start(name: int) -> None:
            store = Store(path)
            self._here.name = name
            with self._changed:
                self._changed.wait_for(lambda: self._turn == name)
            try:
                works[name](store)
            except BaseException as error:
                errors[name] = error
            with self._changed:
                self._waiting.discard(name)
                self._next()

        threads = [threading.Thread(target=start, args=[name]) for name in range(len(works))]
        for thread in threads:
            thread.start()
        with self._changed:
            self._next()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        return errors


def indexing(keys: dict[str, str]) -> Work:
    def work(store: Store) -> None:
        index(store, make_record(), keys, PARTS)

    return work


def committing(keys: dict[str, str]) -> Work:
    """Commit a video if all of it is stored."""

    def work(store: Store) -> None:
        if len(store.begin(make_record(), keys).done) == PARTS * len(KINDS):
            store.finish(make_record(), keys)

    return work


def adding(store: Store) -> None:
    for part in range(PARTS):
        store.add("film", part, OTHER, *known_part("film", part, OTHER))


def removing(store: Store) -> None:
    store.remove("film")


def optimizing(store: Store) -> None:
    store.optimize()


def purging(store: Store) -> None:
    store.optimize(purge=True)


def reading(store: Store) -> None:
    for _ in range(3):
        for record in store.videos():
            try:
                tokens = store.tokens(record.id)
            except NotIndexedError:  # It was removed as we read.
                continue
            if store.resolve(record.id).keys == record.keys:
                assert_same(tokens, known_tokens(record, PARTS))
        store.unfinished()


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    "works",
    [
        [indexing(KEYS), indexing(OTHER)],
        [indexing(OTHER), indexing(OTHER)],
        [indexing(OTHER), removing],
        [indexing(OTHER), optimizing],
        [indexing(OTHER), reading, purging],
        [indexing(OTHER), indexing(KEYS), indexing(KEYS | {"scene": "s2"})],
        [indexing(OTHER), removing, indexing(OTHER), optimizing],
        [committing(OTHER), committing(KEYS), indexing(KEYS | {"scene": "s2"}), optimizing],
        [adding, committing(OTHER), committing(OTHER), committing(KEYS)],
    ],
    ids=lambda works: f"{len(works)} at once",
)
def test_any_order_of_steps_keeps_what_is_committed(
    place: str, monkeypatch: pytest.MonkeyPatch, works: list[Work], begun: bool
) -> None:
    for seed in range(FIRST, FIRST + (1 if is_bucket(place) else ORDERS)):
        path = f"{place}{seed}"
        store = Store(path, create=True)
        index(store, make_record("other"), KEYS, PARTS)
        index(store, make_record(), KEYS, PARTS)
        if begun:
            adding(store)
        turns = Turns(seed)
        with monkeypatch.context() as patched:
            for name in ("append", "delete", "mark", "rows", "count", "read", "optimize"):
                patched.setattr(Tables, name, turns.wrap(getattr(Tables, name)))
            errors = turns.run(path, works)
        for error in filter(None, errors):
            # The only thing that may go wrong: another process has dropped parts of this one.
            assert "same command again" in str(error), error
        again = Store(path)
        for video in again.videos():
            assert_known(again, video, PARTS)
        assert {video.id for video in again.videos()} >= (
            {"other"} if removing in works else {"other", "film"}
        )
        index(again, make_record(), OTHER, PARTS)
        again.optimize()
        for video in again.videos():
            assert_known(again, video, PARTS)
        assert_nothing_left_over(again)


# Single orders, step by step


def once_before(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, action: Callable[[], object]
) -> None:
    """Run `action` when a function is called the next time, before the function."""
    function = getattr(owner, name)

    def later(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(owner, name, function)
        action()
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, later)


@pytest.fixture
def store(place: str) -> Store:
    store = Store(place, create=True)
    index(store, make_record("other"), KEYS, PARTS)
    return store


def add_all(store: Store, keys: dict[str, str]) -> None:
    store.begin(make_record(), keys)
    for part in range(PARTS):
        store.add("film", part, keys, *known_part("film", part, keys))


def assert_all_known(store: Store) -> None:
    for video in store.videos():
        assert_known(store, video, PARTS)
    assert_nothing_left_over(store)


NEW = dict.fromkeys(KINDS, "new")


@pytest.mark.parametrize("step", ["_still_named", "commit", "drop_older", "sweep"])
@pytest.mark.parametrize("then", ["finished", "removed"])
def test_a_video_finished_or_removed_by_another_within_finish(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str, then: str
) -> None:
    add_all(store, KEYS)
    other = Store(store.path)

    def action() -> None:
        if then == "removed":
            other.remove("film")
        else:
            index(other, make_record(), NEW, PARTS)

    once_before(monkeypatch, commits, step, action)
    if step in ("_still_named", "commit"):
        with pytest.raises(StoreError, match="same command again"):
            store.finish(make_record(), KEYS)
    else:
        store.finish(make_record(), KEYS)
    assert [video.id for video in store.videos()] == (
        ["other"] if then == "removed" else ["other", "film"]
    )
    if then == "finished":
        assert store.resolve("film").keys == NEW
    assert_all_known(store)


@pytest.mark.parametrize("begun", [True, False])
def test_a_video_removed_before_its_commit_is_marked_is_not_said_to_be_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    add_all(store, KEYS)
    other = Store(store.path)
    # A store that did not begin the video knows its parts from the first look only.
    finisher = store if begun else Store(store.path)
    once_before(monkeypatch, Tables, "mark", lambda: other.remove("film"))
    with pytest.raises(StoreError, match="same command again"):
        finisher.finish(make_record(), KEYS)
    assert [video.id for video in store.videos()] == ["other"]
    assert_all_known(store)


@pytest.mark.parametrize("work", ["begin", "finish"])
def test_a_video_that_another_finishes_while_it_is_looked_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """After one of two reads, of `parts` and of `videos`, whichever comes first."""
    add_all(store, KEYS)
    other, looked, rows = Store(store.path), [], Tables.rows

    def slow(tables: Tables, name: str, where: str = "true") -> Any:
        found = rows(tables, name, where)
        if tables is store._tables and not looked:
            looked.append(name)
            other.finish(make_record(), KEYS)
        return found

    monkeypatch.setattr(Tables, "rows", slow)
    if work == "begin":
        assert len(store.begin(make_record(), KEYS).done) == PARTS * len(KINDS)
    else:
        store.finish(make_record(seconds=99.0), KEYS)
        assert store.resolve("film").seconds == 99.0
    assert_all_known(store)


def test_of_two_that_finish_with_one_key_the_second_takes_what_the_first_committed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_all(store, KEYS)
    other = Store(store.path)
    once_before(monkeypatch, commits, "_still_named", lambda: other.finish(make_record(), KEYS))
    store.finish(make_record(seconds=99.0), KEYS)
    assert store.resolve("film").seconds == 99.0
    assert_all_known(store)


@pytest.mark.parametrize("then", [optimizing, purging])
def test_a_video_that_is_committed_while_leftovers_are_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch, then: Work
) -> None:
    """After one of two reads, of `parts` and of `videos`, whichever comes first."""
    add_all(store, KEYS)
    other, looked = Store(store.path), []

    def slow(method: Callable[..., Any]) -> Callable[..., Any]:
        def read(tables: Tables, name: str, *arguments: Any) -> Any:
            found = method(tables, name, *arguments)
            if tables is other._tables and name in (schema.PARTS, schema.VIDEOS) and not looked:
                looked.append(name)
                store.finish(make_record(), KEYS)
            return found

        return read

    for name in ("count", "rows"):
        monkeypatch.setattr(Tables, name, slow(getattr(Tables, name)))
    then(other)
    assert looked
    assert "film" in [video.id for video in store.videos()]
    assert_all_known(store)


def test_a_part_that_is_begun_while_leftovers_are_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store(store.path)
    once_before(monkeypatch, commits, "commits", lambda: add_all(store, KEYS))
    other.optimize()
    store.finish(make_record(), KEYS)
    assert_all_known(store)


class Killed(BaseException):
    """The end of a process, but ours."""


def kill() -> None:
    raise Killed


def test_a_part_without_its_mark_is_not_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.begin(make_record(), KEYS)
    once_before(monkeypatch, Tables, "mark", kill)
    with pytest.raises(Killed):
        store.add("film", 0, KEYS, *known_part("film", 0, KEYS))
    again = Store(store.path)
    assert again.unfinished() == [Unfinished("film", "film.mp4", {})]
    assert again.begin(make_record(), KEYS).done == set()
    assert len(index(again, make_record(), KEYS, PARTS)) == PARTS * len(KINDS)
    assert_all_known(again)


def test_a_commit_without_its_mark_is_not_seen_and_swept_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(store, make_record(), KEYS, PARTS)
    add_all(store, NEW)
    once_before(monkeypatch, Tables, "mark", kill)
    with pytest.raises(Killed):
        store.finish(make_record(), NEW)
    again = Store(store.path)
    assert len(commits.commits(again._tables, "film")) == 2
    assert again.resolve("film").keys == KEYS
    assert_known(again, again.resolve("film"), PARTS)
    assert index(again, make_record(), NEW, PARTS) == []
    assert len(commits.commits(again._tables, "film")) == 1
    assert again.resolve("film").keys == NEW
    assert_all_known(again)


def test_a_commit_without_its_mark_keeps_its_tokens(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be marked yet, although its parts are gone."""
    add_all(store, KEYS)
    other = Store(store.path)

    def sweep() -> None:
        other._tables.delete(schema.PARTS, "true")
        commits.sweep(other._tables)

    once_before(monkeypatch, Tables, "mark", sweep)
    store.finish(make_record(), KEYS)
    assert_all_known(store)


@pytest.mark.parametrize("times", [1, 3])
def test_a_commit_that_another_takes_for_a_leftover_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Each time that another process clears up costs one restart."""
    add_all(store, KEYS)
    other, mark, cleared = Store(store.path), Tables.mark, []

    def slow(tables: Tables, *arguments: str) -> int:
        if len(cleared) < times:
            cleared.append(len(commits.commits(other._tables, "film")))
            commits.drop_unmarked(other._tables, "film")
        return mark(tables, *arguments)

    monkeypatch.setattr(Tables, "mark", slow)
    store.finish(make_record(), KEYS)
    assert cleared == [1] * times
    assert len(commits.commits(store._tables, "film")) == 1
    assert_all_known(store)


def test_a_commit_without_its_mark_is_no_proof_for_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(store, make_record(), KEYS, PARTS)
    (latest,) = commits.commits(store._tables, "film")
    store._tables.delete(schema.VIDEOS, "id = 'film'")
    row = {"id": "film", "commit": latest.name, "sequence": 9, "committed": False}
    row |= {"record": latest.record.to_json(), "contents": latest.contents.to_json()}
    store._tables.append(schema.VIDEOS, [row])
    assert not commits.commit(store._tables, latest.record, latest.contents, latest)
    assert commits.commits(store._tables, "film") == [replace(latest, sequence=9, marked=False)]


def test_tokens_that_a_commit_loses_within_finish_are_not_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(store, make_record(), KEYS, PARTS)
    add_all(store, OTHER)
    other = Store(store.path)

    def action() -> None:
        index(other, make_record(), NEW, PARTS)

    once_before(monkeypatch, store, "_all_there", action)
    with pytest.raises(StoreError, match="same command again"):
        store.finish(make_record(), OTHER)
    assert_all_known(store)


def test_parts_that_come_after_finish_began_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_all(store, KEYS)
    other = Store(store.path)
    once_before(monkeypatch, commits, "drop_older", lambda: add_all(other, NEW))
    store.finish(make_record(), KEYS)
    assert_known(store, store.resolve("film"), PARTS)
    other.finish(make_record(), NEW)
    assert store.resolve("film").keys == NEW
    assert_all_known(store)


def named(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    left = list(names)
    monkeypatch.setattr(commits, "new_name", lambda: left.pop(0))


def scene(seed: int) -> Any:
    return make_part(["scene"], [0], seed=seed)


def test_of_two_batches_for_one_part_the_smaller_name_counts_until_one_is_committed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"scene": "s"}
    with monkeypatch.context() as patched:
        named(patched, "c", "b", "d", "commit", "a")
        for seed in range(3):
            store.add("film", 0, keys, *scene(seed))
        store.finish(make_record(), keys)
        assert_same(store.tokens("film"), scene(1)[0])
        store.add("film", 0, keys, *scene(3))
        store.finish(make_record(), keys)
        assert_same(store.tokens("film"), scene(1)[0])
    assert_nothing_left_over_of(store)


def assert_nothing_left_over_of(store: Store) -> None:
    assert store._tables.rows(schema.PARTS) == []
    batches = {batch for (batch,) in store._tables.count(schema.PICTURES, ["batch"], "true")}
    assert batches == {
        batch for commit in commits.commits(store._tables) for _, batch in commit.contents.names
    }


def test_commits_are_ordered_by_number_then_name(store: Store) -> None:
    (commit,) = commits.commits(store._tables)
    several = [
        replace(commit, sequence=sequence, name=name, marked=name != "z")
        for sequence, name in [(10, "a"), (9, "y"), (10, "b"), (10, "z")]
    ]
    several.sort(key=lambda commit: commit.order)
    assert [commit.name for commit in several] == ["y", "a", "b", "z"]
    assert commits.visible(several)["other"].name == "b"
    assert commits.visible(several[3:]) == {}


def test_each_commit_gets_the_next_number_of_the_whole_store(store: Store) -> None:
    for name in ("a", "b", "a"):
        index(store, make_record(name, seconds=random.random()), KEYS, PARTS)
    found = commits.commits(store._tables)
    assert [(commit.record.id, commit.sequence) for commit in found] == [
        ("other", 1),
        ("b", 3),
        ("a", 4),
    ]


def test_a_row_that_is_deleted_is_not_marked_any_more(store: Store) -> None:
    """While processes mark, delete and merge rows of one table."""
    names = [str(number) for number in range(30)]
    row = {"video_id": "v", "path": "", "kind": "scene", "key": "k", "part": 0, "stored": False}
    row |= {"count": 0, "dimension": 4, "facets": 1, "gaps": ""}
    store._tables.append(schema.PARTS, [{**row, "batch": name} for name in names])
    marked: dict[str, int] = {}
    done = threading.Event()

    def mark() -> None:
        tables = Store(store.path)._tables
        for name in names:
            marked[name] = tables.mark(schema.PARTS, "stored", f"batch = '{name}'")
        done.set()

    def delete() -> None:
        tables = Store(store.path)._tables
        for name in names[::-2]:
            tables.delete(schema.PARTS, f"batch = '{name}'")

    def merge() -> None:
        tables = Store(store.path)._tables
        while not done.is_set():
            tables.optimize(schema.PARTS, purge=True)

    threads = [threading.Thread(target=work) for work in (mark, delete, merge)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = {row["batch"]: row["stored"] for row in store._tables.rows(schema.PARTS)}
    assert rows == dict.fromkeys(names[::2], True)
    assert all(marked[name] == 1 for name in rows)
