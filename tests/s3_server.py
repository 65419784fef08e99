"""An S3 server on this machine: `moto_server`, a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

SECRET = "this-is-a-secret-key"
_PATIENCE_S = 60.0
_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=an-access-key/20260101/us-east-1/s3/aws4_request,"
    " SignedHeaders=host, Signature=0"
)
"""The server looks at the name of the key alone."""

only_folders = pytest.mark.parametrize("place", ["folder"], indirect=True)
"""A test of what a store in a folder has alone."""
only_s3 = pytest.mark.parametrize("place", ["s3"], indirect=True)


class S3Server:
    """A running server."""

    def __init__(self, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which clients find it."""
        return {
            "AWS_ENDPOINT": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "an-access-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def new_address(self) -> str:
        """The address of a store that is not there yet, in a bucket of its own: to list one prefix
        takes the server as long as to list the bucket."""
        bucket = f"seal-{uuid4().hex}"
        self.put(f"s3://{bucket}", b"")
        return f"s3://{bucket}/a/store"

    def put(self, address: str, content: bytes) -> None:
        """Put an object, or make a bucket."""
        url = f"{self.url}/{address.removeprefix('s3://')}"
        # Without a type the server takes it for a form; strangers may not replace an object.
        headers = {"content-type": "application/octet-stream", "authorization": _SIGNED}
        request = urllib.request.Request(url, content, headers, method="PUT")
        with urllib.request.urlopen(request, timeout=_PATIENCE_S):
            pass

    def requests(self) -> list[str]:
        """The lines of all requests so far, such as "GET /seal/x"."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line.split('"')[1] for line in lines if '"' in line and "HTTP/1.1" in line]


def executable() -> str | None:
    """`moto_server` beside this Python or on the path; None where it is not installed."""
    beside = Path(sys.executable).with_name("moto_server")
    return str(beside) if beside.exists() else shutil.which("moto_server")


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[S3Server]:
    """A server that writes its log into a folder. Needs `executable()`."""
    command, log = executable(), folder / "s3.log"
    assert command
    with log.open("wb") as file:
        process = subprocess.Popen(
            [command, "-H", "127.0.0.1", "-p", "0"],
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield S3Server(_port(process, log), log)
        finally:
            process.terminate()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the server has chosen, which its log says."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(IndexError, ValueError):
            return int(log.read_text().partition("Running on http://127.0.0.1:")[2].split()[0])
        time.sleep(0.05)
    raise AssertionError(f"moto_server does not run: {log.read_text()}")
