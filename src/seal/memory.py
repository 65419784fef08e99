"""Memory of a process that runs for days."""

from __future__ import annotations

import ctypes
import sys


def trim() -> None:
    """Give freed memory back to the system.

    The allocator of glibc has a heap for each thread and gives back only what lies at its end, so
    that a process with many threads grows long after it holds no more. Other systems need no help.
    """
    if sys.platform == "linux":
        # musl has no such function.
        release = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if release is not None:
            release(0)
