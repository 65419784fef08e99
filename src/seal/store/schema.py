"""The layout of a store on disk, its version, and the way between `Tokens` and Arrow.

A store is a folder with a small file `store.json` ({"format": "seal-store", "schema": 1}), which
makes it one, and up to four kinds of Lance table, each created when first written to:

    videos          one row per commit: id, committed (ns), record (JSON), contents (JSON)
    parts           one row per kind and part stored: its key, its batch, how many tokens it has
    pictures        one row per frame that shows a token, whichever tokens share it
    tokens_{d}x{q}  one row per token of the encoders with dimension d and q facets

Encoders of different dimensions need different tables because the embedding is a fixed-size list
of float32, the only type that Lance can index for vector search. With q = 1 the facets are the
embeddings and have no column of their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seal import kinds as known_kinds
from seal.errors import StoreError, StoreVersionError
from seal.types import TEXT, Int64, Tokens

VERSION = 1
"""The layout this code reads and writes."""
VERSION_FILE = "store.json"
_FORMAT = "seal-store"

MIGRATIONS: dict[int, Callable[[Any], None]] = {}
"""Layout n -> what makes it n + 1, given the open Lance database. The version is written when the
function has returned, so it must not mind finding its work half done."""

VIDEOS, PARTS, PICTURES, TOKENS = "videos", "parts", "pictures", "tokens_"


def read_version(path: Path) -> int:
    """The layout of the store at `path`.

    Raises FileNotFoundError if there is none, ValueError if the file is not ours,
    StoreVersionError if the store is newer than this code, StoreError if it is too old for it.
    """
    content = json.loads((path / VERSION_FILE).read_bytes())
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{VERSION_FILE} does not say that this is a token store")
    version = content.get("schema")
    if not isinstance(version, int):
        raise ValueError(f"{VERSION_FILE} has no schema version")
    if version > VERSION:
        raise StoreVersionError(
            f"{path} was written by a newer SEAL (schema {version}, this one knows up to"
            f" {VERSION}); upgrade with pip install -U seal-video, or use another --store"
        )
    if any(step not in MIGRATIONS for step in range(version, VERSION)):
        raise StoreError(
            f"{path} has schema {version}, which this SEAL cannot bring up to {VERSION};"
            " index again into another --store"
        )
    return version


def write_version(path: Path, version: int = VERSION) -> None:
    """Mark `path` as a store of this layout, in one atomic step."""
    draft = path / f"{VERSION_FILE}.{os.getpid()}"
    draft.write_text(json.dumps({"format": _FORMAT, "schema": version}) + "\n")
    os.replace(draft, path / VERSION_FILE)


def migrate(path: Path, database: Any) -> None:
    """Bring the store at `path`, open as `database`, to `VERSION`. Raises as `read_version`."""
    for version in range(read_version(path), VERSION):
        MIGRATIONS[version](database)
        write_version(path, version + 1)


def tokens_table(dimension: int, facets: int) -> str:
    """The name of the table for embeddings [dimension] with this many facets."""
    return f"{TOKENS}{dimension}x{facets}"


def table_schema(name: str) -> Any:
    """The Arrow schema of a table."""
    import pyarrow as pa

    text, integer, real = pa.string(), pa.int64(), pa.float32()
    if name == VIDEOS:
        columns = {"id": text, "committed": integer, "record": text, "contents": text}
    elif name == PARTS:
        columns = {
            "video_id": text,
            "kind": text,
            "key": text,
            "part": integer,
            "batch": integer,
            "count": integer,
            "dimension": integer,
            "facets": integer,
            "gaps": text,
        }
    elif name == PICTURES:
        columns = {"video_id": text, "batch": integer, "pts": integer, "jpeg": pa.large_binary()}
    else:
        dimension, facets = map(int, name.removeprefix(TOKENS).split("x"))
        columns = {
            "video_id": text,
            "kind": text,
            "batch": integer,
            "row": integer,
            "start_pts": integer,
            "end_pts": integer,
            "tick_numerator": integer,
            "tick_denominator": integer,
            "box": pa.list_(real, 4),
            "score": real,
            "embedding": pa.list_(real, dimension),
            "facets": pa.list_(real, facets * dimension),
            "track": pa.large_list(pa.float64()),
        }
        if facets == 1:
            del columns["facets"]
    return pa.schema([pa.field(key, kind, nullable=False) for key, kind in columns.items()])


ORDER_COLUMNS = [
    "video_id",
    "kind",
    "batch",
    "row",
    "start_pts",
    "tick_numerator",
    "tick_denominator",
]
"""What `_token_order` needs of a tokens table."""

Batches = Mapping[str, Mapping[str, Sequence[int]]]
"""video id -> kind -> the batches that are the video's tokens of that kind, in order of part."""


def to_arrow(video_id: str, batch: int, tokens: Tokens) -> Any:
    """`tokens` as rows of their table. `batch` and the row number tell them from all others."""
    import pyarrow as pa

    n, facets, dimension = tokens.facets.shape
    schema = table_schema(tokens_table(dimension, facets))

    def lists(name: str, values: Any) -> Any:
        flat = np.ascontiguousarray(values).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=schema.field(name).type)

    columns = {
        "video_id": [video_id] * n,
        "kind": tokens.kinds.tolist(),
        "batch": np.full(n, batch),
        "row": np.arange(n),
        "start_pts": tokens.pts[:, 0],
        "end_pts": tokens.pts[:, 1],
        "tick_numerator": tokens.time_base[:, 0],
        "tick_denominator": tokens.time_base[:, 1],
        "box": lists("box", tokens.boxes),
        "score": tokens.scores,
        "embedding": lists("embedding", tokens.embeddings),
        "track": pa.LargeListArray.from_arrays(
            tokens.track_offsets * 5, tokens.track_rows.reshape(-1)
        ),
    }
    if facets > 1:
        columns["facets"] = lists("facets", tokens.facets)
    return pa.table(columns, schema=schema)


def _distinct(values: Int64) -> tuple[Int64, Int64]:
    """The different values, and which of them each is: np.unique by hashing, ten times as fast."""
    import pyarrow as pa

    encoded = pa.array(values).dictionary_encode()
    return numbers(encoded.dictionary), numbers(encoded.indices)


def _parts(groups: Int64, batch: Int64, batches: Batches) -> Int64:
    """[n] which part of its video and kind, its group, each row's batch is; -1 for none."""
    parts = {
        (video * len(_kinds()) + _kinds().index(kind), number): part
        for video, kinds in enumerate(batches.values())
        for kind, listed in kinds.items()
        for part, number in enumerate(listed)
    }
    stored, code = _distinct(batch)
    pairs, pair = _distinct(groups * len(stored) + code)
    group, code = np.divmod(pairs, max(1, len(stored)))
    found = zip(group.tolist(), stored[code].tolist(), strict=True)
    return np.array([parts.get(key, -1) for key in found], np.int64)[pair]


def _token_order(rows: Any, batches: Batches) -> tuple[Int64, Int64, Int64]:
    """How rows of a tokens table sort by video, kind, start, part, row: (order, groups, numbers).

    Row order[i] is token i, the numbers[i]-th of its group, which is video * len(_kinds()) + kind.
    Rows of no batch listed are left out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def codes(name: str, values: Sequence[str]) -> Int64:
        found = pc.index_in(rows[name], value_set=pa.array(values, pa.string()))
        index: Int64 = numbers(pc.fill_null(found, -1)).astype(np.int64)
        return index

    groups = codes("video_id", list(batches)) * len(_kinds()) + codes("kind", _kinds())
    part = _parts(groups, numbers(rows["batch"]), batches)
    # Seconds, not ticks: two parts of one video may count in different time bases.
    tick_s = numbers(rows["tick_numerator"]) / numbers(rows["tick_denominator"])
    start_s = numbers(rows["start_pts"]) * tick_s
    order = np.lexsort((numbers(rows["row"]), part, start_s, groups))
    order = order[part[order] >= 0]
    groups = groups[order]
    return order, groups, np.arange(len(order)) - np.searchsorted(groups, groups)


def to_tokens(
    rows: Any, batches: Batches, dimension: int, facets: int, *, every: Any = None
) -> Tokens:
    """Those rows of a tokens table that are of these batches, by video in their order.

    Where they are not all tokens of these videos, `every` one has a row there, with
    `ORDER_COLUMNS`, and both tables have row ids. Raises OptionError or ValueError if the rows do
    not make sense.
    """
    order, groups, places = _token_order(rows, batches)
    if every is not None:
        # Some of all tokens come in the same order as all of them.
        overall, _, all_places = _token_order(every, batches)
        places = all_places[np.isin(numbers(every["_rowid"])[overall], numbers(rows["_rowid"]))]
    video, kind = np.divmod(groups, len(_kinds()))
    kinds = np.array(_kinds())[kind]
    pairs = zip(kinds.tolist(), places.tolist(), strict=True)
    ids = np.array([f"{kind}-{place}" for kind, place in pairs], np.str_)

    def column(name: str, *shape: int) -> Any:
        array = rows[name].combine_chunks()
        values = numbers(array.flatten() if shape else array).reshape(rows.num_rows, *shape)
        # Columns can be large and stored order is often the right one: then nothing is copied.
        return values if in_order else values[order]

    in_order = np.array_equal(order, np.arange(rows.num_rows))
    embeddings = column("embedding", dimension)
    tracks = rows["track"].combine_chunks().take(order)
    offsets = numbers(tracks.offsets) // 5
    return Tokens(
        ids=ids,
        video_ids=np.array(list(batches), np.str_)[video],
        kinds=kinds,
        pts=np.stack([column("start_pts"), column("end_pts")], 1),
        time_base=np.stack([column("tick_numerator"), column("tick_denominator")], 1),
        boxes=column("box", 4),
        scores=column("score"),
        text=np.full(len(order), "", TEXT),
        embeddings=embeddings,
        facets=embeddings[:, None] if facets == 1 else column("facets", facets, dimension),
        track_offsets=offsets,
        track_rows=numbers(tracks.flatten()).reshape(-1, 5),
    )


def _kinds() -> list[str]:
    return list(known_kinds.known())


def numbers(column: Any) -> Any:
    """An Arrow column of numbers as NumPy, without a copy where it lies in one piece."""
    array = column.combine_chunks() if hasattr(column, "chunks") else column
    return array.to_numpy(zero_copy_only=True)
