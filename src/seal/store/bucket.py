"""A store in an object store: s3://, gs:// or az://.

Lance reads and writes the tables. What Lance leaves open goes through obstore, which is built on
the same Rust crate as Lance and reads the same variables of the environment:

- The file `store.json`, and the first manifest of each table, are put on the condition that nothing
  is there. Of many processes that make a store or a table at once, the first one succeeds, and the
  others find what it has made. (LanceDB's own `create_table` looks first and puts afterwards. A
  process that is slow between the two empties the table.)
- The names of the tables and their sizes are listed.

An object appears whole, so that a killed process leaves no temporary files. Nobody can hold a
bucket until killed, so that nobody is ever alone: files of commits that were never completed stay
until Lance takes them for abandoned, after seven days.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seal.dependencies import dependency, lancedb
from seal.errors import StoreError
from seal.store import schema
from seal.store.place import Place, new_table

_RETRIES = 5
_RETRY_S = 15
"""A request that fails is sent again at most so often, and not later than this."""
_SILENCE_S = 15
"""An attempt ends after so long without a word from the server. Lance begins some requests six
times, so that a server that never answers is an error after a minute and a half. By default it
would be three minutes; less would end slow uploads, which come in pieces of 5 MB."""
_SECRETS = re.compile("KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS")
"""In the names of variables whose values no message may hold."""
_SHORTEST_SECRET = 8
"""Values of fewer characters are words such as "true"."""
_QUERY = re.compile(r"\?[^\s)\"']+")
"""The query of an address, where signatures may stand."""
# What the errors of both libraries say, in obstore 0.12 and lancedb 0.40.
_MISSING = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_REFUSED = (
    *("403 Forbidden", "401 Unauthorized", "status: 403", "status: 401", "AccessDenied"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed", "credential"),
    *("token request", "latest/api/token", "Account must be specified"),
)
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""scheme -> the variables that hold its keys."""
_NOT_TLS = ("BadScheme", "builder error")
_UNREACHED = ("error sending request", "ConnectError", "kind: Connect", "TimedOut", "dns error")


class Bucket(Place):
    """A bucket, or what has a prefix there, with the tables below."""

    def __init__(self, address: str) -> None:
        """`address` is that of the store, such as s3://bucket/prefix.

        Raises BackendError without the extra `cloud`.
        """
        self._address = address
        self._client = dependency("obstore", "cloud").require(f"a store at {address}")

    @cached_property
    def _objects(self) -> Any:
        retries = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)}
        return self._client.store.from_url(self._address, retry_config=retries)

    def open(self, create: bool) -> None:
        """See to it that there is a store of this layout, made here if `create`.

        Raises StoreError if there is none, the address holds other things, or the object store
        cannot be used; StoreVersionError if a newer SEAL wrote it.
        """
        version = self._version()
        if version is None and create:
            self._create()
        elif version is None:
            raise StoreError(
                f"no token store at {self._address}: run seal index first, or say where it is with"
                " --store"
            )
        elif version < schema.VERSION:
            raise StoreError(
                f"{self._address} has schema {version}, which is upgraded in a folder alone: copy"
                " the store into a folder, run seal list on it, and copy it back"
            )

    def _version(self) -> int | None:
        """The layout of the store; None if there is none."""
        with self._calls():
            try:
                content = bytes(self._client.get(self._objects, schema.VERSION_FILE).bytes())
            except FileNotFoundError as error:
                if any(sign in str(error) for sign in _MISSING):
                    raise
                return None
        return schema.version_in(content, self._address)

    def _create(self) -> None:
        with self._calls():
            found: Any = next(iter(self._client.list(self._objects, chunk_size=1)), [])
        if self._version() is not None:
            return  # Another process has just made the store.
        if found:
            raise StoreError(
                f"{self._address} is not a token store and not empty ({found[0]['path']}, ...):"
                " choose a new or empty prefix"
            )
        self._put_new(schema.VERSION_FILE, schema.version_file())

    def _put_new(self, path: str, content: bytes) -> bool:
        """Put an object unless there is one; whether it was put."""
        with self._calls():
            try:
                self._client.put(self._objects, path, content, mode="create", use_multipart=False)
            except self._client.exceptions.AlreadyExistsError:
                return False
            return True

    @cached_property
    def database(self) -> Any:
        options = {
            "client_max_retries": str(_RETRIES),
            "client_retry_timeout": str(_RETRY_S),
            "read_timeout": f"{_SILENCE_S}s",
        }
        return lancedb().connect(f"{self._address}/{schema.FOLDER}", storage_options=options)

    def names(self) -> list[str]:
        with self._calls():
            listed = self._client.list_with_delimiter(self._objects, schema.FOLDER)
        folders = (path.rpartition("/")[2] for path in listed["common_prefixes"])
        return sorted(name.removesuffix(".lance") for name in folders if name.endswith(".lance"))

    def create(self, name: str) -> None:
        with TemporaryDirectory(ignore_cleanup_errors=True) as draft:
            made = new_table(Path(draft), name)
            # An empty table is its manifest. Lance needs the other files for later versions alone.
            (manifest,) = made.glob("_versions/*.manifest")
            path = f"{schema.FOLDER}/{manifest.relative_to(draft).as_posix()}"
            self._put_new(path, manifest.read_bytes())

    @cached_property
    def is_writable(self) -> bool:
        # A put that cannot succeed: who may not write is told so, and who may, that it is there.
        try:
            self._put_new(schema.VERSION_FILE, schema.version_file())
        except StoreError:
            return False
        return True

    def held(self, alone: bool = False) -> AbstractContextManager[bool]:
        return nullcontext(not alone)

    def keep_held(self) -> None:
        """Nothing: a bucket cannot be held."""

    def clear(self) -> None:
        """Nothing: an object appears whole."""

    def size_bytes(self) -> int:
        with self._calls():
            return sum(one["size"] for page in self._client.list(self._objects) for one in page)

    @contextmanager
    def _calls(self) -> Iterator[None]:
        """What obstore raises becomes a StoreError."""
        try:
            yield
        except (OSError, ValueError, self._client.exceptions.BaseError) as error:
            raise StoreError(explained(self._address, str(error))) from None


def explained(address: str, reason: str) -> str:
    """Why the store at an address cannot be used, in one line without keys."""
    if any(sign in reason for sign in _MISSING):
        return f"there is no bucket for {address}: make the bucket, or correct the address"
    if any(sign in reason for sign in _NOT_TLS):
        return (
            f"{address} is reached over http://, which has to be allowed: set AWS_ALLOW_HTTP=true"
        )
    if any(sign in reason for sign in _UNREACHED):
        return f"{address} cannot be reached: check the network" + (
            " and AWS_ENDPOINT" if address.startswith("s3:") else ""
        )
    if any(sign in reason for sign in _REFUSED):
        return (
            f"{address} refuses access: check the keys ({_KEYS[address.partition(':')[0]]}), and"
            " what they allow"
        )
    return f"the token store {address} cannot be used: {_without_keys(reason)}"


def _without_keys(reason: str) -> str:
    plain = _QUERY.sub("", reason.partition("\n")[0])
    for name, value in os.environ.items():
        if _SECRETS.search(name) and len(value) >= _SHORTEST_SECRET:
            plain = plain.replace(value, "***")
    return plain
