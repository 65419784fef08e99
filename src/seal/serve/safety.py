"""Who may ask: the host name, the origin, the token, and how much at a time.

The checks come before any route. A page of another site can reach a server on this machine through
the user's browser. It may come under a host name of the attacker (DNS rebinding), which the check
of the host name refuses. Or it may be a request from another origin, which the check of the origin
refuses.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from functools import partial
from hashlib import sha256
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seal.config.serving import ServeOptions, is_loopback
from seal.serve.problems import BusyError, TooLargeError, headers_of, path_of, refusal

COOKIE = "seal_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = ("/login", "/static/", "/health")
"""Paths that need no token."""
_OPEN_BYTES = 1 << 16
"""The longest request of those who have not given a token."""
_CLIENTS = 10_000
"""Clients whose requests are counted; those that were not heard of for longest are forgotten."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # Positions in lanes are attributes; style sheets are files.
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # With "no-referrer" browsers do not say where a form comes from: its origin would be "null".
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class Guard:
    """Middleware: what does not pass the checks never reaches a route."""

    def __init__(self, app: ASGIApp, options: ServeOptions) -> None:
        self._app = app
        self._options = options
        self._names = {name.lower() for name in (*options.names, options.host)}
        self._rates = Rates(options.requests_per_s, options.burst)
        self._session = session_of(options.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        await self._app(scope, _bounded(receive, self._limit(scope)), _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what may not pass; None for what may."""
        headers, path = Headers(scope=scope), path_of(scope)
        refused = partial(refusal, path)
        host = headers.get("host", "")
        if not self._is_known(host):
            return refused(
                421, f"the server does not go by the name {host!r}: start it with --name"
            )
        wait_s = self._rates.take(self._client(scope, headers))
        if wait_s:
            busy = BusyError("too many requests from this address", wait_s)
            return refused(429, str(busy), headers_of(busy), error=BusyError.__name__)
        if scope["method"] not in _SAFE and not self._is_same_origin(headers, host):
            return refused(403, "a page of another site has sent this: it is refused")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._limit(scope):
            return refused(413, f"the request is longer than {self._limit(scope):,} bytes")
        if self._is_let_in(headers) or path.startswith(_OPEN):
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope["query_string"].decode("latin-1")
            to = quote(f"{path}?{query}" if query else path)
            return RedirectResponse(f"{scope.get('root_path', '')}/login?to={to}", 303)
        said = "a token is needed: send it as `Authorization: Bearer TOKEN`"
        if headers.get("authorization", "").lower().startswith("bearer "):
            said = "the token that was sent is not the token of this server: ask its operator"
        return refused(401, said, {"www-authenticate": "Bearer"})

    def _is_known(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = urlsplit(f"//{host}").hostname if _is_host(host) else None
        if name is None:
            return False
        if self._options.is_loopback and is_loopback(name):
            return True
        # Whoever listens at all addresses is reached by any of them; a name has to be given.
        return name in self._names or (bool(self._options.token) and _is_number(name))

    def _is_same_origin(self, headers: Headers, host: str) -> bool:
        """Whether a request that changes something comes from a page of this server, or from no
        page at all: browsers say where a request comes from."""
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        try:
            return origin is None or urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False

    def _is_let_in(self, headers: Headers) -> bool:
        token = self._options.token
        if not token:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _equal(given.strip(), token):
            return True
        return _equal(_cookie(headers), self._session)

    def _client(self, scope: Scope, headers: Headers) -> str:
        if self._options.trusts_proxy and (said := headers.getlist("x-forwarded-for")):
            # A proxy adds the address that it sees to what the client has sent, or in a line of its
            # own behind it.
            return said[-1].rpartition(",")[2].strip()
        client = scope.get("client")
        return client[0] if client else ""

    def _limit(self, scope: Scope) -> int:
        if scope["method"] == "PATCH" and "/api/v1/uploads/" in scope["path"]:
            return self._options.max_upload_bytes
        if path_of(scope).startswith(_OPEN):
            return min(_OPEN_BYTES, self._options.max_body_bytes)
        return self._options.max_body_bytes


class Rates:
    """Token buckets by client: so many requests at once, and so many a second for long."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> float:
        """Count a request; gives back after how many seconds to try again, 0 for now."""
        now = time.monotonic()
        with self._lock:
            left, at = self._left.pop(client, (float(self._burst), now))
            left = min(left + (now - at) * self._per_s, self._burst)
            may = left >= 1
            self._left[client] = (left - may, now)
            if len(self._left) > _CLIENTS:
                self._left.popitem(last=False)
        return 0.0 if may else (1 - left) / self._per_s


def session_of(token: str) -> str:
    """What a browser keeps in place of the token: whoever reads it cannot learn the token."""
    return hmac.new(token.encode(), b"seal session", sha256).hexdigest() if token else ""


def is_token(given: str, options: ServeOptions) -> bool:
    """Whether somebody has given the right token."""
    return bool(options.token) and _equal(given, options.token)


def _equal(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that says nothing of where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _cookie(headers: Headers) -> str:
    # The parser of the standard library stops at a cookie of another application that it rejects.
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _is_host(host: str) -> bool:
    if not host or not host.isascii() or set(host) & set(" \t/?#@\\"):
        return False
    try:
        return urlsplit(f"//{host}").port != 0
    except ValueError:
        return False


def _is_number(name: str) -> bool:
    """Whether a host is an address in numbers, which no name server can turn elsewhere."""
    return name.replace(".", "").isdigit() or ":" in name


def _bounded(receive: Receive, limit: int) -> Receive:
    """The body of a request, which ends with an error once it is longer than `limit` bytes."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLargeError(f"the request is longer than {limit:,} bytes")
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message.get("headers", ())}
            more = [(name, value) for name, value in _HEADERS if name not in present]
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return sending
