"""Files to a server, in pieces: resumable uploads by the protocol tus 1.0 (tus.io)."""

from __future__ import annotations

import time
import uuid
from base64 import b64encode
from pathlib import Path
from typing import BinaryIO

from seal.client.asking import Server
from seal.client.connection import PAUSES_S, LostError, part, patiently
from seal.client.problems import UnfitError
from seal.errors import StoreError, VideoError
from seal.video.source import unreadable

_PIECE_BYTES = 16 << 20
"""What one request carries; a lost connection costs no more."""
_VERSION = {"tus-resumable": "1.0.0"}
_CONTENT = {"content-type": "application/offset+octet-stream"}


def upload(server: Server, path: Path) -> str:
    """Send a file to a server, which then indexes it: gives back the id of the job.

    After a lost connection the upload goes on behind the last byte that has arrived. Raises
    VideoError if the file cannot be read or is empty, StoreError if the server is lost for good.
    """
    try:
        size_bytes = path.stat().st_size
        if not size_bytes:
            raise VideoError(f"{path}: the file is empty; expected a video")
        with path.open("rb") as file:
            name = b64encode(path.name.encode(errors="replace")).decode()
            said = {"upload-length": str(size_bytes), "upload-metadata": f"filename {name}"}
            said["idempotency-key"] = uuid.uuid4().hex
            begun = patiently(lambda: server.send("POST", "/uploads", _VERSION | said))
            place = f"/uploads/{part(begun.headers['location'].rpartition('/')[2])}"
            return _sent(server, place, file, size_bytes)
    except OSError as error:
        raise unreadable(path, error) from error


def _sent(server: Server, place: str, file: BinaryIO, size_bytes: int) -> str:
    """Send what a server has not got of a file; gives back the id of the job."""
    at, lost, headers = 0, 0, {}
    while at < size_bytes:
        file.seek(at)
        piece, before = file.read(_PIECE_BYTES), at
        if not piece:
            raise VideoError(f"{file.name} has become shorter while it was uploaded")
        try:
            how = _VERSION | _CONTENT | {"upload-offset": str(at)}
            headers = dict(server.send("PATCH", place, how, piece).headers)
        except (LostError, UnfitError):
            if lost == len(PAUSES_S):
                raise
            # The server may not know yet that the last connection was lost, and hold the upload.
            time.sleep(PAUSES_S[lost])
            lost += 1
            headers = dict(patiently(lambda: server.send("HEAD", place, _VERSION)).headers)
        at = int(headers.get("upload-offset", at))
        lost = lost if at == before else 0
    if "seal-job" not in headers:
        raise StoreError(f"{server.address} has taken {file.name} and started no job for it")
    return headers["seal-job"]
