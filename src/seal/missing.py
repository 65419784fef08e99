"""What an error says about a name that no video has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from pathlib import PurePath

_LISTED = 5
"""How many videos an error lists."""
_ALIKE = 0.75
"""From which ratio of difflib on a name passes for a slip of another one."""


def not_indexed(
    name: str, where: str, videos: Sequence[tuple[str, str]], todo: str, *, whole: bool = False
) -> str:
    """That no video is called `name`, with the videos whose names are near to it, or else the last.

    `videos` has the id and the path of each video, `where` is such as "in .seal", and `todo` says
    what to do if it is none of them. With `whole` the beginning of an id is no name.
    """
    missing = f"{name!r} is not indexed {where}"
    if close := near(name, videos):
        meant = f"did you mean {_listed(close)}?"
        if whole:
            return f"{missing}; {meant} The whole id or path is needed"
        return f"{missing}; {meant} If not, {todo}"
    listed = _listed(videos[-_LISTED:]) or "no videos"
    return f"{missing}, which has {listed}{_more(videos)}; {todo}"


def several(name: str, where: str, videos: Sequence[tuple[str, str]]) -> str:
    """That the ids of these videos begin with `name`."""
    return f"several ids {where} begin with {name!r}: {_listed(videos[-_LISTED:])}{_more(videos)}"


def several_named(name: str, where: str, videos: Sequence[tuple[str, str]]) -> str:
    """That these videos have files that are called `name`."""
    listed = f"{_listed(videos[-_LISTED:])}{_more(videos)}"
    return f"several videos {where} are called {name!r}: {listed}; give an id"


def near(name: str, videos: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The videos that were probably meant, at most a few: those of the likeliest slip that fits.

    Slips, the likeliest first: an id is cut off, a folder is left out, a suffix is left out, the
    name is a part of another one, letters are wrong.
    """
    given = name.strip().casefold()
    if not given:
        return []
    file, stem = PurePath(given).name, PurePath(given).stem
    slips: list[Callable[[str, str], bool]] = [
        lambda video, path: video.startswith(given),
        lambda video, path: PurePath(path).name == file,
        lambda video, path: PurePath(path).stem == stem,
        lambda video, path: given in path or given in video,
        lambda video, path: _ratio(stem, PurePath(path).stem) >= _ALIKE,
    ]
    for slip in slips:
        if found := [one for one in videos if slip(one[0].casefold(), one[1].casefold())]:
            return found[-_LISTED:]
    return []


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _listed(videos: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{video} ({path})" for video, path in videos)


def _more(videos: Sequence[tuple[str, str]]) -> str:
    return ", ..." if len(videos) > _LISTED else ""
