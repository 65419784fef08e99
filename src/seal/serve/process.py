"""A worker process of the server, from the side of the server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from seal.processes import uninterrupted
from seal.serve.gate import Gate
from seal.serve.state import packed

_COMMAND = "from seal.serve.worker import main; main()"
_PATIENCE_S = 10.0
"""How long a worker may take to end when it is told to."""


class WorkerProcess:
    """A process at one piece of work: see `seal.serve.worker`."""

    def __init__(self, kind: str, spec: Mapping[str, Any], gate: Gate) -> None:
        """`spec` is what the worker is told about work of this `kind`, as JSON.

        `gate` is that of now: the operator may have changed it since the work was queued.
        """
        with uninterrupted():
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._work = {"kind": kind, **spec, "gate": gate.to_json()}

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the worker says, until it ends."""
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        with suppress(BrokenPipeError):
            # The pipe stays open: its end tells the worker that the server is gone.
            orders.write(packed(self._work) + "\n")
            orders.flush()
        for line in answers:
            if line.endswith("\n"):  # A process that was killed may leave half a line.
                yield json.loads(line)

    def end(self) -> None:
        """Tell the worker to end; one that does not hear it, deep in a library, is killed."""
        self._process.terminate()
        timer = threading.Timer(_PATIENCE_S, self._process.kill)
        timer.daemon = True
        timer.start()

    def close(self) -> str:
        """Wait for the end of the worker; gives back how it has ended, for people."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        self._process.kill()
        self._process.communicate()
        code = self._process.returncode
        return f"code {code}" if code >= 0 else signal.Signals(-code).name
