"""The process of one job or one watch: it takes the work on stdin and writes progress to stdout.

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
from dataclasses import asdict, replace
from typing import Any, TextIO

from seal.errors import SealError
from seal.logs import of_parent
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
        with of_parent():
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

    library = LocalLibrary.at(job["store"], defaults=_defaults(job))
    paths = {record.location: record.path for record in library.store.videos()}
    with all_through(Gate.from_json(job["gate"])):
        video = library.index(
            job["source"],
            profile=job["profile"],
            quick=job["quick"],
            jobs=job["jobs"],
            options=job["options"],
            on_progress=_now_and_then(say),
        )
    # A server names a file by where it lies; whoever indexed it first has named it otherwise.
    record = library.store.record(video.id)
    path = paths.get(record.location, record.path)
    if path != record.path:
        library.store.finish(replace(record, path=path), record.keys)
    return str(video.id)


def _defaults(job: Mapping[str, Any]) -> list[str]:
    # Jobs of servers without configuration files outlive these servers.
    return list(job.get("defaults", ()))


def _playable(job: Mapping[str, Any], say: Say) -> str:
    """Make a copy of a video that browsers play; gives back the id of the video."""
    from seal.serve.playable import make_copy

    return make_copy(job, _now_and_then(say))


def _now_and_then(say: Say) -> Callable[[Any], None]:
    """Has progress said when a stage begins, and then every `_TICK_S`."""
    last, stage = 0.0, ""

    def on_progress(progress: Any) -> None:
        nonlocal last, stage
        if time.monotonic() - last >= _TICK_S or progress.stage != stage:
            last, stage = time.monotonic(), progress.stage
            say(asdict(progress))

    return on_progress


def _watch(job: Mapping[str, Any], say: Say) -> str:
    """Watch a source until it ends."""
    from seal.library import LocalLibrary

    with all_through(Gate.from_json(job["gate"])):
        windows = LocalLibrary.at(job["store"], defaults=_defaults(job)).watch(
            job["source"],
            job["queries"],
            window_s=job["window_s"],
            budget=job["budget"],
            state=job["state"],
            profile=job["profile"],
            options=job["options"],
            say=lambda text: say({"told": text}),
        )
        for window in windows:
            say({"window": window.to_json()})
    return str(job["source"])


_WORK: dict[str, Callable[[Mapping[str, Any], Say], str]] = {
    "index": _index,
    "playable": _playable,
    "watch": _watch,
}
"""By kind of work, what does it. The text that comes back is what the last message holds."""
