"""The layout of a store on disk and its version.

A store is a folder, or a prefix in an object store, with a small file `store.json` ({"format":
"seal-store", "schema": 2}), which marks it as a store. It also has a folder `schema-2` with up to
six kinds of Lance table, each created when first written to:

    videos          one row per commit: the record of the video (JSON) and its parts (JSON)
    parts           one row per kind and part of a video that is being indexed
    pictures        one row per frame that shows a token; tokens share frames
    tokens_{d}x{q}  one row per token of the encoders with dimension d and q facets
    meanings_{e}    one row per token with words, where an encoder of sentences is on: its vector
    terms           one row per token that is words, made from the others (`seal.store.terms`)

Encoders of different dimensions need different tables because the embedding is a fixed-size list
of float32, the only type that Lance can index for vector search. With q = 1 the facets are the
embeddings and have no column of their own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from seal.errors import StoreVersionError

VERSION = 2
"""The layout that this code reads and writes."""
OLDEST = 1
"""The oldest layout that `seal.store.migrate` upgrades."""
VERSION_FILE = "store.json"
FOLDER = f"schema-{VERSION}"
"""The folder of the tables. No schema writes into the tables of another."""
_FORMAT = "seal-store"

VIDEOS, PARTS, PICTURES, TERMS = "videos", "parts", "pictures", "terms"
TOKENS, MEANINGS = "tokens_", "meanings_"
"""The beginnings of the names of tables with vectors."""


def read_version(path: Path) -> int:
    """The layout of the store at `path`.

    Raises FileNotFoundError if there is no store, ValueError if the file is not ours, and
    StoreVersionError if the store is newer than this code.
    """
    return version_in((path / VERSION_FILE).read_bytes(), path)


def version_in(content: bytes, path: Path | str) -> int:
    """The layout that the version file of the store at `path` says. Raises as `read_version`."""
    said = json.loads(content)
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        raise ValueError(f"{VERSION_FILE} does not say that this is a token store")
    version = said.get("schema")
    if not isinstance(version, int) or version < OLDEST:
        raise ValueError(f"{VERSION_FILE} has no schema version")
    if version > VERSION:
        raise StoreVersionError(
            f"{path} was written by a newer SEAL (schema {version}, this one knows up to"
            f" {VERSION}); upgrade with pip install -U seal-video, or use another --store"
        )
    return version


def version_file(version: int = VERSION) -> bytes:
    """The version file of a store of this layout."""
    return (json.dumps({"format": _FORMAT, "schema": version}) + "\n").encode()


def write_version(path: Path, version: int = VERSION) -> None:
    """Mark `path` as a store of this layout, in one atomic step."""
    draft = path / f"{VERSION_FILE}.{os.getpid()}"
    draft.write_bytes(version_file(version))
    try:
        os.replace(draft, path / VERSION_FILE)
    except FileNotFoundError:
        # Another process has marked the store and cleared away what it took for a leftover.
        if not (path / VERSION_FILE).exists():
            raise


def tokens_table(dimension: int, facets: int) -> str:
    """The name of the table for embeddings [dimension] with this many facets."""
    return f"{TOKENS}{dimension}x{facets}"


def meanings_table(dimension: int) -> str:
    """The name of the table for meanings [dimension]."""
    return f"{MEANINGS}{dimension}"


def shape(name: str) -> tuple[int, int]:
    """The dimension and the number of facets of a tokens table of this name."""
    dimension, facets = map(int, name.removeprefix(TOKENS).split("x"))
    return dimension, facets


def table_schema(name: str) -> Any:
    """The Arrow schema of a table."""
    import pyarrow as pa

    text, integer, real = pa.string(), pa.int64(), pa.float32()
    if name == VIDEOS:
        columns = {
            "id": text,
            "commit": text,
            "sequence": integer,
            "committed": pa.bool_(),
            "record": text,
            "contents": text,
        }
    elif name == PARTS:
        columns = {
            "video_id": text,
            "path": text,
            "kind": text,
            "key": text,
            "part": integer,
            "batch": text,
            "stored": pa.bool_(),
            "count": integer,
            "dimension": integer,
            "facets": integer,
            "gaps": text,
        }
    elif name == PICTURES:
        columns = {"video_id": text, "batch": text, "pts": integer, "jpeg": pa.large_binary()}
    elif name.startswith(MEANINGS):
        vector = pa.list_(real, int(name.removeprefix(MEANINGS)))
        columns = dict.fromkeys(("video_id", "kind", "batch", "id"), text) | {"embedding": vector}
    elif name == TERMS:
        columns = {
            "video_id": text,
            "kind": text,
            "batch": text,
            "language": text,
            "row": integer,
            "terms": text,
        }
    else:
        dimension, facets = shape(name)
        columns = {
            "video_id": text,
            "kind": text,
            "batch": text,
            "row": integer,
            "id": text,
            "start_pts": integer,
            "end_pts": integer,
            "tick_numerator": integer,
            "tick_denominator": integer,
            "box": pa.list_(real, 4),
            "score": real,
            "text": text,
            "embedding": pa.list_(real, dimension),
            "facets": pa.list_(real, facets * dimension),
            "track": pa.large_list(pa.float64()),
        }
        if facets == 1:
            del columns["facets"]
    return pa.schema([pa.field(key, kind, nullable=False) for key, kind in columns.items()])
