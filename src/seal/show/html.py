"""A storyboard as one web page: no requests, no framework; readable without its script."""

from __future__ import annotations

import base64
import hashlib
import os
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import quote, urldefrag, urlsplit

from seal.clock import clock
from seal.printing import printable
from seal.show import parts
from seal.show.parts import Links, escaped
from seal.show.storyboard import Entry, Reel, Storyboard

# As much as a browser's tab or a bookmark can show.
_PAGE_TITLE_LENGTH = 80


def write(storyboard: Storyboard, path: Path) -> None:
    """Write the page; raises OSError where `path` cannot be written."""
    path.write_bytes(render(storyboard, path.parent).encode("utf-8"))


def render(board: Storyboard, folder: Path) -> str:
    """The page, with "play" links relative to `folder`, where it will lie."""
    style = text("parts.css") + text("storyboard.css") + parts.colours()
    script = text("clock.js") + text("storyboard.js")
    links = _links(board, folder)
    warning = board.warning()
    return Template(text("storyboard.html")).substitute(
        page_title=escaped(_shorten(printable(f"{board.query} · {board.name()}"))),
        style=style,
        script=script,
        # The policy names the one script that may run, so that nothing smuggled in ever could.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        name=escaped(board.name()),
        length=clock(board.axis.duration_s),
        query=escaped(board.query),
        warning=f'<p class="warning" role="status">{escaped(warning)}</p>' if warning else "",
        timeline=parts.timeline(board),
        moments=parts.moments(board, links),
        evidence=parts.evidence(board, links),
        settings="".join(
            f"<div><dt>{escaped(name.capitalize())}</dt><dd>{escaped(value)}</dd></div>"
            for name, value in board.settings().items()
        ),
        clock_note=_clock_note(board),
        data=parts.curve_json(board),
    )


def text(name: str) -> str:
    """A template, a style sheet or a script of a storyboard."""
    return resources.files("seal.show").joinpath(name).read_text("utf-8")


def _links(board: Storyboard, folder: Path) -> Links:
    """Pictures are in the page; videos lie in other files."""
    places = {reel.video: _link(reel, folder) for reel in board.reels}

    def picture(entry: Entry) -> str:
        assert entry.thumbnail is not None
        return f"data:{entry.mime};base64,{base64.b64encode(entry.thumbnail).decode()}"

    def play(video: str, start_s: float, end_s: float) -> dict[str, str]:
        reel = board.reel(video)
        if (place := places[reel.video]) is None:
            return {}
        # Media players start at 0, wherever the container's clock does.
        offset = f"{max(start_s - reel.start_s, 0):.3f}".rstrip("0").rstrip(".")
        return {"href": f"{place}#t={offset}", "target": "_blank", "rel": "noopener"}

    return Links(picture, play)


def _link(reel: Reel, folder: Path) -> str | None:
    """Where a browser finds the video: an address, or a path relative to the page, so that both
    can move together. None where there is no such file."""
    path = reel.path
    if urlsplit(path).scheme in ("http", "https"):
        return urldefrag(path).url
    if not Path(path).is_file():
        return None
    try:
        return quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix()))
    except ValueError:  # Windows: no relative path leads to another drive.
        return Path(path).resolve().as_uri()


def _clock_note(board: Storyboard) -> str:
    start_s = board.reels[0].start_s
    if len(board.reels) > 1 or start_s == 0:
        return ""
    return (
        f"<p>Times are the video's own, which start at {clock(start_s)};"
        " a media player counts from 0:00.</p>"
    )


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _PAGE_TITLE_LENGTH else text[: _PAGE_TITLE_LENGTH - 1] + "…"
