"""What a stream of tokens costs from hour 1 to hour 24.

    python benchmarks/streaming.py [--hours 24] [--objective seal]

Synthetic tokens at the rate of the profile `mini`, 300 a minute, a minute at a time, through
`seal.attention.streaming.Stream` with two standing queries of 64 tokens each: milliseconds of CPU
time per window, the resident memory of the process, and the size of the saved state.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from queries import random_tokens
from seal.attention.streaming import Stream
from seal.config import AttentionOptions, WatchOptions

DIMENSION = 256
RATE = 300
"""Tokens a minute."""
SCENES = 40
"""What is seen changes: so many centres, another one every few minutes."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(hours: int, objective: str) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(SCENES, DIMENSION)).astype(np.float32) / np.float32(DIMENSION**0.5)
    options = AttentionOptions(budget=WatchOptions().budget, objective=objective)
    stream = Stream(DIMENSION, options)
    for name in ("a", "b"):
        query = rng.normal(size=DIMENSION).astype(np.float32)
        stream.ask(name, query / np.float32(np.linalg.norm(query)))
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        for hour in range(1, hours + 1):
            times = []
            for minute in range(60):
                tokens = random_tokens(RATE, 60 * (60 * (hour - 1) + minute), DIMENSION, rng)
                vectors = tokens.embeddings + centres[(minute // 3 + 7 * hour) % SCENES]
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                tokens = replace(tokens, embeddings=vectors, facets=vectors[:, None])
                began = time.process_time()
                stream.push(tokens)
                stream.save(state, {})
                times.append(1000 * (time.process_time() - began))
            size = state.stat().st_size / 1e6
            print(
                f"hour {hour:2d}: median {np.median(times):.0f} ms a window,"
                f" {resident_mb():.1f} MB resident, {size:.1f} MB of state",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--objective", default=AttentionOptions().objective)
    arguments = parser.parse_args()
    main(arguments.hours, arguments.objective)
