"""A real `seal serve` on loopback, and a client that says what came back."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from forked import python


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    url: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    """What the server has written to stderr, line by line."""

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """A request; a body that is not bytes is sent as JSON."""
        data, headers = body, dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return _reply(reply)
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error)

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.send("POST", path, {} if body is None else body, headers)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _reply(reply: Any) -> Reply:
    headers = {key.lower(): value for key, value in reply.headers.items()}
    return Reply(reply.status, headers, reply.read())


@contextmanager
def serving(
    store: Path | str, *flags: str, program: Sequence[str] = (), **extra: Any
) -> Iterator[Server]:
    """A server of a store on a free port of loopback, until the block ends.

    `program` is the Python to run it; one that is killed needs a process from `sys.executable`.
    """
    command = ["-m", "seal.cli", "serve", "--store", str(store), "--port", "0", *flags]
    process = subprocess.Popen(
        [*(program or python()), *command],
        stderr=subprocess.PIPE,
        text=True,
        **extra,
    )
    assert process.stderr is not None
    try:
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r" at (http://\S+)/$", line.strip()):
                break
        else:
            raise AssertionError(f"the server has not started: {''.join(said)}")
        server = Server(found[1], process, said)
        threading.Thread(target=_listen, args=(process.stderr, said), daemon=True).start()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def _listen(lines: Any, said: list[str]) -> None:
    with suppress(ValueError):  # The test has ended, and closed them.
        said.extend(lines)
