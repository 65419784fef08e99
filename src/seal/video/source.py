"""What a source is (file, address, device, folder of images) and how it is shown."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

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
# Scheme, user with host, path, query.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+://)([^/?#]*)([^?#]*)(\?[^#]*)?")
_HOST = re.compile(r"(\[[^]]*\]|[^:@]*)(:\d*)?")
_SHOWN_QUERY = re.compile(r"\?query-[0-9a-f]{8}")
# Names of what the process was handed open, such as /dev/stdin.
_HANDED_OPEN = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")


def is_address(source: str | Path) -> bool:
    """Whether this is a URL, such as https://... or rtsp://..., and not a path."""
    return _ADDRESS.match(str(source)) is not None


def shown(source: str | Path, with_query: bool = True) -> str:
    """The name of a source in messages, results and the store: of an address nothing secret.

    The user and the password are left out. A short hash stands for the query, so that addresses
    with different queries have different names; without `with_query` the query is left out, too.
    """
    match = _ADDRESS.match(str(source))
    if match is None:
        return str(source)
    scheme, authority, path, query = match.groups()
    host = authority.rpartition("@")[2]
    if not _HOST.fullmatch(host):
        # A password with a slash in it, for example: nobody can say where it ends.
        return f"{scheme}..."
    if not query or not with_query:
        return f"{scheme}{host}{path}"
    if not _SHOWN_QUERY.fullmatch(query):
        data = query.encode(errors="surrogateescape")
        query = f"?query-{blake2b(data, digest_size=4).hexdigest()}"
    return f"{scheme}{host}{path}{query}"


def without_secrets(address: str, with_query: bool) -> str:
    """An address without user and password, and without its query unless `with_query`."""
    address = re.sub(r"(://)[^/?#]*@", r"\1", address, count=1)
    return address if with_query else re.split(r"[?#]", address, maxsplit=1)[0]


def is_handed_open(source: str | Path) -> bool:
    """Whether this names what this process was handed open, such as /dev/stdin: no other process
    can open it by this name."""
    return _HANDED_OPEN.fullmatch(str(source)) is not None


def named_file(source: str | Path) -> str | Path:
    """The path of the file that `/dev/stdin` or `/dev/fd/63` stands for, if a file is behind it;
    any other source is returned as it is."""
    if is_handed_open(source):
        path = os.path.realpath(source)
        if os.path.isfile(path):
            return path
    return source


def is_device(source: str | Path) -> bool:
    """Whether this is a capture device, such as /dev/video0."""
    return not is_address(source) and Path(source).is_char_device()


def scheme(source: str | Path) -> str | None:
    """The protocol of an address, such as "https"; None for what is not an address."""
    match = _ADDRESS.match(str(source))
    return None if match is None else match[1].removesuffix("://").lower()


def has_no_end(source: str | Path) -> bool:
    """Whether a source of this kind goes on for ever: a device or a live protocol."""
    return is_device(source) or scheme(source) in _LIVE_SCHEMES


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


def sources_of(source: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """The videos that a name, or several, stand for: see `sources_in`."""
    sources = [source] if isinstance(source, (str, Path)) else source
    return [path for each in sources for path in sources_in(each)]


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
            f"{folder}: no video and no picture in it or the folders below; expected video files,"
            f" or pictures in the folder itself ({kinds})"
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
