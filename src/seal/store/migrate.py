"""Upgrades of a store that an older SEAL made.

The new tables are built in a draft folder, which is renamed into place. Then `store.json` names the
new schema, and the old tables are deleted. A process that is killed in between leaves either the
old store with a draft beside it, or the new store with old tables beside it. The next one that
opens the store completes the upgrade. If two processes upgrade at once, the first rename counts.

Schema 1 lies in the store's own folder and has no ids: a reader of schema 1 counts the tokens of a
kind in order of start, part and row. Its batches are integers, and the last commit of a video is
the one with the largest `committed`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from seal.errors import StoreError
from seal.store import schema
from seal.store.columns import numbers
from seal.store.contents import Contents, Part
from seal.store.lance import Tables, quote
from seal.store.place import DRAFT, Folder
from seal.store.records import VideoRecord
from seal.types import Int64

_SOURCE = "schema-1.json"
"""The versions of the old tables from which the new ones were made, in the folder of the new."""
_PICTURES_AT_ONCE = 256
_TOKENS_AT_ONCE = 8_192
_V1_ORDER = ["kind", "batch", "row", "start_pts", "tick_numerator", "tick_denominator"]


def migrate(path: Path) -> None:
    """Bring the store at `path` to `schema.VERSION`. Raises as `schema.read_version`."""
    if schema.read_version(path) < schema.VERSION:
        try:
            _upgrade(path)
        except (OSError, RuntimeError, ValueError):
            # Another process that has completed the upgrade removes what this one reads.
            if schema.read_version(path) < schema.VERSION:
                raise
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"its records of schema 1 are damaged: {error!r}") from error
    _clean(path)


def _upgrade(path: Path) -> None:
    new = path / schema.FOLDER
    while not new.exists():
        with TemporaryDirectory(dir=path, prefix=DRAFT, ignore_cleanup_errors=True) as temporary:
            draft, versions = Path(temporary) / schema.FOLDER, _versions(path)
            _copy(_tables(path), _tables(draft))
            (draft / _SOURCE).write_text(json.dumps(versions) + "\n")
            if _versions(path) != versions:
                continue  # An older SEAL has written meanwhile.
            try:
                os.rename(draft, new)
            except OSError:
                if not new.exists():
                    raise
    made_from = json.loads((new / _SOURCE).read_bytes())
    if _versions(path) != made_from and schema.read_version(path) < schema.VERSION:
        raise StoreError(
            f"an older SEAL has written to {path} since its upgrade was interrupted: delete the"
            f" folder {new} to upgrade again"
        )
    schema.write_version(path)


def _tables(folder: Path) -> Tables:
    return Tables(Folder(folder))


def _versions(path: Path) -> dict[str, int]:
    """The versions of the old tables."""
    return {name: table.version for name, table in _opened(_tables(path)).items()}


def _opened(tables: Tables) -> dict[str, Any]:
    """Name -> table."""
    opened = {name: tables.open(name) for name in tables.names()}
    # Another process that has completed the upgrade may remove a table after it is named.
    return {name: table for name, table in opened.items() if table is not None}


def _clean(path: Path) -> None:
    """Delete old tables and the drafts of killed processes, if there are any."""
    for entry in [entry for entry in path.iterdir() if _is_left_over(entry.name)]:
        if entry.name.startswith(schema.VERSION_FILE):
            entry.unlink(missing_ok=True)
        else:
            shutil.rmtree(entry, ignore_errors=True)


def _is_left_over(name: str) -> bool:
    return name.endswith(".lance") or name.startswith((DRAFT, f"{schema.VERSION_FILE}."))


# From schema 1 to 2


@dataclass
class _Video:
    """What is carried over of a video."""

    id: str
    commit: Mapping[str, Any] | None = None
    """The row of its last commit, in schema 1."""
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    """(kind, batch) -> place in the order of parts, of the batches that are committed."""
    unfinished: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    """(kind, batch) -> row of `parts`, of the batches that are not."""

    def batches(self) -> set[int]:
        return {batch for _, batch in (*self.places, *self.unfinished)}


def _name(video_id: str, batch: int) -> str:
    return uuid5(NAMESPACE_OID, f"{video_id} {batch}").hex


def _copy(old: Tables, new: Tables) -> None:
    """Write the contents of tables of schema 1 into empty tables of schema 2."""
    tables = _opened(old)
    videos = _plan(_rows(tables.get(schema.VIDEOS)), _rows(tables.get(schema.PARTS)), new)
    for name, table in tables.items():
        if name == schema.PICTURES:
            _append(new, name, _pictures(table, videos))
        elif name.startswith(schema.TOKENS):
            _append(new, name, _tokens(table, name, videos))
            new.index_vectors(name)


def _rows(table: Any) -> list[dict[str, Any]]:
    return [] if table is None else table.search().limit(None).to_list()


def _append(new: Tables, name: str, batches: Iterator[Any]) -> None:
    import pyarrow as pa

    new.append(name, pa.RecordBatchReader.from_batches(schema.table_schema(name), batches))


def _plan(
    commits: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]], new: Tables
) -> dict[str, _Video]:
    """Write `videos` and `parts`; returns what else is to be carried over, by video."""
    videos: dict[str, _Video] = {}
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(parts, key=lambda row: int(row["batch"])):
        videos.setdefault(row["video_id"], _Video(row["video_id"]))
        rows.setdefault(row["video_id"], []).append(row)
    for row in sorted(commits, key=lambda row: int(row["committed"])):
        videos.setdefault(row["id"], _Video(row["id"])).commit = row
    committed, unfinished = [], []
    for video in videos.values():
        path = ""
        known: set[tuple[str, str, int]] = set()
        if video.commit:
            record = VideoRecord.from_json(video.commit["record"])
            path = record.path
            contents = _contents(video, json.loads(video.commit["contents"]), rows)
            known = {
                (kind, record.keys[kind], part.number)
                for kind, of_kind in contents.parts.items()
                for part in of_kind
            }
            committed.append((video.commit["committed"], record, contents))
        for row in rows.get(video.id, ()):
            # Of two batches for one part, the committed or else the earlier one counts.
            part = row["kind"], row["key"], row["part"]
            if part not in known:
                known.add(part)
                video.unfinished[row["kind"], row["batch"]] = row
                changes = {"path": json.dumps(path), "stored": True}
                unfinished.append({**row, **changes, "batch": _name(video.id, row["batch"])})
    committed.sort(key=lambda item: int(item[0]))
    if committed:
        new.append(
            schema.VIDEOS,
            [
                {
                    "id": record.id,
                    "commit": uuid5(NAMESPACE_OID, f"{record.id} {sequence}").hex,
                    "sequence": sequence,
                    "committed": True,
                    "record": record.to_json(),
                    "contents": contents.to_json(),
                }
                for sequence, (_, record, contents) in enumerate(committed, start=1)
            ],
        )
    if unfinished:
        new.append(schema.PARTS, unfinished)
    return videos


def _contents(
    video: _Video, values: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Contents:
    """The contents of a commit of schema 1, whose batches are noted in `video`."""
    known = {(row["kind"], row["batch"]): row for row in rows.get(video.id, ())}
    parts: dict[str, tuple[Part, ...]] = {}
    for kind, batches in values["batches"].items():
        of_kind = [known.get((kind, batch)) for batch in batches]
        # A damaged store may lack rows; the sum of the tokens stays what readers must find.
        lacking = values["counts"][kind] - sum(row["count"] for row in of_kind if row)
        for place, (batch, row) in enumerate(zip(batches, of_kind, strict=True)):
            video.places[kind, batch] = place
            count, lacking = (row["count"], lacking) if row else (lacking, 0)
            part = {
                "part": row["part"] if row else place,
                "batch": _name(video.id, batch),
                "count": count,
                "dimension": row["dimension"] if row else values["dimension"],
                "facets": row["facets"] if row else values["facets"],
                "gaps": row["gaps"] if row else "[]",
            }
            parts[kind] = (*parts.get(kind, ()), Part.of(part))
        parts.setdefault(kind, ())
    return Contents(parts)


def _pictures(table: Any, videos: Mapping[str, _Video]) -> Iterator[Any]:
    import pyarrow as pa

    names = {
        (video.id, batch): _name(video.id, batch)
        for video in videos.values()
        for batch in video.batches()
    }
    columns = schema.table_schema(schema.PICTURES)
    keys = table.search().select(["video_id", "batch"]).limit(None).with_row_id(True).to_arrow()
    pairs = zip(keys["video_id"].to_pylist(), keys["batch"].to_pylist(), strict=True)
    row_ids = numbers(keys["_rowid"])[[pair in names for pair in pairs]].tolist()
    # A scan would read far ahead, at the size of pictures.
    for first in range(0, len(row_ids), _PICTURES_AT_ONCE):
        query = table.take_row_ids(row_ids[first : first + _PICTURES_AT_ONCE])
        for rows in query.select(columns.names).to_arrow().to_batches():
            pairs = zip(rows["video_id"].to_pylist(), rows["batch"].to_pylist(), strict=True)
            yield _changed(rows, {"batch": pa.array([names[pair] for pair in pairs])}, columns)


def _tokens(table: Any, name: str, videos: Mapping[str, _Video]) -> Iterator[Any]:
    import pyarrow as pa

    columns = schema.table_schema(name)
    stored = [column for column in columns.names if column not in ("id", "text")]
    for video in videos.values():
        where = f"video_id = {quote(video.id)}"
        row_ids, ids = _ids(table, where, video)
        query = table.search().where(where).select(stored).limit(None).with_row_id(True)
        for rows in query.to_batches(batch_size=_TOKENS_AT_ONCE):
            found = np.searchsorted(row_ids, numbers(rows["_rowid"]))
            changed = {
                "batch": pa.array([_name(video.id, b) for b in rows["batch"].to_pylist()]),
                "id": pa.array([ids[row] for row in found], pa.string()),
                "text": pa.array([""] * rows.num_rows),
            }
            yield _changed(rows, changed, columns).filter(changed["id"].is_valid())


def _changed(rows: Any, changed: Mapping[str, Any], columns: Any) -> Any:
    """`rows` with other columns, in the order of a schema."""
    import pyarrow as pa

    arrays = [changed[name] if name in changed else rows[name] for name in columns.names]
    free = pa.schema([column.with_nullable(True) for column in columns])
    return pa.record_batch(arrays, schema=free)


def _ids(table: Any, where: str, video: _Video) -> tuple[Int64, list[str | None]]:
    """The row ids of a video, sorted, and the id of the token of each; None for leftovers."""
    query = table.search().where(where).select(_V1_ORDER).limit(None).with_row_id(True)
    rows = query.to_arrow()
    ids: list[str | None] = [None] * rows.num_rows
    kinds, batches = rows["kind"].to_pylist(), rows["batch"].to_pylist()
    row = numbers(rows["row"])
    place = np.array([video.places.get(key, -1) for key in zip(kinds, batches, strict=True)])
    tick_s = numbers(rows["tick_numerator"]) / numbers(rows["tick_denominator"])
    order = np.lexsort((row, place, numbers(rows["start_pts"]) * tick_s))
    counted = dict.fromkeys(kinds, 0)
    for i in order.tolist():
        kind = kinds[i]
        if place[i] >= 0:
            ids[i] = f"{kind}-{counted[kind]}"
            counted[kind] += 1
        elif (kind, batches[i]) in video.unfinished:
            part = video.unfinished[kind, batches[i]]
            told = repr((part["key"], part["part"], int(row[i]))).encode()
            ids[i] = f"{kind}-{blake2b(told, digest_size=8).hexdigest()}"
    row_ids = numbers(rows["_rowid"])
    by_row_id = np.argsort(row_ids)
    return row_ids[by_row_id], [ids[i] for i in by_row_id.tolist()]
