"""Videos whose tokens are known, and a process that indexes them until it ends or is killed."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any
from zlib import crc32

import numpy as np

import seal.store.lance as lance_module
import seal.store.store as store_module
from seal import kinds as known_kinds
from seal.store import Store, VideoRecord
from seal.store.commits import commits
from seal.types import Tokens

KINDS = [kind.name for kind in known_kinds.SEEN]
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
) -> tuple[Tokens, dict[int, bytes]]:
    """Tokens of these kinds that start at these ticks, and a picture of each start."""
    n = len(kinds)
    rng = np.random.default_rng(seed)
    facets = rng.normal(size=(n, q, d)).astype(np.float32)
    corners = rng.random((n, 2, 2)).astype(np.float32)
    lengths = [int(rng.integers(1, 5)) if kind == "action" else 0 for kind in kinds]
    tokens = Tokens.of(
        kinds,
        [[start, start + 7] for start in starts],
        Fraction(1001, 30000),
        facets,
        ids=[f"{kind}-{seed}-{i}" for i, kind in enumerate(kinds)],
        text=[f"{kind} {i} \u00e9" * (seed % 3) for i, kind in enumerate(kinds)],
        boxes=np.concatenate([corners.min(1), corners.max(1)], 1),
        scores=rng.random(n),
        tracks=[rng.random((length, 5)) for length in lengths],
    )
    return tokens, {start: b"%d" % start for start in starts}


Part = tuple[Tokens, dict[int, bytes], tuple[()], dict[str, np.ndarray]]
"""Tokens, pictures, gaps and meanings."""


def known_part(video_id: str, part: int, keys: dict[str, str]) -> Part:
    """The tokens of a part of a video: of each kind 0 to 3, decided by video, part and key."""
    pieces = []
    for kind in sorted(keys, key=KINDS.index):
        seed = crc32(f"{video_id} {part} {kind} {keys[kind]}".encode())
        n = seed % 4
        starts = [1000 * part + 10 * i for i in range(n)]
        pieces.append(make_part([kind] * n, starts, seed=seed))
    pictures = {pts: picture for _, pictures in pieces for pts, picture in pictures.items()}
    tokens = Tokens.concatenate([tokens for tokens, _ in pieces])
    return tokens, pictures, (), known_meanings(tokens)


def known_meanings(tokens: Tokens) -> dict[str, np.ndarray]:
    """Id -> [3] of tokens, decided by their ids."""
    return {
        name: np.random.default_rng(crc32(name.encode())).normal(size=3).astype(np.float32)
        for name in tokens.ids.tolist()
    }


def index(
    store: Store, record: VideoRecord, keys: dict[str, str] = KEYS, parts: int = 3
) -> list[tuple[str, int]]:
    """Index a video as `seal index` does; returns the (kind, part) pairs that needed work."""
    progress = store.begin(record, keys)
    worked = []
    for part in range(parts):
        todo = {kind: key for kind, key in keys.items() if (kind, part) not in progress.done}
        if todo:
            store.add(record.id, part, todo, *known_part(record.id, part, todo))
            worked += [(kind, part) for kind in todo]
    store.finish(record, keys)
    return worked


def assert_same(got: Tokens, want: Tokens) -> None:
    for name in want.__dataclass_fields__:
        if name != "video_ids":
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)


def known_tokens(record: VideoRecord, parts: int = 3) -> Tokens:
    """The tokens of a committed video, in order."""
    return Tokens.concatenate(
        known_part(record.id, part, {kind: record.keys[kind]})[0]
        for kind in KINDS
        for part in range(parts)
    )


def assert_known(store: Store, record: VideoRecord, parts: int = 3) -> None:
    """A committed video has exactly the tokens, meanings and pictures that its keys decide."""
    got = store.tokens(record.id)
    assert_same(got, known_tokens(record, parts))
    meant = known_meanings(got)
    if len(got):
        np.testing.assert_array_equal(store.meanings(got, 3), [meant[one] for one in got.ids])
    # Starts lie 10 ticks apart and tokens last 7, so a token's picture is that of its start.
    assert store.pictures(record.id, got) == [b"%d" % start for start in got.pts[:, 0]]


def assert_nothing_left_over(store: Store) -> None:
    """The tables hold what the committed videos need and not a row more."""
    videos = store.videos()
    tokens = sum(sum(store.count(video.id).values()) for video in videos)
    rows = {name: store._tables.open(name).count_rows() for name in store._tables.names()}
    shown = {row["batch"] for row in store._tables.rows("pictures")}
    names = [name for commit in commits(store._tables) for name in commit.contents.names]
    assert shown <= {batch for _, batch in names}
    assert shown or not rows.get("pictures", 0)
    assert not tokens or len(store.nearest(np.ones(4, np.float32), 1, 2 * tokens)) == tokens
    rows.pop("pictures", None)
    meant = store.meant(np.ones(3, np.float32), 2 * tokens) if tokens else []
    assert set(meant) == {video.id for video in videos if sum(store.count(video.id).values())}
    wanted = {"videos": len(videos), "tokens_4x1": tokens, "meanings_3": tokens}
    assert rows == {name: wanted.get(name, 0) for name in rows}
    assert store.unfinished() == []


def work(path: str, name: str, rounds: int) -> None:
    """Index two videos again and again, every time with another option, so that every round
    replaces what the one before has stored."""
    store = Store(path, create=True)
    for i in range(rounds):
        keys = KEYS | {"object": f"o{i // 2}-{os.getpid()}", "action": f"a{i // 2}"}
        index(store, make_record(f"{name}-{i % 2}"), keys)


def read(path: str, rounds: int) -> None:
    """Read all videos again and again: each is whole."""
    store = Store(path, create=True)
    for _ in range(10 * rounds):
        for video in store.videos():
            tokens = store.tokens(video.id)
            if store.resolve(video.id) == video:  # Otherwise it was replaced as we read.
                assert_same(tokens, known_tokens(video))
        store.nearest(np.ones(4, np.float32), 1, 50)


def purge(path: str, rounds: int) -> None:
    """Free all space that can be freed, again and again."""
    for _ in range(5 * rounds):
        Store(path, create=True).optimize(purge=True)


def main() -> None:
    """Per line of input ("rounds path name name ...") fork a process for each name, print their
    ids, wait, and print how they ended. Forked, because importing LanceDB takes a second. "read"
    and "purge" are no videos."""
    import lancedb  # noqa: F401

    # So that merges and indices are killed and met by others, too.
    store_module._MANY_FILES = 5
    lance_module._WORTH_AN_INDEX = 4
    lance_module._MANY_PIECES = 3
    for line in sys.stdin:
        rounds, path, *names = line.split()
        children, start = [], time.time() + 0.02 * len(names)
        for name in names:
            child = os.fork()
            if child == 0:
                time.sleep(max(0.0, start - time.time()))
                if name in ("read", "purge"):
                    {"read": read, "purge": purge}[name](path, int(rounds))
                else:
                    work(path, name, int(rounds))
                os._exit(0)
            children.append(child)
        print(*children, flush=True)
        print(*(os.waitpid(child, 0)[1] for child in children), flush=True)


if __name__ == "__main__":
    main()
