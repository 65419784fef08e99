"""What a server offers, to whom, and how much of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from seal.errors import OptionError
from seal.settings import check

SHORTEST_TOKEN = 32
"""Characters of the shortest token that a server takes: 32 hexadecimal digits are 128 bits."""

_AT_LEAST_ONE = (
    *("heavy_jobs", "queries", "answers", "clips", "burst"),
    *("max_body_bytes", "max_upload_bytes", "max_streams", "kept_jobs", "kept_alerts"),
)
_AT_LEAST_ZERO = ("waiting", "max_uploads", "min_free_bytes", "max_queued", "max_watches")


@dataclass(frozen=True)
class ServeOptions:
    """The options of `seal serve`."""

    host: str = "127.0.0.1"
    """The address to listen at. Every other address than a loopback address needs a token."""
    port: int = 8765
    """0 takes a free port."""
    token: str = ""
    """What a client has to send. Empty: everybody on this machine may ask."""
    names: tuple[str, ...] = ()
    """Further host names under which browsers reach the server, such as that of a proxy."""
    path_prefix: str = ""
    """The path under which a reverse proxy offers the server, such as "/seal"."""
    trusts_proxy: bool = False
    """Whether the address of a client is what a proxy says that it is."""
    media: tuple[Path, ...] = ()
    """Folders whose videos may be indexed."""
    hosts: tuple[str, ...] = ()
    """Hosts whose addresses may be indexed, watched and called."""
    allow_private: bool = False
    """Whether these hosts may lie in a private network, or on this machine."""
    state: Path | None = None
    """The folder of jobs, uploads, dialogues, watches and playable copies. By default it lies
    beside a store in a folder; with a store in an object store it must be given."""
    heavy_jobs: int = 1
    """How many jobs run at a time: videos that are indexed or copied."""
    jobs: int | None = None
    """Processes of each; by default one per core."""
    queries: int = max(os.cpu_count() or 1, 2)
    """How many queries are computed at a time."""
    answers: int = 16
    """How many questions wait for a model at a time."""
    clips: int = 2
    """How many clips are cut at a time."""
    max_clip_s: float = 600.0
    """The longest clip."""
    waiting: int = 64
    """How many more may wait."""
    requests_per_s: float = 100.0
    """How many requests a client may send for long."""
    burst: int = 400
    """How many requests a client may send at once."""
    max_body_bytes: int = 16 << 20
    """The longest request, but for uploads."""
    max_upload_bytes: int = 64 << 30
    """The longest upload."""
    max_uploads: int = 16
    """How many uploads may be unfinished at a time."""
    min_free_bytes: int = 2 << 30
    """What uploads and playable copies leave free of the disk."""
    max_queued: int = 1000
    """How many jobs may wait for their turn."""
    max_watches: int = 8
    """How many sources are watched at a time."""
    max_streams: int = 128
    """How many clients may follow jobs, answers and sources at a time."""
    kept_jobs: int = 10_000
    """Of how many jobs the server remembers what has come of them."""
    kept_alerts: int = 10_000
    """How many alerts the server remembers."""

    def __post_init__(self) -> None:
        check(self, 0 <= self.port <= 65535, "port must be 0 to 65535")
        for name in _AT_LEAST_ONE:
            check(self, getattr(self, name) >= 1, f"{name} must be at least 1")
        for name in _AT_LEAST_ZERO:
            check(self, getattr(self, name) >= 0, f"{name} must be at least 0")
        check(self, self.jobs is None or self.jobs >= 1, "jobs must be at least 1")
        check(self, self.requests_per_s > 0, "requests_per_s must be above 0")
        check(self, self.max_clip_s > 0, "max_clip_s must be above 0")
        prefix = self.path_prefix
        is_path = not prefix or (prefix.startswith("/") and not prefix.endswith("/"))
        check(self, is_path, 'path_prefix must begin with "/" and not end with it')
        self._check_token()

    def _check_token(self) -> None:
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise OptionError(
                f"the token has {len(self.token)} characters; at least {SHORTEST_TOKEN} are needed:"
                " make one with `openssl rand -hex 32`"
            )
        if not self.token.isprintable() or not self.token.isascii() or " " in self.token:
            raise OptionError("a token is of printable ASCII characters without spaces")
        reached = [name for name in (self.host, *self.names) if not is_loopback(name)]
        if not self.token and reached:
            raise OptionError(
                f"{reached[0]} can be reached from other machines: give a token with --token-file,"
                " or listen at 127.0.0.1 and under no other name"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host name or an address means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_server(path: str | Path) -> bool:
    """Whether a library is named by the address of a server, and not by a folder."""
    return str(path).lower().startswith(("http://", "https://"))
