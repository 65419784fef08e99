"""What was written to the store is what is read, whatever the kinds, parts and order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal.store import Store, VideoRecord
from seal.types import KINDS, Tokens

KEYS = {"scene": "s1", "object": "o1", "action": "a1"}


def make_record(video_id: str = "film", **changes: Any) -> VideoRecord:
    record = VideoRecord(
        id=video_id,
        path=f"{video_id}.mp4",
        location=f"/videos/{video_id}.mp4",
        content_id="c0ffee",
        duration_s=12.5,
        start_s=0.04,
        width=640,
        height=360,
        codec="h264",
        rate_hz=None,
        profile="mini",
        encoder="mini-1",
        encoder_options={"backend": "mini"},
        options={"video": {"rate_hz": 5.0}},
        indexed_at="2026-01-01T00:00:00+00:00",
        seconds=1.5,
    )
    return replace(record, **changes)


def make_part(
    kinds: list[str], starts: list[int], d: int = 4, q: int = 1, seed: int = 0
) -> tuple[Tokens, list[bytes]]:
    """Tokens of these kinds that start at these ticks, and a thumbnail of its own for each."""
    n = len(kinds)
    rng = np.random.default_rng(seed)
    facets = rng.normal(size=(n, q, d)).astype(np.float32)
    facets /= np.linalg.norm(facets, axis=2, keepdims=True)
    embeddings = facets[:, 0] if q == 1 else facets.mean(1)
    corners = rng.random((n, 2, 2)).astype(np.float32)
    lengths = [int(rng.integers(1, 5)) if kind == "action" else 0 for kind in kinds]
    tokens = Tokens(
        ids=np.array([""] * n, np.str_),
        video_ids=np.array([""] * n, np.str_),
        kinds=np.array(kinds, np.str_),
        pts=np.array([[start, start + 7] for start in starts], np.int64).reshape(n, 2),
        time_base=np.tile(np.array([1001, 30000], np.int64), (n, 1)),
        boxes=np.concatenate([corners.min(1), corners.max(1)], 1),
        scores=rng.random(n).astype(np.float32),
        embeddings=embeddings,
        facets=facets,
        track_offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        track_rows=rng.random((sum(lengths), 5)),
    )
    return tokens, [bytes([seed % 256, i]) * (1 + i) for i in range(n)]


def assert_same(got: Tokens, want: Tokens) -> None:
    for name in want.__dataclass_fields__:
        if name not in ("ids", "video_ids"):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)


def in_order(parts: list[tuple[int, Tokens, list[bytes]]]) -> tuple[Tokens, list[str], list[bytes]]:
    """The slow, obvious reference: all tokens sorted by kind, start, part, row; ids; thumbnails."""
    rows = []
    for part, tokens, thumbnails in parts:
        for i, kind in enumerate(tokens.kinds.tolist()):
            key = (KINDS.index(kind), int(tokens.pts[i, 0]), part, i)
            rows.append((key, kind, tokens.take([i]), thumbnails[i]))
    rows.sort(key=lambda row: row[0])
    seen = dict.fromkeys(KINDS, 0)
    ids = []
    for _, kind, _, _ in rows:
        ids.append(f"{kind}-{seen[kind]}")
        seen[kind] += 1
    nothing = parts[0][1].take([])
    return Tokens.concatenate([nothing, *(row[2] for row in rows)]), ids, [row[3] for row in rows]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def index(store: Store, record: VideoRecord, keys: dict[str, str] = KEYS, parts: int = 2) -> None:
    """Index a video as `seal index` does: what is done already is not done again."""
    progress = store.begin(record, keys)
    for part in range(parts):
        todo = {kind: key for kind, key in keys.items() if (kind, part) not in progress.done}
        if todo:
            kinds = [kind for kind in KINDS if kind in todo for _ in range(3)]
            starts = [100 * part + 10 * i for i in range(len(kinds))]
            store.add(record.id, part, todo, *make_part(kinds, starts, seed=part))
    store.finish(record, keys)


part_lists = st.lists(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(-50, 50)), max_size=8),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(part_lists, st.sampled_from([1, 3]), st.randoms(use_true_random=False))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    part_list: list[list[tuple[str, int]]],
    q: int,
    random: Any,
) -> None:
    store = Store(tmp_path_factory.mktemp("store"), create=True)
    parts = []
    for part, rows in enumerate(part_list):
        kinds, starts = [row[0] for row in rows], [row[1] for row in rows]
        parts.append((part, *make_part(kinds, starts, q=q, seed=part)))
    record = make_record()
    for part, tokens, thumbnails in random.sample(parts, len(parts)):
        store.add(record.id, part, KEYS, tokens, thumbnails)
    store.finish(record, KEYS)
    want, ids, pictures = in_order(parts)
    got = store.tokens(record.id)
    assert_same(got, want)
    assert got.ids.tolist() == ids
    assert got.video_ids.tolist() == [record.id] * len(ids)
    shuffled = random.sample(range(len(ids)), len(ids)) * 2
    thumbnails = store.thumbnails(record.id, [ids[i] for i in shuffled])
    assert thumbnails == [pictures[i] for i in shuffled]
    kinds = random.sample(KINDS, random.randint(0, 3))
    chosen = [i for i, kind in enumerate(want.kinds) if kind in kinds]
    some = store.tokens(record.id, kinds)
    assert_same(some, want.take(chosen))
    assert some.ids.tolist() == [ids[i] for i in chosen]
    assert store.count(record.id) == {kind: int((want.kinds == kind).sum()) for kind in KINDS}


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
