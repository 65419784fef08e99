"""How long a query takes over 100,000 stored tokens, once they are loaded.

    python benchmarks/queries.py [--tokens 100000] [--runs 20]

The tokens are random unit vectors of the `mini` encoder's dimension in a real store; the queries go
through the real encoder, `Scope.select` (16 tokens) and `Scope.find`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from seal import Options, Tokens, encode
from seal.config import as_dict
from seal.scope import Scope
from seal.store import Store, VideoRecord

PART = 10_000


def random_tokens(n: int, first: int, dimension: int, rng: np.random.Generator) -> Tokens:
    """n scene tokens, one a second, from second `first` on."""
    vectors = rng.normal(size=(n, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = np.arange(first, first + n)
    return Tokens.of(
        np.full(n, "scene"),
        np.stack([start, start + 1], 1),
        Fraction(1),
        vectors[:, None],
        ids=[f"scene-{i}" for i in range(first, first + n)],
        video_id="v",
    )


def made_up_record(video_id: str, duration_s: float, options: Options) -> VideoRecord:
    """A video that exists only as tokens, of the encoder of these options."""
    return VideoRecord(
        id=video_id,
        path=f"{video_id}.mp4",
        location=f"/{video_id}.mp4",
        content_id=video_id,
        duration_s=float(duration_s),
        start_s=0.0,
        width=640,
        height=360,
        codec="h264",
        rate_hz=25.0,
        profile="mini",
        encoder=encode.load(options.encode).fingerprint,
        encoder_options=as_dict(options.encode),
        options={},
        indexed_at="",
        seconds=0.0,
    )


def timed(call: Callable[[str], object], queries: Iterable[str]) -> str:
    """How long a call takes, in words; CPU time is that of all threads."""
    times, cpu = [], []
    for query in queries:
        began, began_cpu = time.perf_counter(), time.process_time()
        call(query)
        times.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - began_cpu))
    median, median_cpu = statistics.median(times), statistics.median(cpu)
    return f"median {median:.0f} ms, worst {max(times):.0f}; CPU time: median {median_cpu:.0f} ms"


def main(n: int, runs: int) -> None:
    options = Options.load()
    encoder = encode.load(options.encode)
    record = made_up_record("v", n, options)
    rng = np.random.default_rng(0)
    keys = {"scene": "k"}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, create=True)
        store.begin(record, keys)
        for part, first in enumerate(range(0, n, PART)):
            tokens = random_tokens(min(PART, n - first), first, encoder.dimension, rng)
            pictures = dict.fromkeys(tokens.pts[:, 0].tolist(), b"not looked at")
            store.add("v", part, keys, tokens, pictures)
        store.finish(record, keys)
        began = time.perf_counter()
        video = Scope.of(Store(folder), "v", "show")
        print(f"load {len(video.tokens):,} tokens: {time.perf_counter() - began:.2f} s")
        video.select("warm up")
        for name, call in (("select", video.select), ("find", video.find)):
            print(f"{name}: {timed(call, [f'a red ball number {i}' for i in range(runs)])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    main(arguments.tokens, arguments.runs)
