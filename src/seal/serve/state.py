"""What a server has to remember over restarts: a SQLite database in its state folder.

A row is committed before a client hears of it, so that a killed server loses nothing that it has
confirmed. One server at a time uses a state folder.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seal.errors import StoreError, StoreFullError

_log = logging.getLogger("seal.serve")
RETRY_S = 5.0
"""After how long a thread tries again what the disk does not take."""
_VERSION = 1
_LAYOUT = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
    spec TEXT NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL, progress TEXT NOT NULL,
    video TEXT, failure TEXT, attempts INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, started_at REAL, ended_at REAL
);
CREATE TABLE uploads (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, size_bytes INTEGER NOT NULL, job TEXT,
    created_at REAL NOT NULL
);
CREATE TABLE titles (location TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE replies (
    key TEXT NOT NULL, route TEXT NOT NULL, digest TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, location TEXT NOT NULL, created_at REAL NOT NULL, PRIMARY KEY (key, route)
);
CREATE TABLE watches (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, queries TEXT NOT NULL, spec TEXT NOT NULL,
    webhook TEXT, state TEXT NOT NULL, told TEXT NOT NULL DEFAULT '', failure TEXT, last TEXT,
    created_at REAL NOT NULL
);
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, watch TEXT NOT NULL, alert TEXT NOT NULL,
    webhook TEXT, delivery TEXT NOT NULL, at REAL NOT NULL
);
"""


class ServerState:
    """The database of one server; its methods may be called by any thread."""

    def __init__(self, folder: Path) -> None:
        """Open the state in a folder, which is made where there is none.

        Raises StoreError if another server uses it, or if it cannot be read.
        """
        self.folder = folder
        with _guard(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._held = _hold(folder / "lock")
            self._lock = threading.RLock()
            self._rows = sqlite3.connect(
                folder / "state.sqlite", check_same_thread=False, isolation_level=None
            )
            self._rows.row_factory = sqlite3.Row
            # A commit is on the disk when it returns, also if the machine loses power.
            self._rows.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
            self._upgrade()

    def _upgrade(self) -> None:
        (version,) = self._rows.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StoreError(
                f"{self.folder} was written by a newer SEAL (version {version}); upgrade with pip"
                " install -U seal-video, or use another --state"
            )
        if version < 1:
            # One transaction, so that a kill leaves either nothing or all of it.
            self._rows.executescript(f"BEGIN;{_LAYOUT}PRAGMA user_version={_VERSION};COMMIT;")

    def close(self) -> None:
        """Let another server use the state."""
        with self._lock:
            self._rows.close()
        self._held.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Changes that are committed together, or not at all if an exception leaves the block."""
        with _guard(self.folder), self._lock:
            try:
                self._rows.execute("BEGIN IMMEDIATE")
                yield self._rows
                self._rows.commit()
            except BaseException:
                self._rows.rollback()
                raise

    def change(self, statement: str, *values: Any) -> int:
        """Run one statement and commit it; gives back how many rows it has changed."""
        with self.transaction() as rows:
            return rows.execute(statement, values).rowcount

    def settle(self, stopping: threading.Event, statement: str, *values: Any) -> None:
        """As `change`, tried until it is written or the server stops."""
        while not self._is_written(statement, values) and not stopping.wait(RETRY_S):
            pass

    def _is_written(self, statement: str, values: Sequence[Any]) -> bool:
        try:
            self.change(statement, *values)
        except StoreError as error:
            _log.error("the state cannot be written yet: %s", error)
            return False
        return True

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with _guard(self.folder), self._lock:
            return [dict(row) for row in self._rows.execute(query, values)]

    def insert(self, table: str, values: Mapping[str, Any]) -> None:
        """Commit a new row of a table."""
        self.change(insertion(table, values), *values.values())


def insertion(table: str, values: Mapping[str, Any]) -> str:
    """The statement that adds a row with these columns."""
    marks = ", ".join("?" * len(values))
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"


def new_id() -> str:
    """A name that nobody can guess."""
    return uuid.uuid4().hex


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def packed(value: Any) -> str:
    """A JSON value as a column holds it."""
    return json.dumps(value, separators=(",", ":"))


def _hold(path: Path) -> Any:
    """Keep a file locked until it is closed, or the process ends in whatever way."""
    import fcntl

    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreError(
            f"another server uses the state in {path.parent}: stop it, or use another --state"
        ) from None
    return file


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """What SQLite and the system have against the state becomes a StoreError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise StoreFullError(f"no space left for the state in {folder}") from error
        raise StoreError(f"the state in {folder} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the state in {folder} is damaged ({error}); move it away, or use another --state"
        ) from error
    except OSError as error:
        raise StoreError(
            f"the state in {folder} cannot be used: {error.strerror or error}"
        ) from error
