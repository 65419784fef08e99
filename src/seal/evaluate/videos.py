"""The videos of a store, by the names that data sets have for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from seal.config import Options
from seal.content import VideoContent
from seal.encoders import Encoders
from seal.errors import DataError
from seal.lookup import options_of
from seal.scope import Scope
from seal.store import Store, VideoRecord


class Videos:
    """Opens them one after the other for a task of `seal.config.TASKS`, with settings: all their
    tokens, or those of some `kinds`."""

    def __init__(
        self,
        store: Store,
        task: str,
        settings: Iterable[str] = (),
        kinds: Sequence[str] | None = None,
    ) -> None:
        self._store, self._task, self._settings = store, task, tuple(settings)
        self._kinds = kinds
        # Large weights take longer to load than to be asked.
        self._encoders = Encoders()
        self._records = [
            (PurePath(record.path).with_suffix("").parts, record) for record in store.videos()
        ]

    def options(self, names: Iterable[str]) -> dict[str, Options]:
        """By profile, the options with which those of these videos are asked that are stored.

        Raises DataError as `find` does.
        """
        found = [record for name in names if (record := self.record(name)) is not None]
        by_profile = {record.profile: record for record in found}
        return {
            profile: options_of(self._store, by_profile[profile], self._settings, self._task)
            for profile in sorted(by_profile)
        }

    def find(self, name: str) -> Scope | None:
        """The video whose file, without its suffix, is called so: "film", or "folder/film".

        Raises DataError if there are several.
        """
        record = self.record(name)
        if record is None:
            return None
        content = VideoContent(self._store, record, self._encoders, self._kinds)
        return Scope(content, options_of(self._store, record, self._settings, self._task))

    def record(self, name: str) -> VideoRecord | None:
        """The record of the video that `find` opens. Raises DataError as `find` does."""
        wanted = PurePath(name).parts
        found = [record for parts, record in self._records if parts[-len(wanted) :] == wanted]
        if len(found) > 1:
            paths = " and ".join(record.path for record in found)
            raise DataError(f"which video is {name}? {self._store.path} has {paths}")
        return found[0] if found else None
