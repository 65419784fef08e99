"""A hub of models on loopback: what the hub's client needs of the protocol, and faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Request:
    method: str
    path: str
    range: str | None


@dataclass
class Hub:
    """What the server has, and what it was asked."""

    models: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    """Models for which any token is refused, with 403."""
    breaks: dict[str, int] = field(default_factory=dict)
    """Files by name, and how often their connection still breaks after half of what was asked."""
    on_file: Callable[[str], None] = lambda _: None
    """Told the name of each file before it is sent."""
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def commit(self, name: str) -> str:
        content = sha1(name.encode())
        for path in files_of(self.models[name]):
            content.update(path.read_bytes())
        return content.hexdigest()

    def fetched(self) -> list[str]:
        """The files whose contents were asked for, in order."""
        return [each.path.split("/")[-1] for each in self.requests if each.method == "GET"
                and "/resolve/" in each.path]  # fmt: skip


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def entry(folder: Path, path: Path) -> dict[str, Any]:
    """A file as the hub lists it; the large ones are kept apart, by their SHA-256."""
    data = path.read_bytes()
    blob = sha1(b"blob %d\0" % len(data) + data).hexdigest()
    listed: dict[str, Any] = {
        "path": path.relative_to(folder).as_posix(), "size": len(data), "oid": blob,
    }  # fmt: skip
    if path.suffix in (".safetensors", ".bin"):
        digest = sha256(data).hexdigest()
        listed["lfs"] = {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 134}
    return listed


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(Request(self.command, path, self.headers.get("Range")))
        parts = path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        name, rest = (
            ("/".join(parts[2:4]), parts[4:]) if is_api else ("/".join(parts[:2]), parts[2:])
        )
        if name not in self.hub.models:
            # So the hub answers to those who are not logged in, whether or not there is a model.
            return self._fail(401, "RepoNotFound")
        if name in self.hub.refusing:
            return self._fail(403, "")
        if name in self.hub.gated and rest[:1] in (["auth-check"], ["resolve"]):
            return self._fail(401, "GatedRepo")
        commit = self.hub.commit(name)
        if len(rest) > 1 and rest[1] not in ("main", commit):
            return self._fail(404, "RevisionNotFound")
        if not is_api:
            return self._send_file(self.hub.models[name] / "/".join(rest[2:]), commit)
        if rest[:1] == ["tree"]:
            return self._send_json([{"type": "file", **each} for each in self._entries(name)])
        siblings = [
            {"rfilename": each["path"], "size": each["size"], "blobId": each["oid"]}
            | ({"lfs": each["lfs"]} if "lfs" in each else {})
            for each in self._entries(name)
        ]
        gated = "manual" if name in self.hub.gated else False
        return self._send_json({"id": name, "sha": commit, "gated": gated, "siblings": siblings})

    def _entries(self, name: str) -> list[dict[str, Any]]:
        folder = self.hub.models[name]
        return [entry(folder, path) for path in files_of(folder)]

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, path: Path, commit: str) -> None:
        if not path.is_file():
            return self._fail(404, "EntryNotFound")
        listed = entry(path.parent, path)
        data = path.read_bytes()
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{listed.get("lfs", listed)["oid"]}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return None
        self.hub.on_file(path.name)
        body = data[start:]
        if self.hub.breaks.get(path.name, 0):
            self.hub.breaks[path.name] -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
        return None
