"""Logging in: a browser gives the token once, and keeps a cookie that stands for it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from seal.config.serving import ServeOptions
from seal.errors import OptionError
from seal.serve.safety import COOKIE, is_token, session_of

_MOST_FIELDS = 16


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form by name."""
    try:
        body = (await request.body()).decode()
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except (UnicodeDecodeError, ValueError):
        raise OptionError("a form must be sent as application/x-www-form-urlencoded") from None


Fields = Annotated[dict[str, str], Depends(_fields)]
To = Annotated[str, Query(max_length=4096, description="Where to go then.")]


def local(path: str) -> str:
    """A path of this server, or that of the library in place of anything else.

    Browsers take "//host" and "/\\\\host" for another host, and leave out control characters.
    """
    is_path = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if is_path else "/"


def logged_in(request: Request, options: ServeOptions, token: str, to: str) -> Response | None:
    """The way on for a browser that has given the token; None if it is another one."""
    if options.token and not is_token(token, options):
        return None
    reply = RedirectResponse(options.path_prefix + local(to), 303)
    if options.token:
        reply.set_cookie(
            COOKIE,
            session_of(options.token),
            path=options.path_prefix or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            # With "strict" a link from a mail would ask for the token again. Changes are checked by
            # their origin.
            samesite="lax",
        )
    return reply


def logged_out(options: ServeOptions) -> Response:
    """The way out, without the cookie."""
    reply = RedirectResponse(f"{options.path_prefix}/login", 303)
    reply.delete_cookie(COOKIE, path=options.path_prefix or "/")
    return reply
