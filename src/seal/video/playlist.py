"""Local playlists: which files they name, before FFmpeg opens any of these."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from seal.config import VideoOptions
from seal.errors import VideoError
from seal.video.source import shown

_HLS, _CONCAT = b"#EXTM3U", b"ffconcat version 1.0"
# FFmpeg cuts longer lines off, and what it then reads is not what was looked at.
_LONGEST_LINE_BYTES = 4000
_LARGEST_BYTES = 16 << 20
_MOST_FILES = 100_000
# What may stand in an ffconcat file beside `file`. `option` may not: it changes what is allowed.
_HARMLESS = frozenset(
    {"chapter", "duration", "exact_stream_id", "ffconcat", "file_packet_meta"}
    | {"file_packet_metadata", "inpoint", "outpoint", "stream", "stream_codec"}
    | {"stream_extradata", "stream_meta"}
)
_SCHEME = re.compile(r"([A-Za-z0-9+.-]+):|subfile,")
_URI = re.compile(r'URI=(?:"([^"]*)"|([^",]+))')


def is_playlist(path: str | Path) -> bool:
    """Whether FFmpeg takes a regular file for a playlist (HLS or ffconcat). Raises OSError."""
    with open(path, "rb") as file:
        return file.read(len(_CONCAT)).startswith((_HLS, _CONCAT))


def playlist_files(playlist: str | Path, options: VideoOptions) -> list[Path]:
    """All files that a local playlist reads, itself first, playlists in playlists included.

    Unless `options.playlist` is "anywhere", each must lie in the folder of the playlist or below
    it. Raises VideoError, which names the entry, for one that does not, that is an address, that
    is not there, or that leads back to a playlist, and OSError.
    """
    found = [Path(playlist).absolute()]
    folder = found[0].parent.resolve()
    seen = set(found)
    for path in found:
        if not is_playlist(path):
            continue
        own: set[Path] = set()
        for entry in _entries(path):
            target = _target(path, entry, options)
            if target is None:
                continue
            if target in seen:
                if _leads_round(target, own):
                    raise VideoError(f"{path}: the playlist names {entry}, which was named before")
                continue
            if options.playlist == "folder" and not _lies_in(folder, target):
                raise _refused(path, entry, "lies outside the folder of the playlist")
            if not target.is_file():
                raise VideoError(f"{path}: the playlist names {entry}, and there is no such file")
            seen.add(target)
            own.add(target)
            found.append(target)
            if len(found) > _MOST_FILES:
                raise VideoError(f"{path}: the playlist names more than {_MOST_FILES} files")
    return found


def _leads_round(path: Path, own: set[Path]) -> bool:
    """Whether a file that was named before is a playlist that FFmpeg would open without end, or far
    too often. One HLS playlist may name another twice, for example as picture and as sound."""
    return is_playlist(path) and not (path in own and path.read_bytes().startswith(_HLS))


def _target(playlist: Path, entry: str, options: VideoOptions) -> Path | None:
    """The file that an entry names; None for data in the entry itself, and for an address."""
    scheme = _SCHEME.match(entry)
    if scheme is None:
        return playlist.parent / entry
    if scheme[1] == "file":
        # FFmpeg takes what follows for a path from the working directory.
        return Path(os.path.abspath(entry.removeprefix("file:")))
    if scheme[1] != "data" and options.playlist == "folder":
        raise _refused(playlist, shown(entry), "is an address")
    return None


def _lies_in(folder: Path, path: Path) -> bool:
    """Whether a file lies in a folder, whoever takes the ".." out of its path: FFmpeg or the
    operating system, which follows links first."""
    ways = (path, Path(os.path.normpath(path)))
    return all(way.resolve().is_relative_to(folder) for way in ways)


def _refused(playlist: Path, entry: str, why: str) -> VideoError:
    return VideoError(
        f"{playlist}: the playlist names {entry}, which {why}; only files in that folder are read,"
        " unless video.playlist=anywhere is set"
    )


def _entries(playlist: Path) -> Iterator[str]:
    """The names that stand in a playlist, in order."""
    if playlist.stat().st_size > _LARGEST_BYTES:
        raise VideoError(f"{playlist}: the playlist is larger than {_LARGEST_BYTES >> 20} MiB")
    data = playlist.read_bytes()
    is_hls = data.startswith(_HLS)
    for line in re.split(rb"\r\n|\r|\n", data):
        if len(line) > _LONGEST_LINE_BYTES or b"\0" in line:
            raise VideoError(f"{playlist}: a line of the playlist is too long, or is not text")
        text = os.fsdecode(line.rstrip())
        if is_hls and text.startswith("#EXT"):
            yield from (quoted or bare for quoted, bare in _URI.findall(text))
        elif text and not text.lstrip().startswith("#"):
            yield from [text] if is_hls else _named(playlist, text)


def _named(playlist: Path, line: str) -> list[str]:
    """The name in a line of an ffconcat file, if there is one."""
    keyword, *rest = line.split(None, 1)
    if keyword != "file" and keyword not in _HARMLESS:
        raise VideoError(f"{playlist}: the playlist has a line {keyword!r}, which is not allowed")
    return [_unquoted(*rest)] if keyword == "file" else []


def _unquoted(text: str = "") -> str:
    """A name in an ffconcat file, quoted as FFmpeg's manual says ("Quoting and escaping")."""
    name, quoted, characters = "", False, iter(text)
    for character in characters:
        if character == "'":
            quoted = not quoted
        elif character == "\\" and not quoted:
            name += next(characters, "")
        elif character in " \t" and not quoted:
            break
        else:
            name += character
    return name
