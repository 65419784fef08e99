"""Starting worker processes: Ctrl-C is the parent's to handle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Worker processes that are started here ignore Ctrl-C; the parent stops them.

    A Ctrl-C meanwhile is heard when they have started. Windows has no signal masks: there the
    worker's own first line has to ignore the signal.
    """
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
