"""Uploads that can be resumed: the protocol tus 1.0 (tus.io), its core, creation and termination.

A file grows in the state folder under a name of our own; its length says how much has arrived.
When it is whole, its indexing is queued.
"""

from __future__ import annotations

import base64
import binascii
import errno
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path as FilePath
from pathlib import PurePath
from typing import Annotated, Any, BinaryIO

from anyio import CancelScope
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Path, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from seal.errors import OptionError, StoreError, StoreFullError
from seal.ingest.plan import slug
from seal.printing import printable
from seal.serve import rest
from seal.serve.problems import BusyError, ConflictError, MissingError, TooLargeError
from seal.serve.replies import KeptReply, once
from seal.serve.service import Service
from seal.serve.state import insertion, new_id, now
from seal.video.source import VIDEO_SUFFIXES

PREFIX = f"{rest.PREFIX}/uploads"
_VERSION = {"tus-resumable": "1.0.0"}
_CONTENT = "application/offset+octet-stream"
_BATCH_BYTES = 1 << 20
"""So much is written at a time."""
_LONGEST_NAME = 255
_LONGEST_SLUG = 64
_KEPT_S = 7 * 86_400.0
"""How long an unfinished upload is kept."""
_BUSY_S = 60.0
router = APIRouter(prefix=PREFIX, responses=rest.PROBLEMS, tags=["uploads"])


class Uploads:
    """The uploads of a server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = service.state.folder / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open: set[str] = set()
        """The uploads that a request is writing to."""
        for row in service.state.rows("SELECT * FROM uploads WHERE job IS NULL"):
            # The server may have been killed between the last byte and the commit.
            if self._place(row).exists() or self.offset(row) == row["size_bytes"]:
                self.finish(row)
        self._drop_old()

    def _drop_old(self) -> None:
        """Drop unfinished uploads that nobody has gone on with for long, and forget those whose
        jobs are forgotten."""
        self._service.state.change(
            "DELETE FROM uploads WHERE job IS NOT NULL AND job NOT IN (SELECT id FROM jobs)"
        )
        old = "SELECT * FROM uploads WHERE job IS NULL AND created_at < ?"
        for row in self._service.state.rows(old, now() - _KEPT_S):
            if row["id"] not in self._open:
                self.remove(row["id"])

    def create(self, name: str, size_bytes: int, key: str | None) -> KeptReply:
        """Begin an upload of a file of this name and size.

        Raises TooLargeError, BusyError and StoreFullError beyond the limits of the server.
        """
        options = self._service.options
        if size_bytes > options.max_upload_bytes:
            raise TooLargeError(f"an upload may have {options.max_upload_bytes:,} bytes at most")
        self._drop_old()
        free = shutil.disk_usage(self._folder).free - options.min_free_bytes

        def make(rows: sqlite3.Connection) -> KeptReply:
            self._service.jobs.check_room(rows)
            waiting = rows.execute("SELECT * FROM uploads WHERE job IS NULL").fetchall()
            if len(waiting) >= options.max_uploads:
                raise BusyError(f"{len(waiting)} uploads are unfinished already", _BUSY_S)
            promised = sum(row["size_bytes"] - self.offset(row) for row in waiting)
            if size_bytes > free - promised:
                raise StoreFullError(f"there is no space for {size_bytes:,} bytes")
            row = {"id": new_id(), "name": name, "size_bytes": size_bytes, "created_at": now()}
            rows.execute(insertion("uploads", row), [*row.values()])
            return KeptReply(201, {"id": row["id"]}, f"{PREFIX}/{row['id']}")

        return once(self._service.state, key, "uploads", {"name": name, "size": size_bytes}, make)

    def get(self, name: str) -> dict[str, Any]:
        """The row of an upload. Raises MissingError."""
        rows = self._service.state.rows("SELECT * FROM uploads WHERE id = ?", name)
        if not rows:
            raise MissingError(f"there is no upload {name!r}")
        return rows[0]

    def offset(self, row: Mapping[str, Any]) -> int:
        """How many bytes of an upload have arrived."""
        if row["job"] is not None or self._place(row).exists():
            return int(row["size_bytes"])
        try:
            return self._part(row).stat().st_size
        except FileNotFoundError:
            return 0

    def standing(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The headers that say how far an upload is."""
        more = {} if row["job"] is None else {"seal-job": row["job"]}
        return {"upload-offset": str(self.offset(row))} | more

    async def append(
        self, row: Mapping[str, Any], offset: int, blocks: AsyncIterator[bytes]
    ) -> None:
        """Add bytes to an upload; once it is whole, its indexing is queued.

        What has arrived stays, however the request ends. Raises ConflictError for another offset
        than that of the upload, and while another request adds to it; TooLargeError for more bytes
        than were announced.
        """
        if row["id"] in self._open:
            raise ConflictError("another request is adding to this upload")
        self._open.add(row["id"])
        try:
            row = await run_sync(self.get, row["id"])
            if offset != self.offset(row):
                raise ConflictError(f"the upload has {self.offset(row)} bytes, not {offset}")
            if row["job"] is None:
                await self._write(row, blocks)
            if row["job"] is None and self.offset(row) == row["size_bytes"]:
                await run_sync(self.finish, row)
        finally:
            self._open.discard(row["id"])

    async def _write(self, row: Mapping[str, Any], blocks: AsyncIterator[bytes]) -> None:
        left = row["size_bytes"] - self.offset(row)
        with self._part(row).open("ab") as file:
            try:
                batch = bytearray()
                async for block in blocks:
                    left -= len(block)
                    if left < 0:
                        raise TooLargeError(f"the upload has {row['size_bytes']:,} bytes")
                    batch += block
                    if len(batch) >= _BATCH_BYTES:
                        await run_sync(file.write, bytes(batch))
                        batch.clear()
                await run_sync(file.write, bytes(batch))
            except ClientDisconnect:
                file.write(bytes(batch))
            finally:
                # The client is told an offset, and will not send again what lies before it.
                with CancelScope(shield=True):
                    await run_sync(_settle, file)

    def finish(self, row: Mapping[str, Any]) -> None:
        """Queue the indexing of an upload that is whole."""
        place, service = self._place(row), self._service
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            os.replace(self._part(row), place)
        with service.state.transaction() as rows:
            spec = service.spec(str(place))
            job = service.jobs.add(rows, "index", row["name"], spec, is_promised=True)
            titled = {"location": str(place), "name": row["name"]}
            rows.execute(insertion("titles", titled), [*titled.values()])
            rows.execute("UPDATE uploads SET job = ? WHERE id = ?", (job.id, row["id"]))
        service.jobs.wake()

    def remove(self, name: str) -> None:
        """Drop an upload that is not whole. Raises MissingError; ConflictError if it is whole."""
        row = self.get(name)
        if row["job"] is not None:
            raise ConflictError("the upload is whole: remove its video, or cancel its job")
        self._service.state.change("DELETE FROM uploads WHERE id = ?", name)
        self._part(row).unlink(missing_ok=True)

    def _part(self, row: Mapping[str, Any]) -> FilePath:
        return self._folder / f"{row['id']}.part"

    def _place(self, row: Mapping[str, Any]) -> FilePath:
        # Of the name only letters and digits are taken: the id of the video begins with them.
        name, suffix = slug(row["name"])[:_LONGEST_SLUG], PurePath(row["name"]).suffix.lower()
        known = suffix if suffix in VIDEO_SUFFIXES else ".video"
        place: FilePath = self._folder / row["id"] / f"{name}{known}"
        return place


def _settle(file: BinaryIO) -> None:
    """See to it that what was written is on the disk. Raises StoreFullError, StoreError."""
    try:
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        kind = StoreFullError if error.errno == errno.ENOSPC else StoreError
        raise kind(f"the upload cannot be written: {error.strerror}") from error


def _uploads(request: Request) -> Uploads:
    uploads: Uploads = request.app.state.uploads
    return uploads


Here = Annotated[Uploads, Depends(_uploads)]
UploadPath = Annotated[str, Path(max_length=64, description="The id of an upload.")]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, description="Bytes sent so far.")]


@router.options("", status_code=204)
def capabilities(service: rest.Here) -> Response:
    """What the server can do of tus."""
    more = {"tus-version": "1.0.0", "tus-extension": "creation,termination"}
    more["tus-max-size"] = str(service.options.max_upload_bytes)
    return _said(204, more)


@router.post("", status_code=201, response_class=Response)
def create(
    service: rest.Here,
    uploads: Here,
    length: Annotated[int, Header(alias="Upload-Length", ge=1, description="Bytes of the file.")],
    metadata: Annotated[
        str, Header(alias="Upload-Metadata", max_length=4096, description="filename BASE64")
    ] = "",
    key: rest.Key = None,
) -> Response:
    """Begin an upload; its address is in Location."""
    reply = uploads.create(_name(metadata), length, key)
    return _said(201, {"location": service.options.path_prefix + reply.location})


@router.head("/{upload}", response_class=Response)
def how_far(uploads: Here, upload: UploadPath) -> Response:
    """How many bytes have arrived."""
    row = uploads.get(upload)
    more = {"upload-length": str(row["size_bytes"]), "cache-control": "no-store"}
    return _said(200, more | uploads.standing(row))


@router.patch(
    "/{upload}",
    status_code=204,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {_CONTENT: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def append(
    uploads: Here,
    upload: UploadPath,
    request: Request,
    offset: Offset,
) -> Response:
    """Send bytes, from the offset on. Seal-Job names the job once the upload is whole."""
    kind = request.headers.get("content-type", "")
    if kind != _CONTENT:
        raise OptionError(f"the content type must be {_CONTENT}, got {kind!r}")
    row = await run_sync(uploads.get, upload)
    await uploads.append(row, offset, request.stream())
    return _said(204, uploads.standing(await run_sync(uploads.get, upload)))


@router.delete("/{upload}", status_code=204)
def remove(uploads: Here, upload: UploadPath) -> Response:
    """Drop an upload that is not whole."""
    uploads.remove(upload)
    return _said(204, {})


def _said(status: int, headers: Mapping[str, str]) -> Response:
    return Response(status_code=status, headers=_VERSION | dict(headers))


def _name(metadata: str) -> str:
    """The name of the file that a client uploads: for people, never a path. Raises OptionError."""
    pairs = (pair.strip().partition(" ") for pair in metadata.split(","))
    given = {key: value for key, _, value in pairs}
    try:
        name = base64.b64decode(given.get("filename", ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise OptionError("Upload-Metadata must be `filename BASE64`, in UTF-8") from None
    name = name.replace("\\", "/").rpartition("/")[2]
    return printable(name)[:_LONGEST_NAME] or "upload"
