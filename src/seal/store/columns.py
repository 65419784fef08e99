"""The way between `Tokens` and the rows of a tokens table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seal import kinds as known_kinds
from seal.errors import OptionError
from seal.store import schema
from seal.types import TEXT, Float32, Int64, Texts, Tokens, check_ticks

Batches = Mapping[str, Mapping[str, Sequence[str]]]
"""video id -> kind -> the batches that hold the video's tokens of the kind, in order of part."""


def to_arrow(video_id: str, batch: str, tokens: Tokens) -> Any:
    """`tokens` as rows of their table. `batch` and the row number identify a row."""
    import pyarrow as pa

    n, facets, dimension = tokens.facets.shape
    table = schema.table_schema(schema.tokens_table(dimension, facets))

    def lists(name: str, values: Any) -> Any:
        flat = np.ascontiguousarray(values).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=table.field(name).type)

    columns = {
        "video_id": [video_id] * n,
        "kind": tokens.kinds.tolist(),
        "batch": [batch] * n,
        "row": np.arange(n),
        "id": tokens.ids.tolist(),
        "start_pts": tokens.pts[:, 0],
        "end_pts": tokens.pts[:, 1],
        "tick_numerator": tokens.time_base[:, 0],
        "tick_denominator": tokens.time_base[:, 1],
        "box": lists("box", tokens.boxes),
        "score": tokens.scores,
        "text": tokens.text.tolist(),
        "embedding": lists("embedding", tokens.embeddings),
        "track": pa.LargeListArray.from_arrays(
            tokens.track_offsets * 5, tokens.track_rows.reshape(-1)
        ),
    }
    if facets > 1:
        columns["facets"] = lists("facets", tokens.facets)
    return pa.table(columns, schema=table)


def meanings_to_arrow(
    video_id: str, batch: str, tokens: Tokens, meanings: Mapping[str, Float32]
) -> Any:
    """The meanings [e], at least one, of tokens by id as rows of their table."""
    import pyarrow as pa

    found = tokens.take([name in meanings for name in tokens.ids.tolist()])
    vectors = np.stack([meanings[name] for name in found.ids.tolist()])
    n, dimension = vectors.shape
    table = schema.table_schema(schema.meanings_table(dimension))
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    columns = {
        "video_id": [video_id] * n,
        "kind": found.kinds.tolist(),
        "batch": [batch] * n,
        "id": found.ids.tolist(),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, type=table.field("embedding").type),
    }
    return pa.table(columns, schema=table)


def check_ids(tokens: Tokens, meanings: Mapping[str, Float32]) -> None:
    """Raises OptionError unless every token has an id, no two have the same, and the ids of
    `meanings` are among them."""
    ids, counts = np.unique(tokens.ids, return_counts=True)
    if "" in ids:
        raise OptionError("every token needs an id; one of these is empty")
    if (counts > 1).any():
        raise OptionError(f"ids must be unique; {ids[counts > 1][0]!r} is not")
    if unknown := meanings.keys() - set(ids.tolist()):
        raise OptionError(f"no token has the id {min(unknown)!r}, of which a meaning is given")


def to_tokens(rows: Any, batches: Batches, dimension: int, facets: int) -> Tokens:
    """The rows of a tokens table that belong to these batches, as tokens in order: by video in the
    order of `batches`, then by kind, start in seconds, part, row. The column video_id may be absent
    if there is one video.

    Raises ValueError if a kind is unknown, OptionError if the rows do not make sense.
    """
    kinds = _known(batches)
    check_ticks(numbers(rows["tick_numerator"]), numbers(rows["tick_denominator"]))
    order, groups = _token_order(rows, batches, kinds)
    video, kind = np.divmod(groups, max(1, len(kinds)))

    def column(name: str, *shape: int) -> Any:
        array = rows[name].combine_chunks()
        values = numbers(array.flatten() if shape else array).reshape(rows.num_rows, *shape)
        # Columns can be large and stored order is often the right one: then nothing is copied.
        return values if in_order else values[order]

    in_order = np.array_equal(order, np.arange(rows.num_rows))
    embeddings = column("embedding", dimension)
    tracks = rows["track"].combine_chunks().take(order)
    offsets = numbers(tracks.offsets)
    if (offsets % 5).any():
        raise OptionError("a track must have five numbers for each of its times")
    ids, text = rows["id"].to_numpy().astype(np.str_), _texts(rows["text"])
    tokens = Tokens(
        ids=ids if in_order else ids[order],
        video_ids=np.array(list(batches), np.str_)[video],
        kinds=np.array(kinds, np.str_)[kind],
        pts=np.stack([column("start_pts"), column("end_pts")], 1),
        time_base=np.stack([column("tick_numerator"), column("tick_denominator")], 1),
        boxes=column("box", 4),
        scores=column("score"),
        text=text if in_order else text[order],
        embeddings=embeddings,
        facets=embeddings[:, None] if facets == 1 else column("facets", facets, dimension),
        track_offsets=offsets // 5,
        track_rows=numbers(tracks.flatten()).reshape(-1, 5),
    )
    tokens.check_numbers()
    return tokens


def _known(batches: Batches) -> list[str]:
    """The known kinds, in order. Raises ValueError if `batches` have another one."""
    kinds = list(known_kinds.known())
    for video, listed in batches.items():
        for kind in listed:
            if kind not in kinds:
                raise ValueError(
                    f"{video} has tokens of the kind {kind!r}, which no installed package knows;"
                    " install the package that it was indexed with"
                )
    return kinds


def _token_order(rows: Any, batches: Batches, kinds: Sequence[str]) -> tuple[Int64, Int64]:
    """How rows of a tokens table sort by video, kind, start, part, row: (order, groups).

    Row order[i] is token i, of the group video * len(kinds) + kind. Rows that belong to no batch
    listed are left out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def codes(name: str, values: Sequence[str]) -> Int64:
        found = pc.index_in(rows[name], value_set=pa.array(values, pa.string()))
        index: Int64 = numbers(pc.fill_null(found, -1)).astype(np.int64)
        return index

    several = "video_id" in rows.column_names
    video = codes("video_id", list(batches)) if several else np.zeros(rows.num_rows, np.int64)
    kind = codes("kind", kinds)
    groups = np.where((video < 0) | (kind < 0), -1, video * len(kinds) + kind)
    listed = ["", *{name for of in batches.values() for names in of.values() for name in names}]
    parts = {
        (video * len(kinds) + kinds.index(kind), batch): part
        for video, of in enumerate(batches.values())
        for kind, names in of.items()
        for part, batch in enumerate(names)
    }
    # Few groups and batches meet, so the dictionary is asked once for each pair.
    batch = np.maximum(codes("batch", listed), 0)
    pairs, pair = _distinct(groups * len(listed) + batch)
    group, code = np.divmod(pairs, len(listed))
    met = zip(group.tolist(), code.tolist(), strict=True)
    part = np.array([parts.get((g, listed[c]), -1) for g, c in met], np.int64)[pair]
    # Seconds, not ticks: two parts of one video may count in different time bases.
    tick_s = numbers(rows["tick_numerator"]) / numbers(rows["tick_denominator"])
    start_s = numbers(rows["start_pts"]) * tick_s
    order = np.lexsort((numbers(rows["row"]), part, start_s, groups))
    order = order[part[order] >= 0]
    return order, groups[order]


def _distinct(values: Int64) -> tuple[Int64, Int64]:
    """The distinct values, and the index of each value among them: np.unique by hashing, which is
    ten times as fast."""
    import pyarrow as pa

    encoded = pa.array(values).dictionary_encode()
    return numbers(encoded.dictionary), numbers(encoded.indices)


def _texts(column: Any) -> Texts:
    import pyarrow.compute as pc

    if not pc.max(pc.binary_length(column)).as_py():
        return np.full(len(column), "", TEXT)
    return np.array(column.to_pylist(), TEXT)


def numbers(column: Any) -> Any:
    """An Arrow column of numbers as NumPy, without a copy if it has a single chunk."""
    array = column.combine_chunks() if hasattr(column, "chunks") else column
    return array.to_numpy(zero_copy_only=True)
