"""Several processes at work on one video, step by step in every order: nothing is lost."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seal.errors import NotIndexedError
from seal.store import Store
from seal.store.lance import Tables
from store_worker import (
    KEYS,
    KINDS,
    assert_known,
    assert_nothing_left_over,
    assert_same,
    index,
    known_part,
    known_tokens,
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

    def run(self, path: Path, works: list[Work]) -> list[BaseException | None]:
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: list[Work], begun: bool
) -> None:
    for seed in range(FIRST, FIRST + ORDERS):
        path = tmp_path / f"store{seed}"
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
        shutil.rmtree(path)
