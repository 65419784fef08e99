"""How a store is opened or made, in a folder or in an object store."""

from __future__ import annotations

from pathlib import Path

from seal.errors import StoreError
from seal.store import schema
from seal.store.bucket import Bucket
from seal.store.migrate import migrate
from seal.store.place import Folder, Place


def opened(path: Path | str, create: bool) -> Place:
    """The place of the tables of a store, made if there is none and `create`.

    `path` is a folder, or an address as text. Raises StoreError and StoreVersionError as `Store`.
    """
    if isinstance(path, str):
        bucket = Bucket(path)
        bucket.open(create)
        return bucket
    if not (path / schema.VERSION_FILE).exists():
        _make(path, create)
    migrate(path)
    return Folder(path / schema.FOLDER)


def _make(path: Path, create: bool) -> None:
    if not create:
        hint = "run seal index first, or say where it is with --store"
        raise StoreError(f"no token store at {path}: {hint}")
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is a file; a token store is a folder: choose another")
    path.mkdir(parents=True, exist_ok=True)
    foreign = [p for p in path.iterdir() if not p.name.startswith(schema.VERSION_FILE)]
    if (path / schema.VERSION_FILE).exists():
        return  # Another process has just made the store.
    if foreign:
        raise StoreError(
            f"{path} is not a token store and not empty ({foreign[0].name}, ...): choose a"
            " new or empty folder"
        )
    schema.write_version(path)
