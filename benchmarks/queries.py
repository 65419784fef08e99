"""How long a query takes over 100,000 stored tokens, once they are loaded.

    python benchmarks/queries.py [--tokens 100000] [--runs 20] [--words SHARE]

The tokens are random unit vectors of the `mini` encoder's dimension in a real store; the queries go
through the real encoder, `Scope.select` (16 tokens) and `Scope.find`. With `--words` this share of
the tokens is speech: sentences of 12 words, as often as words are by Zipf's law, some of them those
of the queries. `candidates of all` is then what `--all` looks for in the store by vectors and by
words.
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
from seal.encode import Encoder
from seal.nearest import NearestContent
from seal.scope import Scope
from seal.store import Store, VideoRecord

PART = 10_000
SENTENCE = 12
VOCABULARY = ["a", "number", *(f"word{i}" for i in range(200)), "red", "ball"]
VOCABULARY += [f"word{i}" for i in range(200, 20_000)]


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


def random_speech(n: int, first: int, encoder: Encoder, rng: np.random.Generator) -> Tokens:
    """n speech tokens, one a second, from second `first` on."""
    ranks = np.arange(1, len(VOCABULARY) + 1)
    shares = 1 / ranks / (1 / ranks).sum()
    words = rng.choice(VOCABULARY, (n, SENTENCE), p=shares)
    texts = [" ".join(row) for row in words.tolist()]
    start = np.arange(first, first + n)
    return Tokens.of(
        np.full(n, "speech"),
        np.stack([start, start + 1], 1),
        Fraction(1),
        encoder.encode_texts(texts)[:, None],
        ids=[f"speech-{i}" for i in range(first, first + n)],
        video_id="v",
        text=texts,
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


def main(n: int, runs: int, words: float) -> None:
    options = Options.load()
    encoder = encode.load(options.encode)
    record = made_up_record("v", n, options)
    rng = np.random.default_rng(0)
    keys = {"scene": "k", "speech": "k"} if words else {"scene": "k"}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, create=True)
        store.begin(record, keys)
        for part, first in enumerate(range(0, n, PART)):
            size = min(PART, n - first)
            said = round(words * size)
            tokens = random_tokens(size - said, first, encoder.dimension, rng)
            pictures = dict.fromkeys(tokens.pts[:, 0].tolist(), b"not looked at")
            if said:
                speech = random_speech(said, first, encoder, rng)
                tokens = Tokens.concatenate([tokens, speech])
            store.add("v", part, keys, tokens, pictures)
        store.finish(record, keys)
        began = time.perf_counter()
        video = Scope.of(Store(folder), "v", "show")
        print(f"load {len(video.tokens):,} tokens: {time.perf_counter() - began:.2f} s")
        video.select("warm up")
        queries = [f"a red ball number {i}" for i in range(runs)]
        for name, call in (("select", video.select), ("find", video.find)):
            print(f"{name}: {timed(call, queries)}")
        if words:
            most = options.attention.candidates
            print(
                "candidates of all:",
                timed(lambda query: NearestContent(store, [record], encoder, query, most), queries),
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--words", type=float, default=0.0)
    arguments = parser.parse_args()
    main(arguments.tokens, arguments.runs, arguments.words)
