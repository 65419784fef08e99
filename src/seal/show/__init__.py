"""The evidence as a picture a person can read: a web page in one file, or a PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seal.errors import OptionError
from seal.show import html, png
from seal.show.parts import Links
from seal.show.storyboard import Reel, Storyboard

_WRITERS: dict[str, Callable[[Storyboard, Path], None]] = {".html": html.write, ".png": png.write}


def writer(path: str | Path) -> Callable[[Storyboard, Path], None]:
    """What writes files named like `path`.

    Raises OptionError, listing the valid suffixes, for any other: call it before the work starts.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        valid = ", ".join(_WRITERS)
        raise OptionError(f"a storyboard's name must end in one of {valid}; got {str(path)!r}")
    return _WRITERS[suffix]


def write(storyboard: Storyboard, path: str | Path) -> None:
    """Write a storyboard: a self-contained web page (.html) or a picture (.png), by suffix.

    Raises OptionError, listing the valid suffixes, for any other, and OSError where `path` cannot
    be written.
    """
    writer(path)(storyboard, Path(path))


__all__ = ["Links", "Reel", "Storyboard", "write", "writer"]
