"""The videos of a store by what people call them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from seal.errors import NotIndexedError
from seal.missing import not_indexed, several
from seal.printing import printable
from seal.store import letters
from seal.store.records import Unfinished, VideoRecord

Named = TypeVar("Named", bound=VideoRecord | Unfinished)


def match(name: str, videos: Sequence[Named], store: Path | str, *, whole: bool = False) -> Named:
    """The video of this id, or path as given, absolute or as printed, or beginning of one id.

    Of several videos of one path the last one. With `whole` the beginning of an id is no name.
    Raises NotIndexedError, which lists the videos that may be meant, if no video matches, or if
    several ids begin with `name`.
    """
    absolute = str(Path(name).absolute())
    same_id = [video for video in videos if video.id == name]
    same_path = [video for video in videos if name and {name, absolute} & _paths(video)]
    as_printed = [video for video in videos if name and name in map(printable, _paths(video))]
    begin_so = [video for video in videos if name and not whole and video.id.startswith(name)]
    matches = same_id or same_path[-1:] or as_printed[-1:] or begin_so
    if len(matches) == 1:
        return matches[0]
    named = [(video.id, video.path) for video in matches or videos]
    if matches:
        raise NotIndexedError(several(name, f"in {store}", named))
    todo = "run seal index on it first"
    raise NotIndexedError(not_indexed(name, f"in {store}", named, todo, whole=whole))


def _paths(video: VideoRecord | Unfinished) -> set[str]:
    return {video.path, video.location} if isinstance(video, VideoRecord) else {video.path}


def _path(row: Mapping[str, Any]) -> str:
    path = json.loads(row["path"])
    if not isinstance(path, str):
        raise ValueError(f"the path of {row['video_id']!r} is no text: remove the video by its id")
    return path


def unfinished(rows: Iterable[Mapping[str, Any]], committed: Container[str]) -> list[Unfinished]:
    """The videos of these rows of `parts` that are not committed, in order of their ids."""
    rows = [row for row in rows if row["video_id"] not in committed]
    paths = {row["video_id"]: _path(row) for row in rows}
    # Twins count once.
    parts = {(row["video_id"], row["kind"], row["part"]) for row in rows if row["stored"]}
    return [
        Unfinished(
            name,
            paths[name],
            Counter(kind for video, kind, _ in parts if video == name),
            letters.of_rows(row for row in rows if row["video_id"] == name),
        )
        for name in sorted(paths)
    ]
