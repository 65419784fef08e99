"""What was written to the store is what is read, whatever the kinds, parts and order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3_server import only_folders
from seal import kinds as known_kinds
from seal.errors import NotIndexedError, OptionError, StoreError, StoreVersionError
from seal.store import Store, Stored, Unfinished, commits, schema
from seal.store.lance import Tables
from seal.types import TEXT, Tokens
from store_worker import (
    KEYS,
    KINDS,
    assert_known,
    assert_nothing_left_over,
    assert_same,
    index,
    known_part,
    make_part,
    make_record,
)


def in_order(parts: list[tuple[int, Tokens, dict[int, bytes]]]) -> Tokens:
    """The slow, obvious reference: all tokens sorted by kind, start in seconds, part, row."""
    rows = []
    for part, tokens, _ in parts:
        for i, kind in enumerate(tokens.kinds.tolist()):
            rows.append(((KINDS.index(kind), tokens.time(i)[0], part, i), tokens.take([i])))
    rows.sort(key=lambda row: row[0])
    return Tokens.concatenate([parts[0][1].take([]), *(row[1] for row in rows)])


@pytest.fixture
def store(place: str) -> Store:
    return Store(place, create=True)


part_lists = st.lists(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(-50, 50)), max_size=8),
    min_size=1,
    max_size=4,
)


# In an object store an example takes many times as long.
@only_folders
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(part_lists, st.sampled_from([1, 3]), st.randoms(use_true_random=False))
def test_what_is_written_is_what_is_read(
    store: Store, part_list: list[list[tuple[str, int]]], q: int, random: Any
) -> None:
    store.remove("film")  # The store is one and the same for all examples.
    parts = []
    for part, rows in enumerate(part_list):
        kinds, starts = [row[0] for row in rows], [row[1] for row in rows]
        parts.append((part, *make_part(kinds, starts, q=q, seed=part)))
    record = make_record()
    for part, tokens, pictures in random.sample(parts, len(parts)):
        store.add(record.id, part, KEYS, tokens, pictures)
    store.finish(record, KEYS)
    want = in_order(parts)
    got = store.tokens(record.id)
    assert_same(got, want)
    assert got.video_ids.tolist() == [record.id] * len(want)
    shuffled = random.sample(range(len(want)), len(want)) * 2
    stored = sorted({pts for *_, pictures in parts for pts in pictures})
    for i, picture in zip(shuffled, store.pictures(record.id, got.take(shuffled)), strict=True):
        start, end = got.pts[i]
        inside = [pts for pts in stored if start <= pts < end]
        assert picture == b"%d" % min(inside, key=lambda pts: (abs(2 * pts - start - end), pts))
    kinds = random.sample(KINDS, random.randint(0, 3))
    chosen = [i for i, kind in enumerate(want.kinds) if kind in kinds]
    some = store.tokens(record.id, kinds)
    assert_same(some, want.take(chosen))
    assert store.count(record.id) == {kind: int((want.kinds == kind).sum()) for kind in KINDS}
    assert store.counts()[record.id] == store.count(record.id)


def test_tokens_of_one_start_come_in_order_of_part_then_row(store: Store) -> None:
    parts = [(part, *make_part(["object"] * 3, [0, 0, 0], seed=part)) for part in range(3)]
    for part, tokens, pictures in reversed(parts):
        store.add("film", part, KEYS, tokens, pictures)
    store.finish(make_record(), KEYS)
    assert_same(store.tokens("film"), in_order(parts))
    assert store.tokens("film").ids.tolist() == [
        f"object-{p}-{i}" for p in range(3) for i in range(3)
    ]


def test_tokens_come_in_order_of_seconds_whatever_the_time_bases(store: Store) -> None:
    """The part that starts later counts in coarser ticks, so its ticks are smaller numbers."""
    early, early_pictures = make_part(["object"] * 2, [900, 1800], seed=0)
    late, late_pictures = make_part(["object"] * 2, [2, 4], seed=1)
    early = replace(early, time_base=np.tile([1, 1000], (2, 1)))
    late = replace(late, time_base=np.tile([1, 1], (2, 1)))
    store.add("film", 0, KEYS, late, late_pictures)
    store.add("film", 1, KEYS, early, early_pictures)
    store.finish(make_record(), KEYS)
    assert_same(store.tokens("film"), in_order([(0, late, {}), (1, early, {})]))
    assert store.tokens("film").start_s.tolist() == [0.9, 1.8, 2.0, 4.0]


def test_a_record_is_read_as_it_was_written(store: Store) -> None:
    odd = make_record("it's", path="caf\udce9 'x'.mp4", gaps=((3.0, 4.0, "damaged"),))
    store.finish(odd, KEYS)
    assert store.videos() == [replace(odd, keys=KEYS)]
    assert store.resolve("it's") == store.resolve(odd.path) == store.videos()[0]
    assert len(store.tokens("it's")) == 0
    assert store.count("it's") == {"scene": 0, "object": 0, "action": 0}


def test_gaps_of_parts_are_kept_once_and_in_order(store: Store) -> None:
    none = make_part([], [])
    store.add("film", 1, KEYS, *none, gaps=[(8.0, 9.0, "lost")])
    store.add("film", 0, {"scene": "s1"}, *none, gaps=[(1.0, 2.0, "lost")])
    store.add("film", 0, {"action": "a1"}, *none, gaps=[(1.0, 2.0, "lost")])
    store.finish(make_record(gaps=((5.0, 6.0, "cut"),)), KEYS)
    gaps = store.resolve("film").gaps
    assert gaps == ((1.0, 2.0, "lost"), (5.0, 6.0, "cut"), (8.0, 9.0, "lost"))


def test_indexing_twice_does_nothing(store: Store) -> None:
    record = make_record()
    assert len(index(store, record)) == 9
    tables = store._tables
    before = {name: tables.version(name) for name in tables.names()}
    assert index(store, record) == []
    assert {name: tables.version(name) for name in tables.names()} == before
    assert store.begin(record, KEYS).complete == set(KINDS)


def test_another_key_redoes_its_kind_only(store: Store) -> None:
    index(store, make_record())
    changed = KEYS | {"action": "a2"}
    progress = store.begin(make_record(), changed)
    assert progress.complete == {"scene", "object"}
    assert progress.done == {(kind, part) for kind in ("scene", "object") for part in range(3)}
    assert index(store, make_record(), changed) == [("action", part) for part in range(3)]
    assert_known(store, store.resolve("film"))
    assert_nothing_left_over(store)


def test_readers_see_the_last_commit_while_another_is_made(store: Store) -> None:
    index(store, make_record())
    changed = dict.fromkeys(KINDS, "new")
    store.begin(make_record(), changed)
    for part in range(3):
        store.add("film", part, changed, *known_part("film", part, changed))
        assert_known(store, store.resolve("film"))
    assert store.resolve("film").keys == KEYS
    assert store.begin(make_record(), changed) == Stored(
        frozenset((kind, part) for kind in KINDS for part in range(3)), frozenset()
    )
    store.finish(make_record(), changed)
    assert store.resolve("film").keys == changed
    assert_known(store, store.resolve("film"))
    assert_nothing_left_over(store)


def test_a_video_in_the_making_is_not_there_yet(store: Store) -> None:
    store.add("film", 0, KEYS, *known_part("film", 0, KEYS))
    assert store.videos() == []
    for read in (store.tokens, store.count, store.resolve):
        with pytest.raises(NotIndexedError, match="film"):
            read("film")


def test_videos_come_in_the_order_of_indexing(store: Store) -> None:
    for name in ("b", "a", "c", "a"):
        index(store, make_record(name, seconds=np.random.rand()))
    assert [video.id for video in store.videos()] == ["b", "c", "a"]


def test_encoders_of_other_shapes_live_side_by_side(store: Store) -> None:
    shapes = {"one": (4, 1), "two": (4, 3), "three": (8, 1)}
    for name, (d, q) in shapes.items():
        store.add(name, 0, KEYS, *make_part(["scene", "action"], [0, 1], d, q))
        store.finish(make_record(name), KEYS)
    for name, (d, q) in shapes.items():
        assert_same(store.tokens(name), make_part(["scene", "action"], [0, 1], d, q)[0])
        assert store.tokens(name, []).facets.shape == (0, q, d)
    # A change of encoder moves a video from one table to another.
    store.add("one", 0, {"scene": "s2"}, *make_part(["scene"], [0], 8))
    store.finish(make_record("one"), {"scene": "s2"})
    assert store.tokens("one").embeddings.shape == (1, 8)
    assert store._tables.open("tokens_4x1").count_rows() == 0
    # Parts of one commit from two encoders are the caller's mistake.
    store.add("one", 1, {"scene": "s2"}, *make_part(["scene"], [0], 4))
    with pytest.raises(StoreError, match="one encoder"):
        store.finish(make_record("one"), {"scene": "s2"})


def test_remove_leaves_nothing(store: Store) -> None:
    index(store, make_record("a"))
    index(store, make_record("b"))
    store.add("a", 7, {"scene": "half done"}, *make_part(["scene"], [0]))
    store.remove("a")
    assert [video.id for video in store.videos()] == ["b"]
    with pytest.raises(NotIndexedError):
        store.tokens("a")
    assert_nothing_left_over(store)
    assert_known(store, store.resolve("b"))
    assert len(index(store, make_record("a"))) == 9


def test_half_indexed_videos_are_listed_and_removed(store: Store) -> None:
    index(store, make_record("done"))
    for name in ("half-aa", "half-ab"):
        store.begin(make_record(name, path=f"caf\udce9/{name}.mp4"), KEYS)
        store.add(name, 0, KEYS, *known_part(name, 0, KEYS))
    store.add("half-aa", 1, {"scene": "s1"}, *known_part("half-aa", 1, {"scene": "s1"}))
    done = {"scene": 1, "object": 1, "action": 1}
    first = Unfinished("half-aa", "caf\udce9/half-aa.mp4", done | {"scene": 2})
    second = Unfinished("half-ab", "caf\udce9/half-ab.mp4", done)
    assert store.unfinished() == Store(store.path).unfinished() == [first, second]
    assert [video.id for video in store.videos()] == ["done"]
    for name in ("half-aa", first.path):
        assert store.resolve_any(name) == first
    assert store.resolve_any("done.mp4") == store.resolve("done")
    assert store.resolve("don") == store.resolve("done")
    with pytest.raises(NotIndexedError, match=r"did you mean done \(done.mp4\)"):
        store.resolve_any("don")
    with pytest.raises(NotIndexedError, match=r"half-aa.*half-ab"):
        store.resolve_any("half")
    with pytest.raises(NotIndexedError, match="half-aa"):
        store.resolve_any("nothing")
    store.remove(store.resolve_any("half-aa").id)
    assert store.unfinished() == [second]
    assert store.resolve_any("half-ab") == second
    store.remove("half-ab")
    assert_nothing_left_over(store)
    assert_known(store, store.resolve("done"))


def test_a_committed_video_that_is_indexed_anew_is_not_unfinished(store: Store) -> None:
    index(store, make_record())
    store.add("film", 0, {"scene": "s2"}, *known_part("film", 0, {"scene": "s2"}))
    assert store.unfinished() == []


def rows(store: Store) -> int:
    tables = store._tables
    return sum(tables.open(name).count_rows() for name in tables.names())


@pytest.mark.parametrize("table", ["parts", "tokens_4x1", "meanings_3", "pictures"])
def test_what_a_kill_left_in_one_table_is_removed(store: Store, table: str) -> None:
    """By `remove`, and what belongs to no video by `optimize` as well."""
    for drop in (lambda: store.remove("film"), store.optimize):
        store.add("film", 0, KEYS, *known_part("film", 0, KEYS))
        for other in {"parts", "tokens_4x1", "meanings_3", "pictures"} - {table}:
            store._tables.delete(other, "true")
        assert rows(store) > 0
        drop()
        assert rows(store) == (len(KINDS) if table == "parts" and drop == store.optimize else 0)
    store.remove("film")


def test_optimize_keeps_what_is_being_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two writes of `add` and `finish`, of another process."""
    other, done = Store(store.path), [0]

    def optimizing(method: Any) -> Any:
        def write(tables: Any, *arguments: Any) -> Any:
            result = method(tables, *arguments)
            if tables is store._tables:
                done[0] += 1
                other.optimize()
            return result

        return write

    index(store, make_record("other"))
    for name in ("append", "delete", "mark"):
        monkeypatch.setattr(Tables, name, optimizing(getattr(Tables, name)))
    index(store, make_record())
    assert done[0] > 10
    for video in store.videos():
        assert_known(store, video)


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> known_kinds.Kind:
    """A kind that is heard: it has words and no picture."""
    known = known_kinds.known()
    kind = known_kinds.Kind("sound", "what is heard", "nowhere:Sounds", has_picture=False)
    monkeypatch.setattr(known_kinds, "known", lambda: known | {"sound": kind})
    return kind


def test_a_kind_without_pictures_is_stored_and_read_with_its_words(
    store: Store, sound: known_kinds.Kind
) -> None:
    tokens = replace(
        make_part([sound.name] * 3, [0, 20, 10])[0], text=np.array(["a", "", "g\u00fcn"], TEXT)
    )
    store.add("film", 0, {"sound": "k"}, tokens, {})
    store.finish(make_record(), {"sound": "k"})
    got = store.tokens("film")
    assert_same(got, tokens.take([0, 2, 1]))
    assert got.text.tolist() == ["a", "g\u00fcn", ""]
    with pytest.raises(OptionError, match="'sound' have no pictures"):
        store.pictures("film", got)


def test_a_kind_that_nobody_knows_any_more_is_an_error_that_names_it(
    store: Store, sound: known_kinds.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"scene": "s", "sound": "k"}
    tokens, pictures = make_part(["scene", "sound"], [0, 5])
    store.add("film", 0, keys, tokens, pictures)
    store.finish(make_record(), keys)
    index(store, make_record("other"))
    monkeypatch.undo()
    reads: list[Callable[[], object]] = [
        lambda: store.tokens("film"),
        lambda: store.nearest(np.ones(4, np.float32), 1, 50),
    ]
    for read in reads:
        with pytest.raises(StoreError, match=r"film has tokens of the kind 'sound'"):
            read()
    assert store.tokens("film", ["scene"]).kinds.tolist() == ["scene"]
    assert store.count("film") == {"scene": 1, "sound": 1}
    assert_known(store, store.resolve("other"))
    store.remove("film")
    assert_nothing_left_over(store)


def fragments(store: Store) -> int:
    return int(store._tables.open("tokens_4x1").stats()["fragment_stats"]["num_fragments"])


def test_optimize_changes_nothing_but_files(store: Store) -> None:
    for name in ("a", "b"):
        index(store, make_record(name))
    index(store, make_record("a"), KEYS | {"scene": "s2"})
    assert fragments(store) > 1
    store.optimize()
    assert fragments(store) == 1
    for video in store.videos():
        assert_known(store, video)


def test_records_are_read_again_when_another_process_has_changed_them(
    store: Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(store, make_record("a"))
    reader, reads = Store(place), list[str | None]()
    read = commits.commits

    def noted(tables: Tables, video_id: str | None = None) -> list[commits.Commit]:
        reads.append(video_id)
        return read(tables, video_id)

    monkeypatch.setattr(commits, "commits", noted)
    for _ in range(3):
        assert [video.id for video in reader.videos()] == list(reader.counts()) == ["a"]
    assert reads.count(None) == 1
    index(store, make_record("b"))
    assert [video.id for video in reader.videos()] == ["a", "b"]
    store.remove("a")
    assert [video.id for video in reader.videos()] == list(reader.counts()) == ["b"]


def test_files_do_not_pile_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seal.store.store._MANY_FILES", 5)
    for name in "abcd":
        index(store, make_record(name))
        assert fragments(store) < 5
    for video in store.videos():
        assert_known(store, video)


def test_a_name_resolves_to_the_video_it_means(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path / "x.mp4")
    store.finish(make_record("aa11", path="/odd/../x.mp4", location=here), KEYS)
    store.finish(make_record("aa22"), KEYS)
    store.finish(make_record("bb33", path="aa22.mp4"), KEYS)
    for name, video_id in {
        "aa11": "aa11",
        "aa1": "aa11",
        "x.mp4": "aa11",
        "/odd/../x.mp4": "aa11",
        here: "aa11",
        "aa22.mp4": "bb33",
        "/videos/aa22.mp4": "aa22",
        "b": "bb33",
    }.items():
        assert store.resolve(name).id == video_id
    with pytest.raises(NotIndexedError, match=r"aa11.*aa22"):
        store.resolve("aa")
    for name in ("", "nothing.mp4", "x" * 10_000, "it's"):
        with pytest.raises(NotIndexedError, match="seal index"):
            store.resolve(name)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.add("v", 0, {"scene": "s"}, *make_part(["action"], [0])),
        lambda store: store.add("v", 0, {"tree": "s"}, *make_part([], [])),
        lambda store: store.add("v", 0, KEYS, make_part(["scene"], [0])[0], {}),
        lambda store: store.add("v", 0, KEYS, make_part(["scene"], [0])[0], {7: b"late"}),
        lambda store: store.add("v", 0, KEYS, other_facets(), {0: b""}),
        lambda store: store.add("v", 0, KEYS, with_ids("", "a"), {0: b""}),
        lambda store: store.add("v", 0, KEYS, with_ids("a", "a"), {0: b""}),
        lambda store: store.begin(make_record(), {"tree": "s"}),
        lambda store: store.finish(make_record(), {"tree": "s"}),
        lambda store: store.tokens("film", ["tree"]),
    ],
)
def test_wrong_arguments_are_refused_and_store_nothing(
    store: Store, call: Callable[[Store], None]
) -> None:
    index(store, make_record())
    with pytest.raises(OptionError):
        call(store)
    assert_known(store, store.resolve("film"))
    assert_nothing_left_over(store)


def test_tokens_of_another_video_have_no_pictures(store: Store) -> None:
    index(store, make_record())
    assert store.pictures("film", make_part([], [])[0]) == []
    with pytest.raises(StoreError, match="no picture between"):
        store.pictures("film", make_part(["scene"], [-99])[0])


def with_ids(*ids: str) -> Tokens:
    return replace(make_part(["scene"] * len(ids), [0] * len(ids))[0], ids=np.array(ids))


def other_facets() -> Tokens:
    tokens = make_part(["scene"], [0])[0]
    return replace(tokens, facets=-tokens.facets)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="seal index"):
        Store(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "holiday.mp4").touch()
    with pytest.raises(StoreError, match=r"holiday\.mp4"):
        Store(tmp_path, create=True)
    with pytest.raises(StoreError, match=r"holiday\.mp4"):
        Store(tmp_path / "holiday.mp4", create=True)
    with pytest.raises(StoreError, match=r"holiday\.mp4"):
        Store(tmp_path / "holiday.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


def test_a_folder_that_becomes_a_store_meanwhile_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def slow(path: Path) -> Any:
        monkeypatch.undo()
        index(Store(path, create=True), make_record())
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", slow)
    store = Store(tmp_path, create=True)
    assert_known(store, store.resolve("film"))


def test_odd_paths_hold_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a b#c%20é", "s3:x", "deep/er"):
        index(Store(name, create=True), make_record())
        assert_known(Store(name), Store(name).resolve("film"))
        assert (tmp_path / name / "schema-2" / "parts.lance").is_dir()


@only_folders
def test_a_newer_store_is_refused_by_version(store: Store) -> None:
    schema.write_version(store.path, schema.VERSION + 1)
    for create in (False, True):
        with pytest.raises(StoreVersionError, match="upgrade"):
            Store(store.path, create)


def test_lancedb_is_imported_only_when_a_store_is_opened() -> None:
    code = "import sys, seal.store; assert not {'lancedb', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_talks_to_catalogues_is_loaded_when_it_is_asked_for(tmp_path: Path) -> None:
    code = f"""
import sys
from seal.store import Store
Store({str(tmp_path / "store")!r}, create=True)
client = sys.modules["lance_namespace_urllib3_client"]
loaded = client.__name__ + ".api" in sys.modules
print(loaded, client.TableApi.__name__, client.models.__name__, hasattr(client, "Nothing"))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == [
        "False", "TableApi", "lance_namespace_urllib3_client.models", "False"
    ]  # fmt: skip
