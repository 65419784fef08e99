"""The vector index of a store: what is nearest is found, whether it is in there or not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seal.store import Store
from seal.store.schema import FOLDER
from seal.types import TEXT, Float32, Tokens
from store_worker import KEYS, make_part, make_record

D = 32
LIMIT = 50


@pytest.fixture
def store(place: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An index is made for 500 tokens already."""
    monkeypatch.setattr("seal.store.lance._WORTH_AN_INDEX", 500)
    return Store(place, create=True)


def fill(store: Store, name: str, seed: int, n: int = 400, kind: str = "object") -> None:
    """Index a video of two parts whose tokens lie in clusters, as those of a film do."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(10, D))
    for part in range(2):
        starts = [10 * i + 1000 * part for i in range(n)]
        tokens, pictures = make_part([kind] * n, starts, d=D, seed=part)
        vectors = centres[rng.integers(0, 10, n)] + 0.5 * rng.normal(size=(n, D))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        tokens = replace(tokens, embeddings=vectors, facets=vectors[:, None])
        store.add(name, part, KEYS, tokens, pictures)
    store.finish(make_record(name), KEYS)


def nearest_of_all(store: Store, direction: Float32) -> Tokens:
    """The slow, obvious reference: every token of every video, sorted."""
    every = Tokens.concatenate(store.tokens(video.id) for video in store.videos())
    return every.take(np.argsort(-(every.embeddings @ direction))[:LIMIT])


def assert_finds_the_nearest(store: Store) -> None:
    for seed in range(5):
        direction = np.random.default_rng(100 + seed).normal(size=D).astype(np.float32)
        want, got = nearest_of_all(store, direction), store.nearest(direction, 1, LIMIT)
        wanted = dict(zip(zip(want.video_ids, want.ids, strict=True), want.pts, strict=True))
        found = dict(zip(zip(got.video_ids, got.ids, strict=True), got.pts, strict=True))
        assert len(found) == LIMIT
        shared = wanted.keys() & found.keys()
        assert len(shared) >= 0.95 * LIMIT
        assert all((wanted[token] == found[token]).all() for token in shared)


def state(store: Store, column: str = "embedding", table: str = f"tokens_{D}x1") -> Any:
    """Of the index of a column; None if there is none."""
    indices = store._tables.open(table).list_indices()
    return next((index for index in indices if column in index.columns), None)


def test_finish_makes_an_index_when_there_are_enough_tokens(store: Store) -> None:
    fill(store, "a", 0, n=200)
    assert state(store) is None
    assert_finds_the_nearest(store)
    fill(store, "b", 1, n=200)
    assert (state(store).num_indexed_rows, state(store).num_unindexed_rows) == (800, 0)
    assert_finds_the_nearest(store)


@pytest.mark.parametrize("table", [f"tokens_{D}x1", "pictures"])
def test_videos_are_read_by_an_index_of_their_ids(store: Store, table: str) -> None:
    fill(store, "a", 0, n=200)
    assert state(store, "video_id", table) is None
    before = store.tokens("a")
    fill(store, "b", 1, n=200)
    assert state(store, "video_id", table).num_unindexed_rows == 0
    fill(store, "c", 2, n=10)
    for name, count in (("a", 400), ("b", 400), ("c", 20)):
        tokens = store.tokens(name)
        assert len(tokens) == count
        assert set(tokens.video_ids) == {name}
        assert len(store.pictures(name, tokens)) == count
    assert store.tokens("a").ids.tolist() == before.ids.tolist()
    store.remove("b", purge=True)
    assert len(store.tokens("c")) == 20


def test_tokens_that_came_after_the_index_are_found(store: Store) -> None:
    fill(store, "a", 0)
    fill(store, "b", 1, n=200)
    assert (state(store).num_indexed_rows, state(store).num_unindexed_rows) == (800, 400)
    assert_finds_the_nearest(store)


def test_the_index_takes_in_what_came_after_it_and_is_made_anew_when_in_pieces(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seal.store.lance._MANY_PIECES", 3)
    pieces = []
    for seed in range(5):
        fill(store, f"video{seed}", seed)
        assert state(store).num_unindexed_rows == 0
        pieces.append(state(store).num_segments)
        assert_finds_the_nearest(store)
    assert pieces == [1, 2, 3, 1, 2]


@pytest.mark.parametrize("then", [lambda store: None, Store.optimize])
def test_what_was_removed_or_replaced_is_not_found(
    store: Store, then: Callable[[Store], None]
) -> None:
    for seed in range(3):
        fill(store, f"video{seed}", seed)
    store.remove("video0")
    keys = KEYS | {"object": "o2"}
    tokens, pictures = make_part(["object"] * 300, list(range(0, 3000, 10)), d=D, seed=9)
    store.add("video1", 0, keys, tokens, pictures)
    store.finish(make_record("video1"), keys)
    then(store)
    assert_finds_the_nearest(store)


def test_what_is_not_committed_is_not_found(store: Store) -> None:
    tokens, pictures = make_part(["object"], [0], d=D)
    direction = np.ones(D, np.float32) / np.sqrt(np.float32(D))
    nearest = replace(tokens, embeddings=direction[None], facets=direction[None, None])
    store.add("b", 0, KEYS, nearest, pictures)
    assert len(store.nearest(direction, 1, LIMIT)) == 0
    fill(store, "a", 0)
    assert set(store.nearest(direction, 1, LIMIT).video_ids) == {"a"}
    store.finish(make_record("b"), KEYS)
    assert "b" in store.nearest(direction, 1, LIMIT).video_ids


def test_videos_of_all_kinds_are_found(store: Store) -> None:
    for seed, kind in enumerate(("scene", "object", "action")):
        fill(store, f"v{seed}", seed, n=100, kind=kind)
    assert_finds_the_nearest(store)


def test_a_store_without_such_tokens_has_none(store: Store) -> None:
    assert len(store.nearest(np.ones(D, np.float32), 1, LIMIT)) == 0
    fill(store, "a", 0, n=10)
    assert len(store.nearest(np.ones(D, np.float32), 1, LIMIT)) == 20
    assert len(store.nearest(np.ones(D + 1, np.float32), 1, LIMIT)) == 0


SAID = ["the price of the remote control", "a yellow banana", "who controls the lights?", "Hello!"]


def speak(store: Store, name: str, lines: Sequence[str] = SAID, language: str = "") -> None:
    """Index a video in which these lines are said."""
    made, pictures = make_part(["speech"] * len(lines), [10 * i for i in range(len(lines))], d=D)
    tokens = replace(made, text=np.array(lines, TEXT))
    keys = {"speech": "heard"}
    store.add(name, 0, keys, tokens, pictures)
    store.finish(replace(make_record(name), language=language), keys)


def saying(store: Store, words: str, limit: int = LIMIT) -> list[str]:
    """The videos whose words fit best."""
    return store.saying(words, limit)


def index_of_terms(store: Store) -> Any:
    (index,) = store._tables.open("terms").list_indices()
    return index


def test_videos_are_found_by_their_words(store: Store) -> None:
    speak(store, "a", ["the price of the remote control", "Hello!"])
    speak(store, "b", ["a yellow banana", "who controls the lights?", "so hello again"])
    assert saying(store, "remote") == ["a"]
    # Words count by their stems, whatever their case and signs.
    assert set(saying(store, "CONTROLLING!")) == {"a", "b"}
    assert saying(store, "hello price") == ["a", "b"]
    assert saying(store, "hello price", limit=1) == ["a"]
    assert saying(store, '"yellow banana"') == ["b"]
    assert saying(store, "elephant") == saying(store, "?!") == []


@pytest.mark.parametrize(
    ("language", "line", "query"),
    [
        ("de", "Die Katzen schliefen in den Häusern.", "katze haus"),
        ("es", "Los gatos dormían en las habitaciones", "habitación"),
        ("ru", "Кошки спали в домах", "дома"),
        ("fr", "Les chevaux de l'homme couraient", "homme"),
        ("zh", "今天的天气非常好", "天气"),
        ("ja", "猫が窓のそばで眠っている", "眠って"),
        ("ko", "고양이가 창가에서 잔다", "고양이"),
        ("pl", "Zażółć gęślą jaźń", "jazn"),
        ("", "The cats were sleeping", "cat sleeps"),
    ],
)
def test_words_of_many_languages_are_found_by_a_form_of_them(
    store: Store, language: str, line: str, query: str
) -> None:
    speak(store, "other", ["nobody"])
    speak(store, "this", ["something else", line], language)
    assert saying(store, query) == ["this"]
    assert saying(store, line) == ["this"]


def test_words_of_every_video_are_found_until_it_is_removed(store: Store) -> None:
    for name in "abc":
        speak(store, name)
    assert sorted(saying(store, "banana")) == ["a", "b", "c"]
    store.remove("b")
    assert sorted(saying(store, "banana")) == ["a", "c"]
    store.optimize(purge=True)
    assert sorted(saying(store, "banana")) == ["a", "c"]
    assert store._tables.open("terms").count_rows() == 2 * len(SAID)


def test_words_that_came_after_their_index_go_into_it_when_they_are_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seal.store.lance._WORTH_WORDS", 10)
    speak(store, "a")
    assert index_of_terms(store).num_indexed_rows == 4
    speak(store, "b")
    assert index_of_terms(store).num_unindexed_rows == 4
    assert sorted(saying(store, "banana")) == ["a", "b"]
    speak(store, "c", 2 * SAID)
    assert index_of_terms(store).num_unindexed_rows == 0
    assert sorted(saying(store, "banana")) == ["a", "b", "c"]


def test_words_in_another_language_take_the_place_of_the_first_ones(store: Store) -> None:
    speak(store, "a", ["Die Katzen schliefen"])
    store.finish(replace(make_record("a"), language="de"), {"speech": "heard"})
    assert store._tables.open("terms").count_rows() == 1
    assert saying(store, "katze") == ["a"]


def test_a_store_without_an_index_of_terms_gets_one_with_the_first_query(tmp_path: Path) -> None:
    """As one that an older SEAL has written, or a process that was killed after its commit."""
    store = Store(tmp_path / "store", create=True)
    for name in "ab":
        speak(store, name)
    shutil.rmtree(tmp_path / "store" / FOLDER / "terms.lance")
    assert sorted(saying(Store(tmp_path / "store"), "banana")) == ["a", "b"]
    # Of one video it lacks the words, and of the other it has them twice.
    tables = Store(tmp_path / "store")._tables
    tables.delete("terms", "video_id = 'a'")
    tables.append("terms", tables.open("terms").to_arrow())
    again = Store(tmp_path / "store")
    assert sorted(saying(again, "banana")) == ["a", "b"]
    assert again._tables.open("terms").count_rows() == 2 * len(SAID)


def test_only_tokens_of_the_wanted_kinds_are_found(store: Store) -> None:
    fill(store, "seen", 0)
    speak(store, "said")
    direction = np.ones(D, np.float32)
    assert set(store.nearest(direction, 1, LIMIT, ["object"]).kinds) == {"object"}
    assert set(store.nearest(direction, 1, LIMIT, ["speech"]).kinds) == {"speech"}
    assert store.said(["seen", "said", "nothing"], (D, 1)).text.tolist() == SAID


def test_a_store_without_words_has_no_index_of_them(store: Store) -> None:
    fill(store, "seen", 0)
    assert store._tables.open("terms") is None
    assert saying(store, "banana") == []
