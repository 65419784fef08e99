"""What went wrong in Lance, read from its messages.

LanceDB raises plain ValueError, RuntimeError and OSError (and Rust panics on garbage) for
everything, so only the message tells the errors apart. Nothing else in SEAL reads these messages.
The signs are those of lancedb 0.40; tests/test_store_signs.py makes each error happen, and fails
where a newer lancedb words it differently.
"""

from __future__ import annotations

from typing import Literal

Cause = Literal["full", "conflict", "gone", "other"]

_SIGNS: dict[Cause, tuple[str, ...]] = {
    # ENOSPC and EDQUOT, as Rust and as Python write them.
    "full": ("os error 28", "os error 122", "errno 28", "errno 122"),
    # Another process committed while this one prepared a commit.
    "conflict": ("commit conflict", "concurrent"),
    # A file of a snapshot is missing.
    "gone": ("not found", "no such file"),
}


def cause_of(error: BaseException) -> Cause:
    """Why Lance or the disk raised an error: no space is left ("full"), another process committed
    first ("conflict"), a file of the snapshot is missing ("gone"), or something else."""
    message = str(error).lower()
    for cause, signs in _SIGNS.items():
        if any(sign in message for sign in signs):
            return cause
    return "other"
