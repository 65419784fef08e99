"""The way out: only to hosts that the operator allows, at IP addresses that were checked.

A name is resolved once, each of its addresses is checked, and the connection goes to a checked one.
A name server that answers something else the second time leads nowhere. FFmpeg and urllib, which
resolve names and follow redirections by themselves, get there through a proxy in their own process.
"""

from __future__ import annotations

import base64
import os
import secrets
import select
import socket
import socketserver
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from seal.errors import OptionError
from seal.serve.problems import RefusedError

_TIMEOUT_S = 30.0
_BLOCK_BYTES = 1 << 16
_HEAD_BYTES = 1 << 16
"""The longest head of a request to the proxy."""
_THROUGH_PROXY = ("http", "https")
_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443}
"""Other protocols that may be opened, with their usual ports."""
_NOT_PUBLIC = tuple(
    map(ip_network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "fec0::/10"))
)
"""Networks that lead to IPv4 addresses, which may be private, or are of one site; Python calls
addresses in them global."""
_WHO = '407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="seal"'
"""FFmpeg gives the secret only when it is asked for it."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True)
class Gate:
    """Which hosts may be reached."""

    hosts: tuple[str, ...]
    """Names, which may begin with "*."; "*" is every host."""
    allow_private: bool = False
    """Whether these may lie in a private network, or on this machine."""

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes the same gate of, in another process."""
        return {"hosts": self.hosts, "allow_private": self.allow_private}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Gate:
        """The gate that another process has."""
        return Gate(tuple(values["hosts"]), values["allow_private"])

    def check(self, url: str) -> str:
        """The host of an address that may be reached.

        Raises OptionError for what is no address, RefusedError for a host that is not allowed.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or not parts.scheme:
            raise OptionError("an address is such as https://host/film.mp4")
        if not any(fnmatchcase(host, allowed.lower()) for allowed in self.hosts):
            listed = ", ".join(self.hosts) or "none"
            raise RefusedError(f"addresses of {host} are not allowed here; allowed hosts: {listed}")
        return host

    def addresses(self, host: str, port: int) -> list[str]:
        """The checked IP addresses of a host that is allowed. Raises as `check` does, and
        RefusedError if the host has no address, or one that is not public."""
        self.check(f"tcp://[{host}]" if ":" in host else f"tcp://{host}")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise RefusedError(f"{host} cannot be found: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self.allow_private and not all(map(is_public, addresses)):
            raise RefusedError(f"{host} lies in a private network: see --allow-private")
        return addresses

    def connect(self, host: str, port: int, timeout_s: float = _TIMEOUT_S) -> socket.socket:
        """A connection to a host that is allowed. Raises as `addresses` does, and OSError."""
        *others, last = self.addresses(host, port)
        for address in others:
            with suppress(OSError):
                return socket.create_connection((address, port), timeout_s)
        return socket.create_connection((last, port), timeout_s)

    def pinned(self, url: str) -> str:
        """The address that FFmpeg may open.

        What goes through the proxy stays as it is; in others a checked IP address stands for the
        host. Raises as `addresses` does, and RefusedError for another protocol.
        """
        host, parts = self.check(url), urlsplit(url)
        scheme = parts.scheme.lower()
        if scheme in _THROUGH_PROXY:
            return url
        if scheme not in _PORTS:
            valid = ", ".join((*_THROUGH_PROXY, *_PORTS))
            raise RefusedError(f"addresses of {scheme}:// are not allowed here; allowed: {valid}")
        port = parts.port or _PORTS[scheme]
        address = self.addresses(host, port)[0]
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        shown = f"[{address}]" if ":" in address else address
        return urlunsplit(parts._replace(netloc=f"{user}{shown}:{port}"))


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public network."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    if any(parsed in network for network in _NOT_PUBLIC):
        return False
    return parsed.is_global and not parsed.is_multicast


@contextmanager
def all_through(gate: Gate) -> Iterator[None]:
    """Until the block ends, this process and those that it starts reach HTTP(S) only by a gate."""
    secret = secrets.token_urlsafe(16)
    server = _Proxy(("127.0.0.1", 0), _Handler)
    server.gate, server.secret = gate, secret
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = {name: os.environ.get(name) for name in _names()}
    for name in before:
        os.environ.pop(name, None)
    address = f"http://seal:{secret}@127.0.0.1:{server.server_address[1]}"
    os.environ |= {"http_proxy": address, "https_proxy": address}
    # What urllib has read of the environment so far counts no more.
    urllib.request.install_opener(urllib.request.build_opener())
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        urllib.request.install_opener(urllib.request.build_opener())


def _names() -> list[str]:
    return [each for name in _PROXIES for each in (name, name.upper())]


class _Proxy(socketserver.ThreadingTCPServer):
    """The proxy of one process."""

    daemon_threads = True
    allow_reuse_address = True
    gate: Gate
    secret: str


class _Handler(socketserver.BaseRequestHandler):
    """One connection of a client of the proxy."""

    def handle(self) -> None:
        server, client = cast(_Proxy, self.server), cast(socket.socket, self.request)
        client.settimeout(_TIMEOUT_S)
        with suppress(OSError):
            head, rest = _head(client)
            lines = head.decode("latin-1").split("\r\n")
            method, _, target = lines[0].partition(" ")
            target = target.rpartition(" ")[0]
            if not _is_ours(lines, server.secret):
                _refuse(client, _WHO)
                return
            is_tunnel = method == "CONNECT"
            parts = urlsplit(f"//{target}" if is_tunnel else target)
            try:
                port = parts.port or 80
                remote = server.gate.connect(parts.hostname or "", port)
            except (RefusedError, OptionError, ValueError):
                _refuse(client, "403 Forbidden")
                return
            except OSError:
                _refuse(client, "502 Bad Gateway")
                return
            with remote:
                if is_tunnel:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    remote.sendall(_direct(method, parts, lines))
                remote.sendall(rest)
                _copy(client, remote)


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request, without the empty line at its end, and what came after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = client.recv(_BLOCK_BYTES)
        if not block or len(received) > _HEAD_BYTES:
            raise OSError("no request")
        received += block
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def _is_ours(lines: list[str], secret: str) -> bool:
    """Whether a request comes from this process or one that it has started."""
    wanted = base64.b64encode(f"seal:{secret}".encode()).decode()
    name = "proxy-authorization:"
    given = [line[len(name) :].split() for line in lines if line.lower().startswith(name)]
    return any(len(each) == 2 and secrets.compare_digest(each[1], wanted) for each in given)


def _direct(method: str, parts: Any, lines: list[str]) -> bytes:
    """The head of a request as the host itself gets it, for one exchange: a second request on the
    same connection could name another host."""
    target = parts.path or "/"
    target += f"?{parts.query}" if parts.query else ""
    dropped = ("proxy-", "connection:", "keep-alive:")
    kept = [line for line in lines[1:] if not line.lower().startswith(dropped)]
    head = [f"{method} {target} HTTP/1.1", *kept, "Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1")


def _refuse(client: socket.socket, status: str) -> None:
    client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


def _copy(client: socket.socket, remote: socket.socket) -> None:
    """Hand on what either side sends, until one of them ends."""
    while True:
        ready, _, _ = select.select([client, remote], [], [], _TIMEOUT_S)
        if not ready:
            return
        for source in ready:
            block = source.recv(_BLOCK_BYTES)
            if not block:
                return
            (remote if source is client else client).sendall(block)
