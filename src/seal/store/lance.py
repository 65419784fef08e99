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
from seal.types import Float32

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
_WORTH_AN_INDEX = 100_000
"""Vectors that a query compares one by one, in 0.15 s; more are put into the index."""
_MANY_PIECES = 64
"""An index is made anew when it has so many pieces; each costs a query 3 ms."""
_ONE_PARTITION = 2**31
"""An index of vectors has a single partition, of all. What a query text is nearest to lies far from
it and thus in many partitions; to look into all of 8-bit numbers is quick and misses nothing."""
_REFINE = 2
"""So many times the rows asked for are compared exactly, which makes up for the 8 bits."""
_ROWS_AT_ONCE = 65_536
"""Lance hands 8,192 rows over at a time, in a millisecond whatever their size."""
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

        # After Ctrl-C Lance goes on writing in the background, into what is being removed.
        temporary = TemporaryDirectory(dir=self._folder, prefix=_DRAFT, ignore_cleanup_errors=True)
        with temporary as draft:
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
        """Put the vectors of a table of tokens into its index, if many are not in there."""
        from lancedb.index import IvfSq

        def index() -> None:
            table = self.open(name)
            state = next(iter(table.list_indices()), None)
            if (state.num_unindexed_rows if state else table.count_rows()) < _WORTH_AN_INDEX:
                return
            if state and state.num_segments < _MANY_PIECES:
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)
            else:
                config = IvfSq(distance_type="cosine", target_partition_size=_ONE_PARTITION)
                table.create_index("embedding", config=config)

        _retry(index)


def scan(table: Any, where: str, columns: Sequence[str]) -> Any:
    """A few columns, and the row ids, of the rows of a table that meet an SQL condition."""
    query = table.search().where(where).select(columns).limit(None).with_row_id(True)
    return query.to_batches(batch_size=_ROWS_AT_ONCE).read_all()


def nearest(table: Any, columns: Sequence[str], direction: Float32, limit: int) -> Any:
    """These columns, and the row ids, of the rows of a table of tokens that are nearest in angle
    to `direction`: through the index, and those not in there one by one."""
    query = table.search(direction, vector_column_name="embedding").distance_type("cosine")
    query = query.nprobes(_ONE_PARTITION).refine_factor(_REFINE).limit(limit)
    return query.select(columns).with_row_id(True).to_arrow()


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
