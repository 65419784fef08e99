"""Requests to a server, and their answers.

Each request has a connection of its own, so that threads may ask at once. The token goes to the
address that it was given for and nowhere else: redirects are not followed.
"""

from __future__ import annotations

import json
import ssl
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from seal import __version__
from seal.client.problems import of_problem
from seal.config.serving import is_loopback
from seal.errors import OptionError, SealError, StoreError

PREFIX = "/api/v1"
_CONNECT_S = 10.0
"""How long a server may take to accept a connection."""
_SILENT_S = 300.0
"""How long a server may say nothing: the first query of many videos loads all of their tokens."""
_BLOCK_BYTES = 1 << 16
_TRIES = 5
"""How often a request is sent to a server that has too much to do."""
_LONGEST_PAUSE_S = 30.0
"""A server that wants a longer pause before the next try is not waited for."""
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before the next tries to reach a server that was lost, such as while it starts anew."""

Value = TypeVar("Value")


class LostError(StoreError):
    """A server that cannot be reached, or no longer."""


class Sent(NamedTuple):
    """An answer without its body."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""


class ServerConnection:
    """The way to a server: its address and its token."""

    def __init__(self, address: str, token: str | None) -> None:
        """Raises OptionError for an address or a token that cannot be one. Nothing is sent yet."""
        if set("@?#") & set(address):
            # The message leaves out the name and the password.
            raise OptionError(
                "the address of a server is such as http://host:8765, without user, query and"
                " fragment: give the token as token="
            )
        self.address = address.rstrip("/")
        try:
            parts = urlsplit(self.address)
            self._host, self._port = parts.hostname, parts.port
        except ValueError:
            self._host = None
        if not self._host or not address.isascii() or not address.isprintable() or " " in address:
            raise OptionError(f"{address!r} is no address; expected such as http://host:8765")
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise OptionError("a token is of printable ASCII characters, and this one is not")
        self._is_safe, self._path = parts.scheme.lower() == "https", parts.path
        self.__token = token
        if token is not None and not self._is_safe and not is_loopback(self._host):
            warnings.warn(
                f"the token goes to {self._host} unencrypted, and so do questions and answers: use"
                " https, or a tunnel",
                stacklevel=4,
            )

    def __repr__(self) -> str:
        return f"<seal.client.ServerConnection {self.address}>"

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path below `PREFIX`; parameters that are None are left out."""
        return self._json("GET", _with_query(path, query))

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Any:
        """The JSON that answers a request."""
        return self._json("POST", path, body, headers)

    def delete(self, path: str, **query: Any) -> Any:
        """The JSON that answers the removal of something."""
        return self._json("DELETE", _with_query(path, query))

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Sent:
        """What answers a request whose body is no JSON, as a request for an upload."""
        with self._answer(method, path, body, headers) as answer:
            answer.read()
            return Sent(answer.status, {key.lower(): value for key, value in answer.getheaders()})

    def blocks(self, path: str, **query: Any) -> Iterator[bytes]:
        """What lies at a path of the server, which need not lie below `PREFIX`, piece by piece."""
        with self._answer("GET", _with_query(path, query), None, {}, "") as answer:
            while block := answer.read(_BLOCK_BYTES):
                yield block

    def events(self, path: str, body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The server-sent events that answer a request: the name of each, and its JSON."""
        headers = {"accept": "text/event-stream", "content-type": "application/json"}
        with self._answer("POST", path, json.dumps(body).encode(), headers) as answer:
            if answer.headers.get_content_type() != "text/event-stream":
                raise self._foreign()
            name, data = "", list[str]()
            for line in _lines(answer):
                field, _, value = line.partition(":")
                if field == "event":
                    name = value.strip()
                elif field == "data":
                    data.append(value.removeprefix(" "))
                elif not line and data:
                    yield name, self._parsed("\n".join(data).encode())
                    name, data = "", []

    def problem(self, values: Any) -> SealError:
        """The error that the JSON of a problem stands for."""
        status = values.get("status", 500) if isinstance(values, dict) else 500
        return of_problem(status, values, self.address, self.__token is not None)

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = {},
    ) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"content-type": "application/json"}
        with self._answer(method, path, sent, {**kind, **headers}) as answer:
            if answer.headers.get_content_type() != "application/json":
                raise self._foreign()
            return self._parsed(answer.read())

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        prefix: str = PREFIX,
    ) -> Iterator[HTTPResponse]:
        """The answer to a request that was accepted, not read yet.

        A server with too much to do is asked again, a few times. Raises the error that the answer
        stands for, and StoreError if the server cannot be reached or is lost.
        """
        url = self._path + prefix + path
        for number in range(_TRIES):
            with self._telling(), closing(self._connected()) as connection:
                connection.request(method, url, body, {**self._headers(), **headers})
                with connection.getresponse() as answer:
                    if answer.status < 300:
                        yield answer
                        return
                    pause_s = _pause_s(answer) if answer.status == 429 else None
                    error = self._refused(answer)
            if pause_s is None or pause_s > _LONGEST_PAUSE_S or number == _TRIES - 1:
                raise error
            time.sleep(pause_s)

    def _connected(self) -> HTTPConnection:
        connection: HTTPConnection
        assert self._host is not None
        if self._is_safe:
            context = ssl.create_default_context()
            connection = HTTPSConnection(
                self._host, self._port, timeout=_CONNECT_S, context=context
            )
        else:
            connection = HTTPConnection(self._host, self._port, timeout=_CONNECT_S)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.sock.settimeout(_SILENT_S)
        return connection

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", "user-agent": f"seal/{__version__}"}
        if self.__token is not None:
            headers["authorization"] = f"Bearer {self.__token}"
        return headers

    def _refused(self, answer: HTTPResponse) -> SealError:
        """The error that an answer of a status from 300 on stands for."""
        if answer.status < 400:
            to = urlsplit(answer.headers.get("location", ""))._replace(query="", fragment="")
            return StoreError(
                f"{self.address} redirects to {to.geturl() or 'nowhere'}: open the address of the"
                " server itself"
            )
        try:
            values = json.loads(answer.read())
        except ValueError:
            values = None
        return of_problem(answer.status, values, self.address, self.__token is not None)

    def _parsed(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            raise self._foreign() from None

    def _foreign(self) -> StoreError:
        return StoreError(
            f"{self.address} is no SEAL server: another program answers there; give the address"
            " that `seal serve` prints"
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Failures of the network as LostError."""
        try:
            yield
        except ConnectionRefusedError:
            raise LostError(
                f"{self.address} refuses connections: start `seal serve` there, or check the port"
            ) from None
        except TimeoutError as error:
            raise LostError(f"{self.address} does not answer in time ({error})") from error
        except ssl.SSLError as error:
            raise LostError(
                f"{self.address} cannot be trusted or does not speak https ({error})"
            ) from error
        except (OSError, HTTPException, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise LostError(
                f"the connection to {self.address} failed ({reason}): check the address, and"
                " whether `seal serve` runs there"
            ) from error


def _pause_s(answer: HTTPResponse) -> float:
    """How long a server wants to be left alone."""
    said = answer.headers.get("retry-after", "1")
    return float(said) if said.isdigit() else 1.0


def _lines(answer: HTTPResponse) -> Iterator[str]:
    for line in answer:
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def patiently(call: Callable[[], Value]) -> Value:
    """What a call gives back, which is made again while the server cannot be reached."""
    for pause_s in PAUSES_S:
        with suppress(LostError):
            return call()
        time.sleep(pause_s)
    return call()


def part(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")
