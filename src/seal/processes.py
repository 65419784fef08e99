"""Starting worker processes: their environment, and Ctrl-C, which is the parent's to handle."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Environment variables for the processes that are started here, and no longer."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Worker processes that are started here ignore Ctrl-C; the parent stops them.

    A Ctrl-C meanwhile is heard when they have started. Windows has no signal masks: there the
    worker's own first line has to ignore the signal.
    """
    # The process that keeps track of resources unblocks the signal as it is started itself.
    resource_tracker.ensure_running()
    heard: list[int] = []
    # A thread of a library may hear it for us: it waits until they have all they are started with.
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda *_: heard.append(1)) if is_main else None
    has_masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_masks else set()
    try:
        yield
    finally:
        if has_masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if is_main:
            signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
        if heard:
            signal.raise_signal(signal.SIGINT)
