"""What the content of a source is called, and whether the source is still what was read."""

from __future__ import annotations

import base64
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.video.playlist import is_playlist, playlist_files
from seal.video.source import (
    check_readable,
    image_files,
    is_address,
    scheme,
    shown,
    unreadable,
    without_secrets,
)

_BLOCK_BYTES = 1 << 20


class _State(NamedTuple):
    """What changes when a file is replaced or written to."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


def _state(status: os.stat_result) -> _State:
    return _State(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class SourceFiles:
    """The files that a source is read from, as they are when this is made.

    A source is one file, the images of a folder, or a playlist with all that it names. An address,
    a camera and a pipe have no files.
    """

    states: Mapping[str, _State]
    """By absolute path."""

    @staticmethod
    def of(source: str | Path, options: VideoOptions) -> SourceFiles:
        """Raises VideoError if the source cannot be read, or is a playlist that names what it may
        not read."""
        check_readable(source)
        try:
            paths = _files(source, options)
            return SourceFiles({os.fspath(path): _state(os.stat(path)) for path in paths})
        except OSError as error:
            raise unreadable(source, error) from error

    @property
    def size_bytes(self) -> int | None:
        """The size of all files together; None where there is none."""
        return sum(state.size_bytes for state in self.states.values()) if self.states else None

    def check(self) -> None:
        """Raise VideoError if a file has been replaced or written to since."""
        for path, state in self.states.items():
            try:
                now = _state(os.stat(path))
            except OSError:
                now = None
            if now != state:
                raise VideoError(
                    f"{path}: the file was replaced or written to while it was read; index it again"
                    " when nothing writes to it"
                )

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Around whatever reads the source: VideoError of `check`, also in place of what a file
        that has changed leads to."""
        try:
            yield
        except (OptionError, VideoError):
            self.check()
            raise
        self.check()


def _files(source: str | Path, options: VideoOptions) -> list[Path]:
    if is_address(source):
        return []
    path = Path(source)
    if path.is_dir():
        return image_files(path)
    if not path.is_file():
        return []
    return playlist_files(path, options) if is_playlist(path) else [path.absolute()]


def content_id(
    source: str | Path, options: VideoOptions | None = None, files: SourceFiles | None = None
) -> str:
    """16 hex digits that change when the content does.

    A file: all its bytes. A folder of images and a playlist: the names and bytes of all files. An
    http(s) URL: the address without user and password, with its query unless
    `options.address_query` says "ignored", and the size and validators (ETag, Last-Modified) that
    its server states. Anything else, which has no content before it is read (a camera, a pipe):
    the address. `files` are what they were when the source was opened.

    Raises VideoError, also if a file is no longer what it was.
    """
    options = options or VideoOptions()
    files = files or SourceFiles.of(source, options)
    digest = blake2b(digest_size=8)
    if is_address(source):
        address = without_secrets(str(source), options.address_query == "identity")
        validators = _validators(str(source), options.timeout_s)
        digest.update("\n".join([address, *validators]).encode(errors="surrogateescape"))
    elif not files.states:
        digest.update(os.fsencode(source))
    with files.unchanged():
        folder = next(map(Path, files.states), Path()).parent
        is_one = not Path(source).is_dir() and len(files.states) == 1
        for path, state in files.states.items():
            if not is_one:
                name = os.fsencode(os.path.relpath(path, folder))
                digest.update(name + f"\0{state.size_bytes}\0".encode())
            _update(digest, path)
    return digest.hexdigest()


def _update(digest: blake2b, path: str) -> None:
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise unreadable(path, error) from error


def _validators(address: str, timeout_s: float) -> list[str]:
    if scheme(address) not in {"http", "https"}:
        return []
    wrong = f"{shown(address)}: the server does not answer as expected"
    try:
        # Not a HEAD request, which some servers refuse; the body is not read.
        with urllib.request.urlopen(_request(address), timeout=timeout_s) as response:
            headers = response.headers
    except urllib.error.HTTPError as error:
        error.close()
        raise VideoError(f"{wrong}: {error}") from None
    except (http.client.InvalidURL, ValueError):
        # The text of such an error holds the address.
        raise VideoError(f"{shown(address)}: the address cannot be read as one") from None
    except (OSError, http.client.HTTPException) as error:
        raise VideoError(f"{wrong}: {getattr(error, 'reason', error)}") from error
    names = ("Content-Length", "ETag", "Last-Modified")
    return [f"{name}: {headers[name]}" for name in names if headers[name]]


def _request(address: str) -> urllib.request.Request:
    """A request with the user and the password of the address. Raises ValueError."""
    request = urllib.request.Request(without_secrets(address, with_query=True))
    parts = urlsplit(address)
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(user.encode()).decode()
        # A server that this one redirects to does not get the password.
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request
