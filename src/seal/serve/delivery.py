"""Files and bytes as replies: ranges, conditions (RFC 9110) and how long they may be kept."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from seal.serve.problems import problem

KEPT: Final = "private, max-age=31536000, immutable"
CHECKED: Final = "private, no-cache"
"""A browser keeps it, and asks each time whether it still holds."""
_RANGES = re.compile(r"bytes=\s*(?:\d+-\d*|-\d+)(?:\s*,\s*(?:\d+-\d*|-\d+))*\s*", re.IGNORECASE)
_LONGEST_NUMBER = 18
_STEM_LENGTH = 80
_SMALL_BYTES = 1024
"""Nothing is gained by compressing less."""


class Compressed:
    """Middleware: texts are compressed. Media are not, because ranges count their bytes."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._packed = GZipMiddleware(app, minimum_size=_SMALL_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_media = "/media/" in scope.get("path", "")
        await (self._plain if is_media else self._packed)(scope, receive, send)


def content(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a reply of these types, which a client may have already."""
    types: dict[str, Any] = {name: {} for name in media_types}
    return {
        200: {"description": "The content.", "content": types},
        304: {"description": "The client has it already."},
    }


def ranged(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """As `content`, of what comes in ranges as well."""
    types: dict[str, Any] = {name: {} for name in (*media_types, "multipart/byteranges")}
    return {
        **content(*media_types),
        206: {"description": "The ranges that were asked for.", "content": types},
        416: {
            "description": "There is no such range; Content-Range has the size.",
            "content": {"application/problem+json": {}},
        },
    }


def file_reply(request: Request, path: Path, media_type: str, name: str) -> Response:
    """A file, or those ranges of it that a client asks for; `name` is what it is saved as."""
    reply = FileResponse(
        path,
        headers={"cache-control": CHECKED, "content-disposition": disposition(name)},
        media_type=media_type,
        stat_result=path.stat(),
    )
    if is_known(request, reply.headers["etag"], reply.headers["last-modified"]):
        return not_modified(reply.headers["etag"], CHECKED)
    wanted = request.headers.get("range")
    size_bytes = int(reply.headers["content-length"])
    # A range of another state of the file is not looked at: the whole file is the reply then.
    if wanted is not None and "if-range" not in request.headers and _is_outside(wanted, size_bytes):
        said = f"no such range: the file has {size_bytes} bytes; ask for bytes=FIRST-LAST"
        return problem(416, said, {"content-range": f"bytes */{size_bytes}"})
    return reply


def _is_outside(wanted: str, size_bytes: int) -> bool:
    """Whether a Range header is none, or one of its ranges begins after the end of the file."""
    if not _RANGES.fullmatch(wanted):
        return True
    for first, last in re.findall(r"(\d*)-(\d*)", wanted):
        if max(len(first), len(last)) > _LONGEST_NUMBER:
            return True
        if int(first) >= size_bytes if first else int(last) == 0:
            return True
        if first and last and int(last) < int(first):
            return True
    return False


def etag_of(*names: object) -> str:
    """A strong validator of what these names together stand for."""
    return f'"{blake2b(repr(names).encode(), digest_size=12).hexdigest()}"'


def not_modified(etag: str, cache_control: str) -> Response:
    """The reply to a client that has the content already."""
    return Response(status_code=304, headers={"etag": etag, "cache-control": cache_control})


def is_known(request: Request, etag: str, modified: str | None = None) -> bool:
    """Whether the conditions of a request say that the client has what has this `etag` and was
    last `modified` then."""
    headers: Headers = request.headers
    if (tags := headers.get("if-none-match")) is not None:
        known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return etag in known or "*" in known
    since = headers.get("if-modified-since")
    if since is None or modified is None:
        return False
    try:
        return parsedate_to_datetime(since) >= parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return False


def disposition(name: str, kind: str = "inline") -> str:
    """A Content-Disposition with a name that is safe on every system."""
    return f'{kind}; filename="{name}"'


def safe_name(text: str, suffix: str) -> str:
    """A file name of plain letters, digits, `-` and `_`, with a suffix such as ".mp4"."""
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", text)[:_STEM_LENGTH].strip("-") or "video"
    return stem + suffix
