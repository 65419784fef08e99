"""Python processes that start at once, because SEAL is loaded in them already.

Most of what a short command does is importing. `python()` stands for `sys.executable` in a command
line, and asks a process that has done that to fork. What runs then is a process of its own: it has
the arguments, folder, environment and standard files of the command, takes its signals, and gives
it its exit code. Tests of the start, of what is imported, and of kills take `sys.executable`.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

_LOADED = "seal.cli.serve seal.ingest seal.answer seal.show seal.serve.app seal.evaluate.film cv2"
_OPTIONAL = "openai torch"
_LONGEST = 1 << 20
"""Bytes of a message: arguments and environment."""

# What stands in the command line: it sends its own standard files, passes signals on, and ends as
# the other process has ended. With other packages, such as plug-ins, Python starts anew.
_STAND_IN = """
import json, os, signal, socket, sys
address, python_path, *arguments = sys.argv[1:]
if os.environ.get("PYTHONPATH", "") != python_path:
    os.execv(sys.executable, [sys.executable, *arguments])
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as started:
    started.connect(address)
    asked = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    socket.send_fds(started, [json.dumps(asked).encode()], [0, 1, 2])
    process = int(started.recv(100))
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, frame: os.kill(process, number))
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    code = int(started.recv(100) or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@functools.cache
def python() -> tuple[str, ...]:
    """The beginning of a command line, before `-m MODULE`, `-c CODE` or a file, and arguments."""
    if not hasattr(os, "pidfd_open"):
        return (sys.executable,)
    folder = Path(tempfile.mkdtemp(prefix="seal-"))
    (folder / "stand_in.py").write_text(_STAND_IN)
    address = str(folder / "socket")
    process = subprocess.Popen(
        [sys.executable, __file__, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def end() -> None:
        process.communicate()  # It ends when its input does.
        shutil.rmtree(folder)

    atexit.register(end)
    assert process.stdout.readline() == b"ready\n"
    python_path = os.environ.get("PYTHONPATH", "")
    return sys.executable, "-I", "-S", str(folder / "stand_in.py"), address, python_path


class _Forking:
    """Starts a process for each connection. One that is cut has its process killed."""

    def __init__(self, address: str) -> None:
        self._events = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(address)
        self._listener.listen(64)
        self._events.register(self._listener, selectors.EVENT_READ)
        self._events.register(0, selectors.EVENT_READ)

    def next_asked(self) -> dict[str, Any] | None:
        """Comes back in each process that is started, with what it is to do; None at the end."""
        while True:
            for key, _ in self._events.select():
                if key.fileobj is self._listener:
                    if asked := self._forked():
                        return asked
                elif key.fileobj == 0:
                    return None
                elif isinstance(key.fileobj, socket.socket):
                    self._cut(key.fileobj, *key.data)
                else:
                    self._ended(*key.data)

    def _forked(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        message, files, _, _ = socket.recv_fds(connection, _LONGEST, 3)
        process = os.fork()
        if not process:
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            for key in list(self._events.get_map().values()):
                if key.fd:
                    os.close(key.fd)
            connection.close()
            asked: dict[str, Any] = json.loads(message)
            return asked
        for file in files:
            os.close(file)
        with suppress(OSError):
            connection.send(str(process).encode())
        end = os.pidfd_open(process)
        self._events.register(connection, selectors.EVENT_READ, (process, end))
        self._events.register(end, selectors.EVENT_READ, (connection, process, end))
        return None

    def _cut(self, connection: socket.socket, process: int, end: int) -> None:
        os.kill(process, signal.SIGKILL)
        self._events.unregister(connection)

    def _ended(self, connection: socket.socket, process: int, end: int) -> None:
        _, status = os.waitpid(process, 0)
        with suppress(OSError):
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        with suppress(KeyError):
            self._events.unregister(connection)
        self._events.unregister(end)
        os.close(end)
        connection.close()


def _become(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do what Python would do with this command line."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    first, *others = arguments
    sys.path[0] = ""
    if first == "-m":
        sys.argv = others
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *others[1:]]
        exec(others[0], {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = arguments, os.path.dirname(os.path.abspath(first))
        runpy.run_path(first, run_name="__main__")


def _main(address: str) -> None:
    forking = _Forking(address)
    for name in _LOADED.split():
        import_module(name)
    dependencies = import_module("seal.dependencies")
    dependencies.onnxruntime()
    dependencies.lancedb()
    for name in _OPTIONAL.split():
        with suppress(ImportError):
            import_module(name)
    warnings.filterwarnings("ignore", "lancedb fork support", RuntimeWarning)
    gc.freeze()
    os.write(1, b"ready\n")
    if asked := forking.next_asked():
        _become(**asked)


if __name__ == "__main__":
    _main(sys.argv[1])
