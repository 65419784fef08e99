"""The files of indexed videos: what a client gets of them is what was indexed, or nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from seal.lookup import original
from seal.serve.problems import MissingError
from seal.store import VideoRecord
from seal.video import content_id, is_address

_KNOWN = 4096
"""Files of which it is remembered whether they are what was indexed."""


@dataclass(frozen=True)
class _Seen:
    """A file as it lies there, and the record whose video it has to be."""

    location: str
    content_id: str
    inode: int
    size_bytes: int
    modified_ns: int
    record: VideoRecord = field(compare=False)


def original_file(record: VideoRecord) -> Path:
    """The file that was indexed.

    Raises MissingError for an address, which the server fetches for nobody, and for a file that is
    not there or is not the one that was indexed.
    """
    if is_address(record.location):
        raise MissingError(
            f"{record.id} lies on another server, from which this one fetches nothing for clients"
        )
    try:
        state = os.stat(record.location)
    except (OSError, ValueError):
        state = None
    if state is not None:
        key = (record.location, record.content_id)
        if _is_original(_Seen(*key, state.st_ino, state.st_size, state.st_mtime_ns, record)):
            return Path(record.location)
    raise MissingError(
        f"the file of {record.id} is not where it was indexed, or has changed since: put it back,"
        " or index it again"
    )


@lru_cache(_KNOWN)
def _is_original(seen: _Seen) -> bool:
    """Whether a file is the video of its record; all of it is read only if it was written to after
    it was indexed."""
    if not original(seen.record):
        return False
    try:
        indexed_at = datetime.fromisoformat(seen.record.indexed_at).timestamp()
    except ValueError:
        indexed_at = 0.0
    return seen.modified_ns <= indexed_at * 1e9 or content_id(seen.location) == seen.content_id


def version_of(record: VideoRecord) -> str:
    """A text that changes whenever the stored tokens and pictures of a video do."""
    return blake2b(repr(sorted(record.keys.items())).encode(), digest_size=8).hexdigest()
