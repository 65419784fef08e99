"""Selection over every video of a large store: how long it takes, and what the index misses.

    python benchmarks/corpus.py [--tokens 1000000] [--videos 200] [--budget 128] [--runs 5]
                                [--store DIR] [--folder DIR]

The store is a real one, and so are the queries and their encoder. The tokens are those of the
videos indexed in `--store` (by default of the film and the clips in the shared data; without these,
random vectors), disturbed as they differ from each other. Recall: which of the exactly nearest
candidates, and which tokens of the exact choice, are found; value: of the choice among what is
found, against that among the exact ones. `--folder` keeps the made-up store, and what is in it
already is not made again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data import ROOT
from queries import made_up_record, random_tokens, timed
from seal import Options, Tokens, encode
from seal.ingest import index as index_video
from seal.library import LocalLibrary
from seal.nearest import NearestContent
from seal.store import Store

SPREAD = 0.5
"""Of the difference of two tokens that disturbs a third: their cosine is 0.84 in the mean."""
QUERIES = [
    "a red ball",
    "a dog runs on grass",
    "a big white rabbit",
    "a person pours coffee",
    "a car drives round a corner",
    "snow on mountains at night",
    "a butterfly",
    "hands stacking cups",
    "a close-up of a face",
    "text on a screen",
]


class ExactStore(Store):
    """Compares all tokens, video by video. The last answer is kept: it takes minutes."""

    _last: tuple[bytes, Tokens] | None = None

    def nearest(
        self,
        direction: np.ndarray,
        facets: int,
        limit: int,
        kinds: Sequence[str] | None = None,
    ) -> Tokens:
        if self._last is None or self._last[0] != direction.tobytes():
            best: list[Tokens] = []
            for video in self.videos():
                tokens = Tokens.concatenate([*best, self.tokens(video.id, kinds)])
                best = [tokens.take(np.argsort(-(tokens.embeddings @ direction))[:limit])]
            self._last = direction.tobytes(), best[0]
        return self._last[1]


def embeddings(folder: Path | None, dimension: int) -> np.ndarray:
    """[n, d] of all tokens in a store, or of the shared films, or random ones."""
    films = sorted((ROOT / "videos").rglob("*.mp4"))
    if not folder and not films:
        return random_tokens(4_000, 0, dimension, np.random.default_rng(1)).embeddings
    with tempfile.TemporaryDirectory() as temporary:
        store = Store(folder or temporary, create=True)
        for film in [] if folder else films:
            index_video(film, store, jobs=1)
        return np.concatenate([store.tokens(video.id).embeddings for video in store.videos()])


def fill(store: Store, n: int, videos: int, real: np.ndarray) -> None:
    """`n` tokens like the `real` ones in so many videos, each in one part."""
    keys, finish_s, began = {"scene": "k"}, [], time.perf_counter()
    record, known = made_up_record("", n // videos, Options.load()), store.counts()
    for video in range(videos):
        name, rng = f"v{video}", np.random.default_rng(video)
        if name in known:
            continue
        record = replace(record, id=name, path=f"{name}.mp4", content_id=name)
        tokens = random_tokens(n // videos, 0, real.shape[1], rng)
        one, other, third = rng.integers(0, len(real), (3, len(tokens)))
        vectors = real[one] + SPREAD * (real[other] - real[third])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        tokens = replace(tokens, embeddings=vectors, facets=vectors[:, None])
        pictures = dict.fromkeys(tokens.pts[:, 0].tolist(), b"not looked at")
        store.add(record.id, 0, keys, tokens, pictures)
        committed = time.perf_counter()
        store.finish(record, keys)
        finish_s.append(time.perf_counter() - committed)
    print(
        f"{n:,} tokens of {videos} videos stored: {time.perf_counter() - began:.0f} s, of these"
        f" {sum(finish_s):.0f} to commit, merge and index, at most"
        f" {max(finish_s, default=0):.1f} for a video"
    )


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def time_queries(folder: Path, budget: int, runs: int) -> None:
    """Prints how long a select takes in this process and in a new one."""
    library = LocalLibrary(Store(folder))
    library.select("warm up", budget=budget)
    print(
        f"select {budget}:"
        f" {timed(lambda query: library.select(query, budget=budget), QUERIES[:runs])}"
    )
    command = [sys.executable, "-m", "seal.cli", "select", "--all", QUERIES[0]]
    command += ["--store", str(folder), "--budget", str(budget)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    cpu_s, peak_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3
    print(f"a new process: {seconds:.1f} s, CPU time {cpu_s:.1f} s, peak memory {peak_mb:.0f} MB")


def named(tokens: Tokens) -> set[tuple[str, str]]:
    """What names each token in a library."""
    return set(zip(tokens.video_ids.tolist(), tokens.ids.tolist(), strict=True))


def compare(folder: Path, budget: int, runs: int) -> None:
    """Prints what the index misses."""
    libraries = [LocalLibrary(store) for store in (Store(folder), ExactStore(folder))]
    encoder = encode.load(Options().encode)
    limit = Options().attention.candidates
    recall, chosen, value = [], [], []
    for query in QUERIES[:runs]:
        found, wanted = (
            named(NearestContent(each.store, each.store.videos(), encoder, query, limit).tokens)
            for each in libraries
        )
        recall.append(len(found & wanted) / len(wanted))
        quick, exact = (each.select(query, budget=budget) for each in libraries)
        chosen.append(len(named(quick.tokens) & named(exact.tokens)) / len(exact))
        value.append(quick.objective / exact.objective)
    figures = {
        "recall of the candidates": recall,
        "recall of the choice": chosen,
        "value of the choice": value,
    }
    for name, shares in figures.items():
        print(f"{name}: mean {np.mean(shares):.4f}, worst {min(shares):.4f}")


def main(
    n: int, videos: int, budget: int, runs: int, source: Path | None, kept: Path | None
) -> None:
    dimension = encode.load(Options.load().encode).dimension
    real = embeddings(source, dimension)
    print(f"like {len(real):,} tokens")
    with tempfile.TemporaryDirectory() as temporary:
        folder = kept or Path(temporary) / "store"
        fill(Store(folder, create=True), n, videos, real)
        for table in folder.rglob("tokens_*.lance"):
            sizes = {part.name: megabytes(part) for part in table.iterdir()}
            print("on disk, MB:", ", ".join(f"{name} {size:.0f}" for name, size in sizes.items()))
        time_queries(folder, budget, runs)
        compare(folder, budget, runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--budget", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    main(given.tokens, given.videos, given.budget, given.runs, given.store, given.folder)
