"""The words in which lancedb tells of a full disk, a conflict and a missing file.

Each error is a real one. A test that fails here says that a newer lancedb words it differently:
then `seal.store.signs` has to learn the new words.
"""

from __future__ import annotations

import os
import re
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest

from seal.store import signs
from seal.store.signs import cause_of
from small_disk import mounted

WORDS = "lancedb words this error differently: see seal.store.signs"
ERRORS = (OSError, RuntimeError, ValueError)


def noise(rows: int) -> pa.Table:
    """Rows of a kilobyte that does not compress."""
    each = [os.urandom(1000) for _ in range(rows)]
    return pa.table({"number": list(range(rows)), "noise": each})


def made(folder: Path) -> Any:
    return lancedb.connect(folder).create_table("rows", noise(100))


def again(folder: Path) -> Any:
    """The table as another process sees it."""
    return lancedb.connect(folder).open_table("rows")


def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", megabytes=4) as place:
        table, more = made(place / "store"), noise(8000)
        with pytest.raises(ERRORS) as raised:
            table.add(more)
    assert cause_of(raised.value) == "full", WORDS


def test_a_full_disk_as_python_says_it(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", megabytes=1) as place:
        file = place / "file"
        with pytest.raises(OSError, match="left on device") as raised:
            file.write_bytes(bytes(2 << 20))
    assert cause_of(raised.value) == "full"


def test_another_writer_was_first(tmp_path: Path) -> None:
    made(tmp_path)
    first, second = again(tmp_path), again(tmp_path)
    first.add_columns({"more": "number + 1"})
    with pytest.raises(ERRORS) as raised:
        second.add_columns({"more": "number + 2"})
    assert cause_of(raised.value) == "conflict", WORDS


def test_a_file_of_the_snapshot_was_cleaned_up(tmp_path: Path) -> None:
    table = made(tmp_path)
    snapshot = again(tmp_path)
    table.update("number >= 0", {"number": 7})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    with pytest.raises(ERRORS) as raised:
        snapshot.search().limit(None).to_arrow()
    assert cause_of(raised.value) == "gone", WORDS


def test_what_is_none_of_these_is_something_else(tmp_path: Path) -> None:
    with pytest.raises(ERRORS) as raised:
        made(tmp_path).add(pa.table({"wrong": [1]}))
    assert cause_of(raised.value) == "other"


def test_one_module_reads_the_messages_of_lance() -> None:
    words = re.compile(r"os error \d|commit conflict|errno \d", re.IGNORECASE)
    folder = Path(signs.__file__).parent
    reading = {path.name for path in folder.glob("*.py") if words.search(path.read_text())}
    assert reading == {"signs.py"}
