"""LanceDB's tables in a folder: snapshots, writes that meet other processes', errors in our words.

LanceDB raises plain ValueError, RuntimeError and OSError (and, on garbage, Rust panics) for
everything, so what happened is told by the message. The signs below are those of lancedb 0.40.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seal.errors import StoreError, StoreFullError
from seal.store import schema

_FULL = ("os error 28", "os error 122", "Errno 28", "Errno 122")
"""ENOSPC and EDQUOT, as Rust and as Python write them."""
_CONFLICT = ("commit conflict", "concurrent")
"""Another process committed while we prepared to."""
_DRAFT = ".new-"
_ATTEMPTS = 20
"""With the pauses below, half a minute in all."""
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 2.0
_KEEP_VERSIONS = timedelta(minutes=10)
"""Files of older versions go when they are older than this. Nobody reads or writes one snapshot for
so long: a process that opened it before a clean-up still finds its files."""
_WORTH_AN_INDEX = 200_000
"""Rows of vectors; looking at fewer takes well under a second."""
_PARTITIONS = 256
_PER_CODE = 8
"""Numbers of a vector that one byte of the index stands for."""
_SAMPLE_RATE = 64
"""Vectors for each partition that the index learns from."""
_RUST_LINE = re.compile(r",? \S+\.rs:\d+:\d+")
"""Where in Lance's own code it happened: of no use to who reads the message."""
_REASON_CHARACTERS = 300
"""Lance's messages carry back traces; the beginning says what happened."""


class Tables:
    """The tables of a store. Every name is one that `seal.store.schema.table_schema` knows."""

    def __init__(self, path: Path) -> None:
        # Lance warns on stderr of every commit that another process overtook; we try those again.
        os.environ.setdefault("LANCEDB_LOG", "error")
        import lancedb

        self._folder = path.absolute()  # What looks like a URL ("s3:x") is a folder to us.
        self.database = lancedb.connect(self._folder)

    def names(self) -> list[str]:
        """The tables that were ever written to."""
        return sorted(folder.stem for folder in self._folder.glob("*.lance"))

    def open(self, name: str) -> Any:
        """A snapshot of a table as it is now; None if nothing was ever written to it."""
        return self.database.open_table(name) if name in self.names() else None

    def rows(self, name: str, where: str = "true") -> list[dict[str, Any]]:
        """The rows that meet an SQL condition, in no particular order."""
        table = self.open(name)
        if table is None:
            return []
        # With the columns named, a table whose schema is damaged is an error and not empty.
        query = table.search().where(where).select(schema.table_schema(name).names)
        rows: list[dict[str, Any]] = query.limit(None).to_list()
        return rows

    def append(self, name: str, rows: Any) -> None:
        """Add rows (dicts or an Arrow table) in one commit."""

        def append() -> None:
            table = self.open(name)
            if table is None:
                self._create(name)
                table = self.open(name)
            table.add(rows)

        _retry(append)

    def _create(self, name: str) -> None:
        """Make an empty table unless another process just did.

        Of two processes that let Lance create one table, the second empties it, whatever the first
        has written by then. A folder that is renamed into place comes into being once.
        """
        import lancedb

        with TemporaryDirectory(dir=self._folder, prefix=_DRAFT) as draft:
            lancedb.connect(draft).create_table(name, schema=schema.table_schema(name))
            try:
                os.rename(Path(draft) / f"{name}.lance", self._folder / f"{name}.lance")
            except OSError:
                if name not in self.names():
                    raise

    def delete(self, name: str, where: str) -> None:
        """Remove the rows that meet an SQL condition in one commit; none if there are none."""

        def delete() -> None:
            table = self.open(name)
            if table is not None and table.count_rows(where):
                table.delete(where)

        _retry(delete)

    def optimize(self, name: str, files: int = 1) -> None:
        """Merge small files, if there are at least `files`; remove those that no version of the
        last minutes needs."""

        def optimize() -> None:
            table = self.open(name)
            if table.stats()["fragment_stats"]["num_small_fragments"] >= files:
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)

        _retry(optimize)

    def index_vectors(self, name: str) -> None:
        """Make or bring up to date the vector index of a table of tokens that is worth one."""
        from lancedb.index import IvfPq

        def index() -> None:
            table = self.open(name)
            if table.count_rows() < _WORTH_AN_INDEX:
                return
            if not table.list_indices():
                dimension = table.schema.field("embedding").type.list_size
                config = IvfPq(
                    distance_type="cosine",
                    num_partitions=_PARTITIONS,
                    num_sub_vectors=max(1, dimension // _PER_CODE),
                    sample_rate=_SAMPLE_RATE,
                )
                table.create_index("embedding", config=config)
            table.optimize(cleanup_older_than=_KEEP_VERSIONS)

        _retry(index)


def quote(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def either(conditions: Sequence[str]) -> str:
    """SQL for: at least one of these."""
    return " OR ".join(f"({condition})" for condition in conditions) or "false"


@contextmanager
def guard(path: Path) -> Iterator[None]:
    """Turn whatever Lance or the disk raises into an error of the store at `path`."""
    try:
        yield
    except StoreError:
        raise
    except BaseException as error:
        # The classes of Rust's panics cannot be imported; one of them is no Exception.
        panic = type(error).__name__ in ("PanicException", "RustPanic")
        if not panic and not isinstance(error, (OSError, RuntimeError, ValueError)):
            raise
        reason = _RUST_LINE.sub("", str(error)).strip() or type(error).__name__
        if any(sign in reason for sign in _FULL):
            raise StoreFullError(
                f"no space left for the token store {path}: nothing that was stored is lost; make"
                " room and run the same command again"
            ) from error
        raise StoreError(
            f"the token store {path} cannot be used: {reason[:_REASON_CHARACTERS]}"
        ) from error


def _retry(write: Callable[[], None]) -> None:
    """Call `write` until it meets no other process's commit, pausing longer each time."""
    for attempt in range(_ATTEMPTS):
        try:
            write()
            return
        except (OSError, RuntimeError, ValueError) as error:
            met = any(sign in str(error).lower() for sign in _CONFLICT)
            if not met or attempt == _ATTEMPTS - 1:
                raise
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
        time.sleep(pause_s * random.uniform(0.5, 1.5))
