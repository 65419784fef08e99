"""The scripts and styles of the pages: files of the package, under a name that changes with them.

Browsers keep them for good, and fetch them anew after an upgrade.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources

from fastapi import APIRouter, Request
from starlette.responses import Response

from seal.serve.problems import MissingError
from seal.show import html, parts

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_SHARED = ("clock.js", "parts.css", "storyboard.js")
"""Files of the storyboard that the pages use, too."""
router = APIRouter()


@dataclass(frozen=True)
class Assets:
    """All of them, in memory."""

    version: str
    """A digest of their contents."""
    files: dict[str, bytes]
    """By name."""


@cache
def assets() -> Assets:
    """The scripts and styles of the installed version."""
    folder = resources.files("seal.serve").joinpath("static")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    files |= {name: html.text(name).encode() for name in _SHARED}
    files["kinds.css"] = parts.colours().encode()
    digest = blake2b(digest_size=6)
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content)
    return Assets(digest.hexdigest(), files)


@router.get("/static/{version}/{name}", include_in_schema=False)
def asset(request: Request, version: str, name: str) -> Response:
    """One of them."""
    known = assets()
    if name not in known.files:
        raise MissingError(f"there is no file {name!r}")
    kept = "public, max-age=31536000, immutable" if version == known.version else "no-cache"
    media_type = _TYPES[name.rpartition(".")[2]]
    return Response(known.files[name], 200, {"cache-control": kept}, media_type)
