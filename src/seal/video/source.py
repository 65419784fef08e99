"""What a source is (file, address, device, folder of images) and what its content is called."""

from __future__ import annotations

import os
import re
import stat
import urllib.error
import urllib.request
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit

from seal.config import VideoOptions
from seal.errors import VideoError

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".exr", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".jxl", ".png"}
    | {".tif", ".tiff", ".webp"}
)
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
_LIVE_SCHEMES = frozenset({"rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"})
_BLOCK_BYTES = 1 << 20


def is_address(source: str | Path) -> bool:
    """Whether this is a URL, such as https://... or rtsp://..., and not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(source)) is not None


def is_device(source: str | Path) -> bool:
    """Whether this is a capture device, such as /dev/video0."""
    return not is_address(source) and Path(source).is_char_device()


def has_no_end(source: str | Path) -> bool:
    """Whether a source of this kind goes on for ever: a device or a live protocol."""
    return is_device(source) or urlsplit(str(source)).scheme.lower() in _LIVE_SCHEMES


def is_pipe(source: str | Path) -> bool:
    """Whether this is a pipe or a FIFO, such as /dev/stdin: each time it is read it is a new
    recording."""
    return not is_address(source) and Path(source).is_fifo()


def sources_in(source: str | Path) -> list[str | Path]:
    """The videos that a name stands for: those in a folder of videos, at any depth, or itself.

    A folder without video files is taken for a folder of images, which is one video. Hidden files
    and folders are left out.
    """
    if is_address(source) or not Path(source).is_dir():
        return [source]
    folder = Path(source)
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    natural = sorted(found, key=lambda path: [_natural(part) for part in path.parts])
    return list(natural) or [source]


def check_readable(source: str | Path) -> None:
    """VideoError unless `source` is an address, or a path that exists, is not empty and may be
    read."""
    if is_address(source):
        return
    try:
        status = os.stat(source)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(source).close()
        elif stat.S_ISREG(status.st_mode):
            open(source, "rb").close()
            if status.st_size == 0:
                raise VideoError(f"{source}: the file is empty; expected a video")
    except OSError as error:
        raise unreadable(source, error) from error


def unreadable(source: str | Path, error: OSError) -> VideoError:
    """What to tell of a path that the operating system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return VideoError(f"{source}: no such file or directory; check the path")
    if isinstance(error, PermissionError):
        return VideoError(f"{source}: no permission to read it; check its owner and mode")
    return VideoError(f"{source}: cannot be read: {error.strerror or error}")


def image_files(folder: Path) -> list[Path]:
    """The images in a folder by name, numbers in names by value: 2.png before 10.png. Hidden files,
    such as the `._1.jpg` that macOS leaves beside 1.jpg, are left out.

    Raises VideoError if there is none.
    """
    files = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not files:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise VideoError(
            f"{folder}: a directory without images; expected a video file or images ({kinds});"
            " for several videos, name the files"
        )
    return sorted(files, key=lambda path: _natural(path.name))


def is_animated_webp(source: str | Path) -> bool:
    """Whether this is a file with a moving WebP picture, which FFmpeg finds but cannot decode."""
    if is_address(source) or not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        head = file.read(21)
    # The bit "A" of the extended header (RFC 9649, section 2.7).
    return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)] + [(-1, name)]


def content_id(source: str | Path, timeout_s: float = VideoOptions.timeout_s) -> str:
    """16 hex digits that change when the content does.

    A file: all its bytes. A folder of images: their names and bytes. An http(s) URL: the address,
    and the size and validators (ETag, Last-Modified) that its server states. Anything else, which
    has no content before it is read (a camera, a pipe): the address. Raises VideoError.
    """
    check_readable(source)
    digest = blake2b(digest_size=8)
    try:
        if is_address(source):
            digest.update("\n".join([str(source), *_validators(str(source), timeout_s)]).encode())
        elif Path(source).is_dir():
            for path in image_files(Path(source)):
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                _update(digest, path)
        elif Path(source).is_file():
            _update(digest, Path(source))
        else:
            digest.update(str(source).encode())
    except OSError as error:
        raise unreadable(source, error) from error
    return digest.hexdigest()


def _update(digest: blake2b, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)


def _validators(address: str, timeout_s: float) -> list[str]:
    if urlsplit(address).scheme.lower() not in {"http", "https"}:
        return []
    try:
        # Not a HEAD request, which some servers refuse; the body is not read.
        with urllib.request.urlopen(address, timeout=timeout_s) as response:
            headers = response.headers
    except urllib.error.HTTPError as error:
        error.close()
        raise VideoError(f"{address}: the server does not answer as expected: {error}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise VideoError(f"{address}: the server does not answer as expected: {reason}") from error
    names = ("Content-Length", "ETag", "Last-Modified")
    return [f"{name}: {headers[name]}" for name in names if headers[name]]
