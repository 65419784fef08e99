"""A worker process: it indexes the parts that it is sent on stdin, and answers on stdout."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import time
import traceback
from typing import Any, BinaryIO, NamedTuple

import cv2

from seal.decompose import Models
from seal.errors import BackendError, VideoError
from seal.ingest.plan import Plan
from seal.ingest.work import index_part
from seal.logs import of_parent

_TICK_S = 0.2
"""How often a process says how far it is."""


class Ticked(NamedTuple):
    """How far a process is with a part."""

    number: int
    done_s: float


class Unreadable(NamedTuple):
    """A part that cannot be read."""

    number: int
    error: VideoError


class Failure(NamedTuple):
    """What a process raised, and where."""

    error: Exception
    traceback: str


def main() -> None:
    """Take options and models, then plans, each with the numbers of parts of it that follow, until
    the end of the input."""
    # Ctrl-C in a terminal goes to every process; the parent stops its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints goes to stderr, and a video read from stdin is not this pipe.
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    cv2.setNumThreads(1)
    last = time.monotonic()

    def say(message: Any) -> None:
        pickle.dump(message, answers)
        answers.flush()

    def tick(number: int, done_s: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _TICK_S:
            last = time.monotonic()
            say(Ticked(number, done_s))

    try:
        with of_parent():
            options, instances = _task(orders)
            received = _listen(orders)
            models = Models.load(options, instances)
            while True:
                order = received.get()
                if isinstance(order, Plan):
                    plan = order
                    continue
                try:
                    say(index_part(plan, order, models, tick))
                except VideoError as error:
                    # The error is about this part; the others may be readable.
                    say(Unreadable(order, error))
    except Exception as error:
        say(Failure(portable(error), traceback.format_exc()))
        # The listening thread holds the input: Python would not end in an orderly way.
        os._exit(1)


def portable(error: Exception) -> Exception:
    """The error, or one that says the same where the parent could not read it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BackendError(f"{type(error).__name__}: {error}")
    return error


def _task(orders: BinaryIO) -> Any:
    try:
        return pickle.load(orders)
    except EOFError:
        # There is nothing to do, or the parent has been killed.
        os._exit(0)
    except (AttributeError, ImportError) as error:
        raise BackendError(
            f"a model that was handed in cannot be found by another process ({error}); put its"
            " class into a module, or use one process: jobs=1"
        ) from error


def _listen(orders: BinaryIO) -> queue.SimpleQueue[Plan | int]:
    """Plans and numbers of parts as they come. The process ends at once when its input does: the
    parent has been killed."""
    received: queue.SimpleQueue[Plan | int] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                received.put(pickle.load(orders))
        except Exception:
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    return received
