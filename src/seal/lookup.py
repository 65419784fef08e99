"""Which video of a store a name means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath
from urllib.parse import urlsplit

from seal.config import Options, VideoOptions
from seal.errors import NotIndexedError, OptionError, StoreError, VideoError
from seal.missing import several_named
from seal.store import Store, Unfinished, VideoRecord
from seal.video import SourceFiles, content_id, is_address, shown
from seal.video.source import VIDEO_SUFFIXES


def find_any_video(store: Store, name: str) -> VideoRecord | Unfinished:
    """As `find_video` of a whole name: what is removed must not be a guess. Also a video that was
    begun and never committed, or one of this very id whose record is damaged."""
    try:
        return _find_any(store, name)
    except NotIndexedError:
        raise
    except StoreError:
        if not store.holds(name):
            raise
        return Unfinished(name, "", {})


def _find_any(store: Store, name: str) -> VideoRecord | Unfinished:
    try:
        return find_video(store, name, whole=True)
    except NotIndexedError:
        pass
    return store.resolve_any(shown(name))


def find_video(store: Store, name: str, *, whole: bool = False) -> VideoRecord:
    """The video of this id, or path or address as indexed, or beginning of one id, or content of a
    file on this machine. Where no such file lies here, the one video of this file name. With
    `whole` the beginning of an id and a file name are no names.

    If the video is not where it was indexed, the copy that is named takes its place in the record.
    Raises NotIndexedError if the store has none, if several files have this name, or if the file
    has changed since it was indexed.
    """
    try:
        record = _resolve(store, name, whole)
        is_file = name != record.id and os.path.isfile(name)
        if is_file and SourceFiles.of(name, source_options(record)).size_bytes != record.size_bytes:
            raise NotIndexedError(
                f"{name} has changed since it was indexed as {record.id}; run seal index on it"
            )
        return record
    except NotIndexedError:
        if is_address(name):
            raise
        if not os.path.exists(name):
            named = None if whole else _of_file_name(store, name)
            if named is None:
                raise
            return named
        content = content_id(name)
        for record in store.videos():
            if record.content_id == content:
                moved = replace(record, location=os.path.abspath(name))
                return record if original(record) else moved
        raise


def _of_file_name(store: Store, name: str) -> VideoRecord | None:
    """The video whose file has this name; of several contents of one file, the latest.

    Raises NotIndexedError, which lists the videos, if several files have the name.
    """
    named = [record for record in store.videos() if name and PurePath(record.path).name == name]
    if len({record.location for record in named}) > 1:
        raise NotIndexedError(
            several_named(name, f"in {store.path}", [(one.id, one.path) for one in named])
        )
    return named[-1] if named else None


def _resolve(store: Store, name: str, whole: bool) -> VideoRecord:
    """As `Store.resolve`; an address is looked for by what is stored of it."""
    for record in reversed(store.videos()) if is_address(name) else ():
        with_query = source_options(record).address_query == "identity"
        if shown(record.path, with_query) == shown(name, with_query):
            return record
    return store.resolve(shown(name), whole=whole)


def source_options(record: VideoRecord) -> VideoOptions:
    """The options that say what belongs to a video and which of its streams was read, as it was
    indexed with."""
    kept = record.options.get("video")
    if not isinstance(kept, dict):
        kept = {}
    return VideoOptions(
        playlist=kept.get("playlist", VideoOptions.playlist),
        address_query=kept.get("address_query", VideoOptions.address_query),
        stream=kept.get("stream"),
    )


def given_subtitles(record: VideoRecord) -> list[str]:
    """The subtitle file that the options of a video named, where they did."""
    kept = record.options.get("subtitles")
    file = kept.get("file") if isinstance(kept, Mapping) else None
    return [file] if isinstance(file, str) else []


def original(record: VideoRecord) -> str:
    """Where the video of a record can be played: an http(s) address, or a file; "" for nothing.

    A store may be made by anybody and name any file of this machine. A file is the video if it has
    the stored size, and the name or else the content of a video.
    """
    where = record.location
    if urlsplit(where).scheme in ("http", "https"):
        return where
    try:
        is_same = os.path.isfile(where) and os.path.getsize(where) == record.size_bytes
        named = PurePath(where).suffix.lower() in VIDEO_SUFFIXES
        return where if is_same and (named or content_id(where) == record.content_id) else ""
    except (OSError, ValueError, VideoError):
        return ""  # What cannot be read cannot be played.


def encoder_settings(record: VideoRecord) -> list[str]:
    """The settings that load the encoder of a video."""
    return [f"encode.{key}={value}" for key, value in record.encoder_options.items()]


def meaning_settings(record: VideoRecord) -> list[str]:
    """The settings that load what embedded the words of a video."""
    kept = record.options.get("meaning")
    values = kept if isinstance(kept, Mapping) else {}
    return [f"meaning.{key}={value}" for key, value in values.items()]


def options_of(
    store: Store,
    record: VideoRecord,
    settings: Iterable[str],
    task: str,
    defaults: Iterable[str] = (),
) -> Options:
    """The options of a task on a video, of its profile and with defaults and settings on top.

    Raises StoreError if the record names a profile or an encoder that is not known here, and
    OptionError as `Options.load`.
    """
    try:
        if record.encoder_options.get("backend") != "instance":
            Options.load(record.profile, encoder_settings(record))
    except OptionError as error:
        raise StoreError(
            f"the token store {store.path} cannot be used: the record of {record.id!r} names a"
            f" profile or an encoder that is not known here ({error}); install what it was indexed"
            " with, or remove the video and index it again"
        ) from error
    return Options.load(record.profile, settings, task, defaults)
