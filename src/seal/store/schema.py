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

from seal.errors import StoreError, StoreVersionError
from seal.types import KINDS, Int64, Strings, Tokens

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


ORDER_COLUMNS = ["kind", "batch", "row", "start_pts", "tick_numerator", "tick_denominator"]
"""What `token_order` needs of a tokens table."""


def token_columns(name: str) -> list[str]:
    """The columns of a tokens table that `to_tokens` needs."""
    return [column for column in table_schema(name).names if column != "video_id"]


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


def token_order(rows: Any, batches: Mapping[str, Sequence[int]]) -> tuple[Int64, Strings, Int64]:
    """How rows of a tokens table sort by kind, start, part, row: (order, kinds, numbers), all [n].

    Row order[i] is token i, of kinds[i] and numbers[i]: together its id, such as "scene-0".
    `batches` lists the batches of each kind in order of part.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = numbers(pc.index_in(rows["kind"], value_set=pa.array(KINDS))).astype(np.int64)
    batch, part = numbers(rows["batch"]), np.zeros(len(kind), np.int64)
    for index, name in enumerate(KINDS):
        mine, listed = kind == index, np.asarray(batches.get(name, ()), np.int64)
        sorter = np.argsort(listed)
        part[mine] = sorter[np.searchsorted(listed, batch[mine], sorter=sorter)]
    # Seconds, not ticks: two parts of one video may count in different time bases.
    tick_s = numbers(rows["tick_numerator"]) / numbers(rows["tick_denominator"])
    start_s = numbers(rows["start_pts"]) * tick_s
    order = np.lexsort((numbers(rows["row"]), part, start_s, kind))
    counts = np.bincount(kind, minlength=len(KINDS))
    return order, np.repeat(KINDS, counts), np.concatenate([np.arange(n) for n in counts])


def among(rows: Any, video_id: str, batches: Mapping[str, Sequence[int]]) -> Any:
    """Those of `rows` that are of this video and these batches of their kinds."""
    import pyarrow.compute as pc

    rows = rows.filter(pc.equal(rows["video_id"], video_id))
    kinds, batch = rows["kind"].to_pylist(), rows["batch"].to_pylist()
    listed = {(kind, number) for kind in batches for number in batches[kind]}
    return rows.filter(np.array([pair in listed for pair in zip(kinds, batch, strict=True)], bool))


def _keys(rows: Any) -> Any:
    """What tells the rows of one video apart: [n]."""
    pair = np.dtype([("batch", np.int64), ("row", np.int64)])
    keys = np.empty(rows.num_rows, pair)
    keys["batch"], keys["row"] = numbers(rows["batch"]), numbers(rows["row"])
    return keys


def to_tokens(
    rows: Any,
    video_id: str,
    batches: Mapping[str, Sequence[int]],
    dimension: int,
    facets: int,
    *,
    every: Any = None,
) -> Tokens:
    """Rows of a tokens table, in any order, as the tokens of one video.

    Where they are not all of its tokens, `every` one has a row there with `ORDER_COLUMNS`.
    Raises OptionError or ValueError if the rows do not make sense.
    """
    order, kinds, places = token_order(rows, batches)
    if every is not None:
        # Some of all tokens come in the same order as all of them.
        overall, _, all_places = token_order(every, batches)
        places = all_places[np.isin(_keys(every)[overall], _keys(rows))]
    pairs = zip(kinds.tolist(), places.tolist(), strict=True)
    ids = np.array([f"{kind}-{place}" for kind, place in pairs], np.str_)
    n = len(order)

    def column(name: str, *shape: int) -> Any:
        array = rows[name].combine_chunks()
        values = numbers(array.flatten() if shape else array).reshape(n, *shape)
        # Columns can be large and stored order is often the right one: then nothing is copied.
        return values if in_order else values[order]

    in_order = bool((order == np.arange(n)).all())
    embeddings = column("embedding", dimension)
    tracks = rows["track"].combine_chunks().take(order)
    offsets = numbers(tracks.offsets) // 5
    return Tokens(
        ids=ids,
        video_ids=np.full(n, video_id, dtype=f"<U{max(1, len(video_id))}"),
        kinds=kinds,
        pts=np.stack([column("start_pts"), column("end_pts")], 1),
        time_base=np.stack([column("tick_numerator"), column("tick_denominator")], 1),
        boxes=column("box", 4),
        scores=column("score"),
        embeddings=embeddings,
        facets=embeddings[:, None] if facets == 1 else column("facets", facets, dimension),
        track_offsets=offsets,
        track_rows=numbers(tracks.flatten()).reshape(-1, 5),
    )


def numbers(column: Any) -> Any:
    """An Arrow column of numbers as NumPy, without a copy where it lies in one piece."""
    array = column.combine_chunks() if hasattr(column, "chunks") else column
    return array.to_numpy(zero_copy_only=True)
