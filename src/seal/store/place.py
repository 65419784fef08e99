"""Where the tables of a store lie: all that differs between a folder and an object store."""

from __future__ import annotations

import os
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seal.dependencies import lancedb
from seal.errors import OptionError
from seal.files import size_bytes
from seal.store import schema

SCHEMES = ("s3", "gs", "az")
"""Object stores: Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""
DRAFT = ".new-"
"""The first characters of the name of a folder that is not complete."""
_TEMPORARY = "*.lance/**/.tmp*"
"""What Lance calls a file until it is written."""
_ADDRESS = re.compile(r"([a-z0-9+.-]+)://([^/]*)(/.*)?", re.IGNORECASE | re.DOTALL)


def is_bucket(path: str | Path) -> bool:
    """Whether a store is named by an address such as s3://bucket/prefix, and not by a folder."""
    return "://" in str(path)


def parsed(path: str | Path) -> Path | str:
    """The folder of a store as a path, or its address in an object store as text.

    Raises OptionError for an address that is none of an object store, or that holds keys.
    """
    schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
    if isinstance(path, Path) and str(path).startswith(tuple(f"{each}:/" for each in SCHEMES)):
        raise OptionError(f"a Path cannot hold {schemes} addresses: give the store as text")
    if not is_bucket(path):
        return Path(path)
    match = _ADDRESS.fullmatch(str(path))
    scheme, bucket, prefix = match.groups("") if match else ("", "", "")
    if scheme.lower() not in SCHEMES:
        raise OptionError(f"{scheme}:// is no address of a store: use a folder or {schemes}")
    if "@" in bucket or "?" in prefix or "#" in prefix:
        # The error must not repeat the address, which may hold keys.
        raise OptionError(
            f"an address of a store is {scheme}://BUCKET/PREFIX without keys and options: give them"
            " in the environment"
        )
    if not bucket:
        raise OptionError(f"{path} names no bucket: use {scheme}://BUCKET/PREFIX")
    return f"{scheme.lower()}://{bucket}/{prefix.strip('/')}".rstrip("/")


class Place(ABC):
    """Where the tables of a store lie."""

    @property
    @abstractmethod
    def database(self) -> Any:
        """LanceDB's connection to the place."""

    @abstractmethod
    def names(self) -> list[str]:
        """The tables that are there, in order."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Make an empty table, unless another process makes the table first. It appears at once,
        and what is in a table that is there stays."""

    @property
    @abstractmethod
    def is_writable(self) -> bool:
        """Whether this process may write there."""

    @abstractmethod
    def size_bytes(self) -> int:
        """The size of all files of the store."""

    @abstractmethod
    def held(self, alone: bool = False) -> AbstractContextManager[bool]:
        """Hold the place, together with others who write or `alone`; whether that worked."""

    @abstractmethod
    def keep_held(self) -> None:
        """Hold the place, together with others, as long as this process lives."""

    @abstractmethod
    def clear(self) -> None:
        """Remove the temporary files that killed processes left, while nobody else writes."""


class Folder(Place):
    """A folder of this machine, with the tables in a folder below.

    A table is made in a draft folder, which is renamed into place.
    """

    def __init__(self, path: Path) -> None:
        # An absolute path: a relative one that looks like a URL ("s3:x") is still a folder.
        self._path = path.absolute()

    @cached_property
    def database(self) -> Any:
        return lancedb().connect(self._path)

    def names(self) -> list[str]:
        return sorted(self.database.list_tables().tables)

    def create(self, name: str) -> None:
        # If two processes let Lance create the same table, the second one empties the table,
        # whatever the first has written by then. A folder that is renamed into place appears once.
        # After Ctrl-C Lance goes on writing in the background, into the folder being removed.
        temporary = TemporaryDirectory(dir=self._path, prefix=DRAFT, ignore_cleanup_errors=True)
        with self.held(), temporary as draft:
            made = new_table(Path(draft), name)
            try:
                os.rename(made, self._path / made.name)
            except OSError:
                if name not in self.names():
                    raise

    @property
    def is_writable(self) -> bool:
        return os.access(self._path, os.W_OK)

    def size_bytes(self) -> int:
        # The version file lies beside the folder of the tables.
        return size_bytes(self._path.parent)

    @contextmanager
    def held(self, alone: bool = False) -> Iterator[bool]:
        """As `Place.held`. The system lets go of what a killed process held. Where folders cannot
        be locked, as on Windows, nobody is ever alone."""
        handle = _lock(self._path, alone)
        if handle is None:
            yield not alone
            return
        try:
            yield True
        finally:
            os.close(handle)

    def keep_held(self) -> None:
        _lock(self._path, alone=False)

    def clear(self) -> None:
        for draft in self._path.glob(f"{DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)
        for file in self._path.glob(_TEMPORARY):
            file.unlink(missing_ok=True)


def new_table(folder: Path, name: str) -> Path:
    """Make an empty table in a folder that nobody else writes to; gives back the table's folder."""
    lancedb().connect(folder).create_table(name, schema=schema.table_schema(name))
    return folder / f"{name}.lance"


def _lock(folder: Path, alone: bool) -> int | None:
    """Lock a folder; None if that is not possible, or another process has locked it `alone`, or,
    if that is asked for, at all."""
    if sys.platform == "win32":
        return None
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except OSError:
        os.close(handle)
        return None
    return handle
