"""Which video of a store a name means."""

from __future__ import annotations

import os

from seal.errors import NotIndexedError
from seal.store import Store, Unfinished, VideoRecord
from seal.video import content_id, is_address


def find_any_video(store: Store, name: str) -> VideoRecord | Unfinished:
    """As `find_video`, or a video that was begun and never committed."""
    try:
        return find_video(store, name)
    except NotIndexedError as error:
        try:
            return store.resolve_any(name)
        except NotIndexedError:
            raise error from None


def find_video(store: Store, name: str) -> VideoRecord:
    """The video of this id, or path or address as indexed, or the content of a copy of the file.

    Raises NotIndexedError if the store has none, or if the file has changed since.
    """
    try:
        record = store.resolve(name)
        is_file = name != record.id and os.path.isfile(name)
        if is_file and os.path.getsize(name) != record.size_bytes:
            raise NotIndexedError(
                f"{name} has changed since it was indexed as {record.id}; run seal index on it"
            )
        return record
    except NotIndexedError:
        if is_address(name) or not os.path.exists(name):
            raise
        content = content_id(name)
        for record in store.videos():
            if record.content_id == content:
                return record
        raise
