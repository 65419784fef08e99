"""Selection over every video of a large store: how long it takes, and what the index misses.

    python benchmarks/corpus.py [--tokens 1000000] [--videos 20] [--budget 128] [--runs 3]

The tokens are unit vectors of the `mini` encoder's dimension around 2,000 random centres, in a real
store; the queries go through the real encoder and `seal.corpus`. Recall: which of the exactly
nearest candidates the index finds.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace

import numpy as np

from queries import made_up_record, random_tokens
from seal import Options, Store, encode
from seal.corpus import Corpus
from seal.types import Tokens

CENTRES = 2_000
SPREAD = 0.7
"""Length of the noise against that of a centre: neighbours have a cosine of about 0.7."""


def clustered(tokens: Tokens, centres: np.ndarray, rng: np.random.Generator) -> Tokens:
    """`tokens` whose embeddings, random so far, lie around centres."""
    vectors = SPREAD * tokens.embeddings + centres[rng.integers(0, len(centres), len(tokens))]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return replace(tokens, embeddings=vectors, facets=vectors[:, None])


def fill(store: Store, n: int, videos: int) -> None:
    options = Options.load()
    encoder = encode.load(options.encode)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CENTRES, encoder.dimension)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    keys = {"scene": "k"}
    for video in range(videos):
        record = made_up_record(f"v{video}", n // videos, options)
        tokens = clustered(random_tokens(n // videos, 0, encoder.dimension, rng), centres, rng)
        store.begin(record, keys)
        # One picture for all: nobody looks at them.
        spans = np.tile([0, n], (len(tokens), 1))
        shown = replace(tokens, pts=spans + np.arange(len(tokens))[:, None] * [0, 1])
        store.add(record.id, 0, keys, shown, {0: b"not looked at"})
        store.finish(record, keys)


def main(n: int, videos: int, budget: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, create=True)
        began = time.perf_counter()
        fill(store, n, videos)
        print(f"{n:,} tokens stored: {time.perf_counter() - began:.0f} s")
        found = {}
        for name in ("every token", "index"):
            if name == "index":
                began = time.perf_counter()
                store.optimize()
                print(f"index built: {time.perf_counter() - began:.0f} s")
            corpus = Corpus(Store(folder), [f"attention.budget={budget}"])
            corpus.select("warm up")
            times, candidates = [], []
            for i in range(runs):
                began = time.perf_counter()
                corpus.select(f"a red ball number {i}")
                times.append(time.perf_counter() - began)
                nearest = corpus.nearest(f"a red ball number {i}")
                candidates.append(
                    {(str(v), str(t)) for v, t in zip(nearest.video_ids, nearest.ids, strict=True)}
                )
            found[name] = candidates
            median, worst = statistics.median(times), max(times)
            print(f"{name}: select {budget}, median {median:.2f} s, worst {worst:.2f} s")
        pairs = zip(found["every token"], found["index"], strict=True)
        recall = [len(exact & quick) / len(exact) for exact, quick in pairs]
        print(f"recall of the candidates: mean {np.mean(recall):.3f}, worst {min(recall):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--budget", type=int, default=128)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.tokens, arguments.videos, arguments.budget, arguments.runs)
