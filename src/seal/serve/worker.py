"""The process of one job: it takes the job on stdin and writes its progress to stdout.

Messages are JSON lines; the last line is {"done": VIDEO} or {"failed": REASON}. The process ends at
once when its input ends: then the server has been killed, and will start the job anew.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TextIO

from seal.errors import SealError
from seal.serve.gate import Gate, all_through

_TICK_S = 0.25
"""How often a process says how far it is."""

Say = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Do the job that stands in the first line of the input."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Ctrl-C in a terminal goes to every process; the server ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints goes to stderr, and a video read from stdin is not this pipe.
    orders, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    first = orders.readline()
    if not first:
        os._exit(0)
    threading.Thread(target=_end_with, args=(orders,), daemon=True).start()

    def say(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    job = json.loads(first)
    try:
        say({"done": _WORK[job.pop("kind")](job, say)})
    except SealError as error:
        say({"failed": str(error)})
    except KeyboardInterrupt:
        pass  # The server has told the process to end.
    except Exception as error:
        traceback.print_exc()
        say({"failed": f"{type(error).__name__}: {error}"})
    finally:
        # The listening thread holds the input: Python would not end in an orderly way.
        sys.stderr.flush()
        os._exit(0)


def _end_with(orders: TextIO) -> None:
    orders.read()
    os._exit(0)


def _index(job: Mapping[str, Any], say: Say) -> str:
    """Index a video; gives back its id."""
    from seal.library import LocalLibrary

    last = -_TICK_S

    def on_progress(progress: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= _TICK_S or progress.stage != "indexing":
            last = time.monotonic()
            say(asdict(progress))

    library = LocalLibrary.at(job["store"])
    with all_through(Gate(tuple(job["hosts"]), job["allow_private"])):
        video = library.index(
            job["source"],
            profile=job["profile"],
            quick=job["quick"],
            jobs=job["jobs"],
            options=job["options"],
            on_progress=on_progress,
        )
    return str(video.id)


_WORK: dict[str, Callable[[Mapping[str, Any], Say], str]] = {"index": _index}
"""By kind of job, what does it."""
