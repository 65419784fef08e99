"""What may be indexed: files under the folders of the operator, and addresses of allowed hosts."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from seal.errors import OptionError
from seal.lookup import original
from seal.serve import schemas
from seal.serve.problems import MissingError
from seal.serve.service import Service
from seal.video import shown, sources_in


@dataclass(frozen=True)
class NamedSource:
    """A video that may be indexed."""

    location: str
    """A path or an address, which no client has named as such."""
    title: str


@dataclass(frozen=True)
class MediaFile:
    """A video file under one of the folders of the operator."""

    id: str
    path: Path
    name: str
    """Its path below the folder."""


def media_files(folders: tuple[Path, ...]) -> list[MediaFile]:
    """The videos under some folders. Links that lead out of a folder are left out."""
    found = []
    for folder in folders:
        root = folder.resolve()
        for each in sources_in(root):
            path = Path(each)
            if path.is_file() and path.resolve().is_relative_to(root):
                name = path.relative_to(root).as_posix()
                digest = blake2b(str(path).encode(errors="surrogateescape"), digest_size=8)
                found.append(MediaFile(digest.hexdigest(), path, name))
    return found


def resolved(service: Service, source: schemas.SourceRequest) -> NamedSource:
    """What a client wants to have indexed.

    Raises OptionError unless it names one source, MissingError for an unknown id, RefusedError for
    an address of a host that is not allowed.
    """
    given = source.model_dump(exclude_none=True)
    if len(given) != 1:
        raise OptionError("a source is exactly one of media, url and video")
    if source.media is not None:
        for file in media_files(service.options.media):
            if file.id == source.media:
                return NamedSource(str(file.path), file.name)
        raise MissingError(f"there is no media file {source.media!r}")
    if source.url is not None:
        return NamedSource(service.gate.pinned(source.url), shown(source.url))
    record = service.video(str(source.video)).record
    if not (where := original(record)):
        raise MissingError(f"the file of {record.id} is not where it was indexed")
    return NamedSource(where, service.title(record.location))
