"""LanceDB's tables in their place: snapshots, writes beside other processes, errors in our words.

What Lance's errors mean is read by `seal.store.signs`.
"""

from __future__ import annotations

import os
import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from seal.errors import StoreError, StoreFullError
from seal.store import schema
from seal.store.bucket import explained
from seal.store.place import Place
from seal.store.signs import cause_of
from seal.types import Float32

Result = TypeVar("Result")

_ERRORS = (OSError, RuntimeError, ValueError)
"""The classes of Lance's errors."""
_ATTEMPTS = 20
"""With the pauses below, the attempts take half a minute in all."""
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 2.0
_KEEP_VERSIONS = timedelta(minutes=10)
"""A clean-up removes the files of versions older than this. Readers and writers of older snapshots
have to start again."""
_WORTH_AN_INDEX = 100_000
"""A table with this many rows outside an index gets them indexed. A query compares as many vectors
one by one in 0.15 s."""
_WORTH_WORDS = 20_000
"""This many rows outside the index of words go into it. A query reads as many in 40 ms."""
_MANY_PIECES = 64
"""An index of this many pieces is built anew; each piece costs a query 3 ms."""
_ONE_PARTITION = 2**31
"""The index of vectors has a single partition. A text query lies far from its nearest tokens, which
are thus spread over many partitions; a scan of all 8-bit vectors is quick and misses none."""
_REFINE = 2
"""The index yields this many times the wanted rows, which are then compared exactly. The surplus
makes up for the 8 bits."""
_ROWS_AT_ONCE = 65_536
"""By default Lance yields 8,192 rows at a time, and each time costs a millisecond."""
_RUST_LINE = re.compile(r",? \S+\.rs:\d+:\d+")
"""The place in Lance's own code, which tells the reader of a message nothing."""
_REASON_CHARACTERS = 300
"""Lance's messages carry back traces; the beginning says what happened."""


class Tables:
    """The tables in a place. `seal.store.schema.table_schema` knows all their names."""

    def __init__(self, place: Place) -> None:
        # Lance warns on stderr of each commit that another process overtook; those are retried.
        os.environ.setdefault("LANCEDB_LOG", "error")
        self._place = place
        self.database = place.database

    @property
    def is_writable(self) -> bool:
        """Whether this process may write the tables."""
        return self._place.is_writable

    def size_bytes(self) -> int:
        """The size of all files of the tables."""
        return self._place.size_bytes()

    def names(self) -> list[str]:
        """The tables that were ever written to, in order."""
        return self._place.names()

    def open(self, name: str) -> Any:
        """A snapshot of a table as it is now; None if nothing was ever written to it."""
        try:
            return self.database.open_table(name)
        except ValueError:
            # A damaged table is "not found" too, and another process may just have made the table.
            return self.database.open_table(name) if name in self.names() else None

    def version(self, name: str) -> int:
        """A number that grows with every change of a table; 0 if there is no table."""
        table = self.open(name)
        return 0 if table is None else int(table.version)

    def read(self, name: str, query: Callable[[Any], Result]) -> Result | None:
        """The result of `query` on a snapshot of a table; None if there is no table.

        If a clean-up by another process has removed files of the snapshot, the query runs again on
        a newer snapshot.
        """
        table = self.open(name)
        if table is None:
            return None
        try:
            return query(table)
        except _ERRORS:
            newer = self.open(name)
            if newer is None or newer.version == table.version:
                raise
        return self.read(name, query)

    def rows(self, name: str, where: str = "true") -> list[dict[str, Any]]:
        """The rows that meet an SQL condition, in no particular order."""
        # With the columns named, a table whose schema is damaged is an error and not empty.
        columns = schema.table_schema(name).names
        return self.read(name, lambda table: _select(table, where, columns).to_list()) or []

    def count(self, name: str, columns: Sequence[str], where: str) -> Counter[tuple[Any, ...]]:
        """The distinct values of some columns among the rows that meet an SQL condition, and how
        many rows have each."""

        def count(table: Any) -> Counter[tuple[Any, ...]]:
            import pyarrow as pa

            counts: Counter[tuple[Any, ...]] = Counter()
            for batch in _select(table, where, columns).to_batches(batch_size=_ROWS_AT_ONCE):
                groups = pa.Table.from_batches([batch]).group_by(columns)
                *values, number = groups.aggregate([([], "count_all")]).to_pydict().values()
                counts.update(dict(zip(zip(*values, strict=True), number, strict=True)))
            return counts

        return self.read(name, count) or Counter()

    def append(self, name: str, rows: Any) -> None:
        """Add rows (dicts, an Arrow table or a reader of one) in one commit."""
        if self.open(name) is None:
            self._place.create(name)
        self._change(name, lambda table: table.add(rows))

    def delete(self, name: str, where: str) -> None:
        """Remove the rows that meet an SQL condition in one commit; no commit if there are none."""

        def delete(table: Any) -> None:
            if table.count_rows(where):
                table.delete(where)

        self._change(name, delete)

    def held(self) -> AbstractContextManager[bool]:
        """Hold the place, together with others who write."""
        return self._place.held()

    def delete_alone(self, name: str, where: str) -> None:
        """As `delete`, but nothing happens if another process may be writing at this moment."""
        with self._place.held(alone=True) as is_alone:
            table = self.open(name) if is_alone else None
            if table is not None and table.count_rows(where):
                table.delete(where)

    def mark(self, name: str, column: str, where: str) -> int:
        """Set a column to true in the rows that meet an SQL condition, in one commit.

        Returns how many rows there were. A row that another process deletes at the same time is
        either counted here and deleted afterwards, or not counted.
        """
        marked = self._change(name, lambda table: table.update(where, {column: True}).rows_updated)
        return int(marked or 0)

    def optimize(self, name: str, min_files: int = 0, purge: bool = False) -> None:
        """Merge the small files of a table where there are at least `min_files`, and remove files.
        These are the files of versions older than ten minutes, or of all but the last version with
        `purge`.

        The files of commits in the making stay.
        """

        def optimize(table: Any) -> None:
            if min_files and table.stats()["fragment_stats"]["num_small_fragments"] < min_files:
                return
            with warnings.catch_warnings():
                # Lance warns that others may fail; they start again.
                warnings.filterwarnings("ignore", message="optimize.cleanup_older_than=0")
                table.optimize(cleanup_older_than=timedelta(0) if purge else _KEEP_VERSIONS)

        self._change(name, optimize)

    def clear(self, purge: bool = False) -> None:
        """Remove the temporary files that killed processes left and, with `purge`, the files of
        commits that they did not complete. Nothing is removed while another process writes."""
        with self._place.held(alone=True) as is_alone:
            if not is_alone:
                return
            self._place.clear()
            for name in self.names() if purge else ():
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="optimize.cleanup_older_than=0")
                    self.open(name).optimize(
                        cleanup_older_than=timedelta(0), delete_unverified=True
                    )

    def index_vectors(self, name: str) -> None:
        """Put the vectors of a tokens table into its index, if many are outside the index."""
        from lancedb.index import IvfSq

        def index(table: Any) -> None:
            state = _index_of(table, "embedding")
            if (state.num_unindexed_rows if state else table.count_rows()) < _WORTH_AN_INDEX:
                return
            if state and state.num_segments < _MANY_PIECES:
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)
            else:
                config = IvfSq(distance_type="cosine", target_partition_size=_ONE_PARTITION)
                table.create_index("embedding", config=config)

        self._change(name, index)

    def index_videos(self, name: str) -> None:
        """Put the ids of the videos of a table into its index, if many rows are outside the index.

        Without it whoever reads one video scans the ids of all rows: 0.1 s in a million.
        """
        from lancedb.index import Bitmap

        def index(table: Any) -> None:
            state = _index_of(table, "video_id")
            if (state.num_unindexed_rows if state else table.count_rows()) >= _WORTH_AN_INDEX:
                table.create_index("video_id", config=Bitmap())

        self._change(name, index)

    def index_words(self, name: str) -> None:
        """Give a table of terms its index, and add what has come since if that is much."""
        from lancedb.index import FTS

        def index(table: Any) -> None:
            state = _index_of(table, "terms")
            if state is None:
                # The terms are made already: spaces part them, and nothing else is done to them.
                config = FTS(
                    base_tokenizer="whitespace",
                    max_token_length=None,
                    lower_case=False,
                    stem=False,
                    remove_stop_words=False,
                    ascii_folding=False,
                )
                table.create_index("terms", config=config)
            elif state.num_unindexed_rows >= _WORTH_WORDS:
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)

        self._change(name, index)

    def _change(self, name: str, change: Callable[[Any], Result]) -> Result | None:
        """Call `change` with a table, again and with longer pauses while other processes are in
        its way. Returns None if there is no table."""
        for attempt in range(_ATTEMPTS):
            table = self.open(name)
            if table is None:
                return None
            try:
                with self._place.held():
                    return change(table)
            except KeyboardInterrupt:
                # Lance may go on writing in the background, as long as the process lives.
                self._place.keep_held()
                raise
            except _ERRORS as error:
                if attempt == _ATTEMPTS - 1 or not self._overtaken(table, error):
                    raise
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
            time.sleep(pause_s * random.uniform(0.5, 1.5))
        raise AssertionError("the last attempt returns or raises")

    def _overtaken(self, table: Any, error: Exception) -> bool:
        """Whether an error is due to another process, which committed or cleaned up meanwhile."""
        cause = cause_of(error)
        if cause == "conflict":
            return True
        newer = self.open(table.name)
        return cause == "gone" and newer is not None and newer.version > table.version


def _check_columns(table: Any, columns: Sequence[str]) -> None:
    """Raises ValueError unless a table has these columns, each of the type of its schema."""
    there, wanted = table.schema, schema.table_schema(table.name)
    for name in columns:
        place, column = there.get_field_index(name), wanted.field(name)
        if place < 0 or there.field(place) != column:
            raise ValueError(f"its table {table.name} has no column {column}")


def _select(table: Any, where: str, columns: Sequence[str]) -> Any:
    _check_columns(table, columns)
    return table.search().where(where).select(columns).limit(None)


def scan(table: Any, where: str, columns: Sequence[str]) -> Any:
    """These columns of the rows of a table that meet an SQL condition, as an Arrow table."""
    return _select(table, where, columns).to_arrow()


def nearest(table: Any, columns: Sequence[str], direction: Float32, limit: int, where: str) -> Any:
    """These columns of the `limit` rows of a tokens table, among those that meet an SQL condition,
    that are nearest in angle to `direction`.

    Rows outside the index are compared one by one.
    """
    _check_columns(table, columns)
    query = table.search(direction, vector_column_name="embedding").distance_type("cosine")
    query = query.nprobes(_ONE_PARTITION).refine_factor(_REFINE).where(where).limit(limit)
    return query.select(columns).to_arrow()


def matching(table: Any, columns: Sequence[str], terms: str, limit: int) -> Any:
    """These columns of the `limit` rows of a table of terms that fit best (BM25), the best first;
    none where the table has no index."""
    from lancedb.query import MatchQuery

    _check_columns(table, columns)
    if not terms or _index_of(table, "terms") is None:
        return schema.table_schema(table.name).empty_table().select(columns)
    # A plain text with quotes would be a query for a phrase, which takes a larger index.
    query = table.search(MatchQuery(terms, "terms"), query_type="fts").limit(limit)
    return query.select([*columns, "_score"]).to_arrow().select(columns)


def _index_of(table: Any, column: str) -> Any:
    """The index of a column; None if there is none."""
    return next((index for index in table.list_indices() if column in index.columns), None)


def quote(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def among(column: str, values: Iterable[str]) -> str:
    """The SQL condition that a column has one of these values."""
    listed = ", ".join(quote(value) for value in sorted(values))
    return f"{column} IN ({listed})" if listed else "false"


def either(conditions: Iterable[str]) -> str:
    """The SQL condition that at least one of these holds."""
    return " OR ".join(f"({condition})" for condition in conditions) or "false"


@contextmanager
def guard(path: Path | str) -> Iterator[None]:
    """Turn whatever Lance or the disk raises into an error of the store at `path`."""
    try:
        yield
    except StoreError:
        raise
    except BaseException as error:
        # The classes of Rust's panics cannot be imported; one of them is not an Exception.
        panic = type(error).__name__ in ("PanicException", "RustPanic")
        if not panic and not isinstance(error, _ERRORS):
            raise
        reason = _RUST_LINE.sub("", str(error)).strip() or type(error).__name__
        if cause_of(error) == "full":
            raise StoreFullError(
                f"no space left for the token store {path}: nothing that was stored is lost; make"
                " room and run the same command again"
            ) from error
        if isinstance(path, str):
            # Without its cause, in which keys may stand.
            raise StoreError(explained(path, reason)[:_REASON_CHARACTERS]) from None
        raise StoreError(
            f"the token store {path} cannot be used: {reason[:_REASON_CHARACTERS]}"
        ) from error
