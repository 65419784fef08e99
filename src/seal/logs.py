"""Log records and printed lines as lines on stderr, for the command and the processes it starts.

SEAL logs through the standard library, under "seal". The library itself shows nothing: a program
sets up logging as it likes. Within `shown` the records of SEAL and of all other packages, and the
warnings of Python, become lines on stderr. The environment tells worker processes how many.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from seal.printing import printable, printable_lines

ROOT = "seal"
"""The name of the logger above all others of SEAL."""
_ENVIRONMENT = "SEAL_VERBOSITY"
QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2
_LEVELS = {
    QUIET: (logging.ERROR, logging.ERROR),
    NORMAL: (logging.WARNING, logging.WARNING),
    VERBOSE: (logging.INFO, logging.WARNING),
    DEBUG: (logging.DEBUG, logging.INFO),
}
"""The least level of records of SEAL, and of other packages."""


class _ToStderr(logging.Handler):
    """Writes each record as a line on the stderr of the moment; a traceback over many lines."""

    def emit(self, record: logging.LogRecord) -> None:
        own = record.name == ROOT or record.name.startswith(f"{ROOT}.")
        try:
            text = printable(record.getMessage().strip())
            lines = [f"seal: {text}" if own else f"seal: {record.name}: {text}"]
            if record.exc_info:
                lines.append(printable_lines(logging.Formatter().formatException(record.exc_info)))
            sys.stderr.write("\n".join(lines) + "\n")
        except Exception:
            self.handleError(record)


class _Printed(io.TextIOBase):
    """Stands in for stdout: a line that is written is a record, and stays out of the results."""

    def __init__(self) -> None:
        self._rest = ""
        self._log = logging.getLogger(f"{ROOT}.printed")

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._log.info(line.rpartition("\r")[2])
        return len(text)


@contextmanager
def shown(verbosity: int) -> Iterator[None]:
    """Records and warnings are lines on stderr: `QUIET` errors alone, `VERBOSE` what SEAL does and
    what is printed, `DEBUG` all of SEAL and more of other packages."""
    own, others = _LEVELS[max(QUIET, min(verbosity, DEBUG))]
    root, seal = logging.getLogger(), logging.getLogger(ROOT)
    before = root.level, seal.level, os.environ.get(_ENVIRONMENT)
    handler = _ToStderr()
    root.addHandler(handler)
    root.setLevel(others)
    seal.setLevel(own)
    logging.captureWarnings(True)
    os.environ[_ENVIRONMENT] = str(verbosity)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before[0])
        seal.setLevel(before[1])
        if before[2] is None:
            del os.environ[_ENVIRONMENT]
        else:
            os.environ[_ENVIRONMENT] = before[2]


@contextmanager
def of_parent() -> Iterator[None]:
    """In a worker process, what its parent shows; nothing unless the parent shows anything."""
    verbosity = os.environ.get(_ENVIRONMENT)
    if verbosity is None:
        yield
        return
    with shown(int(verbosity)), printed_apart():
        yield


@contextmanager
def printed_apart() -> Iterator[None]:
    """What is printed to stdout are log records at the level INFO, named "seal.printed"."""
    with redirect_stdout(_Printed()):
        yield


def is_quiet() -> bool:
    """Whether errors alone are shown."""
    return not logging.getLogger(ROOT).isEnabledFor(logging.WARNING)
