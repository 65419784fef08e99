"""A process gives back what it has freed."""

import ctypes
import subprocess
import sys

import pytest

MB = 1 << 20
PIECES = """
from pathlib import Path
from seal.memory import trim

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

# Pieces too small to be mapped by themselves, with a small one kept between them.
pieces = [(bytearray(100_000), bytearray(600)) for _ in range(1000)]
kept = [small for _, small in pieces]
del pieces
before = resident()
trim()
print(before - resident())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc"
)
def test_freed_memory_between_what_is_held_goes_back():
    done = subprocess.run(
        [sys.executable, "-c", PIECES], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 50 * MB
