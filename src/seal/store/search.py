"""The committed tokens, or the videos of those, that a query on their table yields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from seal.errors import StoreError
from seal.store import columns, schema
from seal.store.commits import Commit
from seal.store.lance import Tables, among, nearest, scan
from seal.types import Float32, Tokens

NAMES = ["video_id", "kind", "batch"]
"""What a row is named by in a commit."""

Query = Callable[[Any, Sequence[str]], Any]
"""From a table and the names of columns to an Arrow table of these."""

Visible = Callable[[], Mapping[str, Commit]]
"""The visible commit of every video, as it is now."""


def committed(tables: Tables, visible: Visible, shape: tuple[int, int], query: Query) -> Tokens:
    """The committed ones among the tokens that a query yields, in order of video.

    `shape` is the dimension and the number of facets of their embeddings.
    """
    name = schema.tokens_table(*shape)
    table_schema = schema.table_schema(name)
    while True:
        version = tables.version(schema.VIDEOS)
        found = visible()
        rows = tables.read(name, lambda table: query(table, table_schema.names))
        if version == tables.version(schema.VIDEOS):
            break  # Otherwise tokens may belong to a later commit.
    if rows is None:
        rows = table_schema.empty_table()
    videos = sorted(set(rows["video_id"].to_pylist()) & set(found))
    batches = {video: found[video].contents.batches for video in videos}
    return columns.to_tokens(rows, batches, *shape)


def meant(tables: Tables, found: Mapping[str, Commit], direction: Float32, limit: int) -> list[str]:
    """The videos, among those with these visible commits, of the `limit` tokens whose meanings are
    nearest to `direction` [e], the nearest first."""
    name = schema.meanings_table(direction.size)
    find = partial(nearest, columns=NAMES, direction=direction, limit=limit, where="true")
    return videos_of(tables.read(name, find), found)


def videos_of(rows: Any, found: Mapping[str, Commit]) -> list[str]:
    """The videos of an Arrow table of NAMES, or of None, in the order of their first rows; without
    the rows that these visible commits do not name."""
    names = {video: commit.contents.names for video, commit in found.items()}
    values = () if rows is None else (rows[name].to_pylist() for name in NAMES)
    named = (
        video
        for video, kind, batch in zip(*values, strict=True)
        if (kind, batch) in names.get(video, ())
    )
    return list(dict.fromkeys(named))


def meanings(tables: Tables, tokens: Tokens, dimension: int) -> Float32:
    """[n, dimension] the stored meaning of each token.

    An id stands for the words and for what embedded them, so that it is enough to find them.
    Raises StoreError if a meaning is not there.
    """
    where = _these(tokens.video_ids.tolist(), tokens.ids.tolist())
    names = ["video_id", "id", "embedding"]
    name = schema.meanings_table(dimension)
    rows = tables.read(name, lambda table: scan(table, where, names))
    place: dict[tuple[str, str], int] = {}
    vectors = np.empty((0, dimension), np.float32)
    if rows is not None:
        pairs = zip(rows["video_id"].to_pylist(), rows["id"].to_pylist(), strict=True)
        place = {pair: row for row, pair in enumerate(pairs)}
        flat = columns.numbers(rows["embedding"].combine_chunks().flatten())
        vectors = flat.reshape(-1, dimension)
    wanted = list(zip(tokens.video_ids.tolist(), tokens.ids.tolist(), strict=True))
    lacking = [video for video, token in wanted if (video, token) not in place]
    if lacking:
        raise StoreError(
            f"the meanings of {len(lacking)} of {len(tokens)} sentences are not there, such as"
            f" some of {lacking[0]}: if another process is indexing that video, run the same"
            " command again; otherwise seal remove the video and index it again"
        )
    found: Float32 = vectors[[place[pair] for pair in wanted]]
    return found


def _these(videos: Iterable[str], ids: Iterable[str]) -> str:
    return f"{among('video_id', set(videos))} AND {among('id', set(ids))}"
