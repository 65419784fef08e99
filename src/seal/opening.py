"""`seal.open`: a library in a folder of this machine, in an object store, or on a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seal.config import DEFAULT_STORE
from seal.config.serving import is_server
from seal.errors import OptionError

if TYPE_CHECKING:
    from seal.encode import Encoder
    from seal.front import Library


def open_library(
    path: str | Path = DEFAULT_STORE,
    *,
    create: bool = True,
    encoder: Encoder | None = None,
    token: str | None = None,
) -> Library:
    """The library in a folder or an object store, or that of a server.

    `path` is a folder, an address such as s3://bucket/prefix, gs:// or az://, whose options come
    from the environment as `docs/many-machines.md` lists them, or one such as http://host:8765.
    A store is made where there is none, unless `create` is False. `encoder` is needed for videos
    that were indexed with an encoder handed in as an object. `token` is that of the server.

    Raises StoreError if the folder is something else, or was written by a newer SEAL. Raises the
    same if the server or the object store cannot be reached or is none. Raises OptionError for a
    wrong token.
    """
    if is_server(path):
        if encoder is not None:
            raise OptionError(f"{path} is a server, which has its own encoder: leave encoder= out")
        from seal.client import RemoteLibrary

        return RemoteLibrary.at(str(path), token)
    if token is not None:
        raise OptionError(f"{path} is no server and needs no token: leave token= out")
    from seal.library import LocalLibrary

    return LocalLibrary.at(path, create=create, encoder=encoder)
