"""Which video of a store a name means."""

from __future__ import annotations

import os

from seal.config import VideoOptions
from seal.errors import NotIndexedError
from seal.store import Store, Unfinished, VideoRecord
from seal.video import SourceFiles, content_id, is_address, shown


def find_any_video(store: Store, name: str) -> VideoRecord | Unfinished:
    """As `find_video`, or a video that was begun and never committed."""
    try:
        return find_video(store, name)
    except NotIndexedError as error:
        try:
            return store.resolve_any(shown(name))
        except NotIndexedError:
            raise error from None


def find_video(store: Store, name: str) -> VideoRecord:
    """The video of this id, or path or address as indexed, or the content of a copy of the file.

    Raises NotIndexedError if the store has none, or if the file has changed since.
    """
    try:
        record = _resolve(store, name)
        is_file = name != record.id and os.path.isfile(name)
        if is_file and SourceFiles.of(name, _options(record)).size_bytes != record.size_bytes:
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


def _resolve(store: Store, name: str) -> VideoRecord:
    """As `Store.resolve`; an address is looked for by what is stored of it."""
    for record in reversed(store.videos()) if is_address(name) else ():
        with_query = _options(record).address_query == "identity"
        if shown(record.path, with_query) == shown(name, with_query):
            return record
    return store.resolve(shown(name))


def _options(record: VideoRecord) -> VideoOptions:
    """The options that say what belongs to a video, as it was indexed with."""
    kept = record.options.get("video", {})
    return VideoOptions(
        playlist=kept.get("playlist", VideoOptions.playlist),
        address_query=kept.get("address_query", VideoOptions.address_query),
    )
