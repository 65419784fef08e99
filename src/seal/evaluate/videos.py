"""The videos of a store, by the names that data sets have for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from seal.errors import DataError
from seal.query import IndexedVideo
from seal.store import Store


class Videos:
    """Opens them one after the other. `settings` are as for `IndexedVideo`."""

    def __init__(self, store: Store, settings: Iterable[str] = ()) -> None:
        self._store, self._settings = store, tuple(settings)
        self._records = [
            (PurePath(record.path).with_suffix("").parts, record) for record in store.videos()
        ]
        self._last: IndexedVideo | None = None

    def find(self, name: str) -> IndexedVideo | None:
        """The video whose file, without its suffix, is called so: "film", or "folder/film".

        Raises DataError if there are several.
        """
        wanted = PurePath(name).parts
        found = [record for parts, record in self._records if parts[-len(wanted) :] == wanted]
        if len(found) > 1:
            paths = " and ".join(record.path for record in found)
            raise DataError(f"which video is {name}? {self._store.path} has {paths}")
        if not found:
            return None
        video = IndexedVideo(self._store, found[0].id, self._settings)
        if self._last is not None and self._last.record.encoder == video.record.encoder:
            # The same weights: large ones take longer to load than to be asked.
            video.encoder = self._last.encoder
        self._last = video
        return video
