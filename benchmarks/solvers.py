"""How good selections are, how closely bounded, and how fast, also beside other libraries.

    python benchmarks/solvers.py exact|gap|speed|sample|peers ... [--store DIR] [--tokens 10000]

exact   value against the best choice, and bounds below it, on random instances of up to 40 tokens
gap     how far a better choice could be ahead of 64 tokens, after about 2 s
speed   milliseconds for 64 tokens from embeddings, bound included, wall and CPU time
sample  what `coverage` loses by representing a sample of the tokens instead of all
peers   the same choices by apricot-select and submodlib, from similarities that are given to them

All but the first use the tokens of Big Buck Bunny and the clips of `videos/needles.json`, indexed
into DIR first, which takes some minutes and is kept; slightly disturbed copies fill them up. The
number of cores is what OMP_NUM_THREADS says, or all.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data import ROOT
from seal import IndexedVideo, Store, encode, index_video, registry
from seal.attention import Budget, Candidates, Objective, choose, coverage, relevance
from seal.config import AttentionOptions, MiniEncode
from seal.evaluate.haystack import FILM, read_needles
from seal.types import Int64, Selection, Tokens

OBJECTIVES = registry.names("objective")
DEFAULT = AttentionOptions()
BUDGET = 64
DISTURBANCE = 0.05
"""Length of what is added to a copy of an embedding, whose length is 1."""
RUNS = 5
CERTIFY_S = 1.7
"""Of the 2 s, what is left for the bound."""


def make(name: str, c: Candidates, size: int, options: AttentionOptions) -> Objective:
    objective: Objective = registry.resolve("objective", name)(c, size, options)
    return objective


def timed(call: Callable[[], Any], runs: int = 1) -> tuple[Any, float, float]:
    """What `call` returns, and the least seconds of wall and of CPU time of some runs."""
    times = []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result, min(t[0] for t in times), min(t[1] for t in times)


def summary(values: list[float]) -> str:
    return f"{np.mean(values):.5f} ({np.min(values):.4f})"


# Random instances


def instance(rng: np.random.Generator) -> Candidates:
    """Negative cosines; every other time each embedding twice, or no negative relevance."""
    n = int(rng.integers(12, 41))
    embeddings = rng.normal(size=(n, 8)).astype(np.float32)
    if rng.integers(2):
        embeddings[n // 2 :] = embeddings[: n - n // 2]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = rng.uniform(-1 if rng.integers(2) else 0, 1, n).astype(np.float32)
    return Candidates(scores, embeddings, rng.uniform(0, 100, n))


def limited(rng: np.random.Generator, n: int, size: int) -> Budget:
    """A token that has to be in, one that must not be, and unequal costs."""
    one, other = np.split(rng.permutation(n)[:2], 2)
    return Budget(1.5 * size + 3, rng.choice([1.0, 1.5, 3.0], n), one, other)


def exact(arguments: argparse.Namespace) -> None:
    print("| objective | budget | greedy | swaps | stochastic | gap | bounds below | exact, s |")
    for name in OBJECTIVES:
        for kind in ("plain", "limited"):
            rng = np.random.default_rng(0)
            shares: dict[str, list[float]] = {"greedy": [], "swaps": [], "stochastic": []}
            gaps, seconds, below = [], [], 0
            for _ in range(arguments.instances):
                c, size = instance(rng), int(rng.integers(2, 11))
                plain = Budget.of(size, len(c))
                budget = plain if kind == "plain" else limited(rng, len(c), size)
                options = AttentionOptions(objective=name, budget=size)
                best, _, cpu_s = timed(
                    lambda o=options, c=c, b=budget: choose(c, replace(o, solver="exact"), b)
                )
                seconds.append(cpu_s)
                for solver, share in shares.items():
                    got = choose(c, replace(options, solver=solver), budget)
                    share.append(got.objective / best.objective)
                    below += got.upper_bound < best.objective
                gaps.append(choose(c, replace(options, certify_s=0.1), budget).gap)
            figures = " | ".join(summary(share) for share in shares.values())
            gap = f"{np.mean(gaps):.5f} ({np.max(gaps):.4f})"
            print(f"| {name} | {kind} | {figures} | {gap} | {below} | {np.mean(seconds):.3f} |")


# Real tokens


class Footage:
    """The tokens of the film and the clips, filled up to n, and what to ask for."""

    def __init__(self, folder: Path, n: int) -> None:
        store = Store(folder, create=True)
        needles = read_needles(ROOT)
        parts, times, begin_s = [], [], 0.0
        for path in (ROOT / FILM, *(needle.path for needle in needles)):
            index_video(str(path), store, jobs=1)
            video = IndexedVideo(store, str(path))
            parts.append(video.tokens)
            times.append(begin_s + video.tokens.middle_s)
            begin_s += video.record.duration_s
        tokens = Tokens.concatenate(parts)
        real = len(tokens)
        rng = np.random.default_rng(0)
        rows = np.arange(n) % real
        embeddings = tokens.embeddings[rows]
        noise = rng.normal(size=embeddings.shape).astype(np.float32)
        noise *= DISTURBANCE / np.linalg.norm(noise, axis=1, keepdims=True)
        embeddings[real:] += noise[real:]
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        self.tokens = replace(tokens.take(rows), embeddings=embeddings, facets=embeddings[:, None])
        # Copies are shown after everything else.
        self.times_s = np.concatenate(times)[rows] + begin_s * (np.arange(n) // real)
        self.queries = ["a rabbit in a meadow", *(needle.texts[0] for needle in needles)]
        self._encoder = encode.load(MiniEncode())
        print(f"{n:,} tokens, {min(n, real):,} of them real, {len(self.queries)} queries")

    def ask(self, query: str) -> Candidates:
        embedding = self._encoder.encode_texts([query])[0]
        scores = relevance(self.tokens, embedding, self._encoder.calibration)
        return Candidates(scores, self.tokens.embeddings, self.times_s)


def gap(arguments: argparse.Namespace) -> None:
    footage = Footage(arguments.store, arguments.tokens)
    rng = np.random.default_rng(0)
    costs = rng.choice([1.0, 2.0, 4.0], arguments.tokens)
    some = rng.permutation(arguments.tokens)[:8]
    print("| objective | budget | gap at once, mean (worst) | gap | seconds, worst |")
    for name in OBJECTIVES:
        options = AttentionOptions(objective=name, budget=BUDGET)
        for kind in ("plain", "limited"):
            plain = Budget.of(BUDGET, arguments.tokens)
            limits = Budget(2 * BUDGET, costs, some[:4], some[4:])
            budget = plain if kind == "plain" else limits
            quick, slow, seconds = [], [], []
            for query in footage.queries:
                c = footage.ask(query)
                quick.append(choose(c, options, budget).gap)
                certain = replace(options, certify_s=CERTIFY_S)
                got, wall_s, _ = timed(lambda c=c, o=certain, b=budget: choose(c, o, b))
                slow.append(got.gap)
                seconds.append(wall_s)
            figures = " | ".join(f"{np.mean(g):.4f} ({np.max(g):.4f})" for g in (quick, slow))
            print(f"| {name} | {kind} | {figures} | {max(seconds):.1f} |", flush=True)


def speed(arguments: argparse.Namespace) -> None:
    footage = Footage(arguments.store, arguments.tokens)
    print("| objective | solver | wall ms, mean (worst) of the queries | CPU ms |")
    for name in OBJECTIVES:
        for solver in ("greedy", "swaps"):
            options = AttentionOptions(objective=name, solver=solver, budget=BUDGET)
            walls, cpus = [], []
            for query in footage.queries:
                c = footage.ask(query)
                _, wall_s, cpu_s = timed(lambda c=c, o=options: choose(c, o), RUNS)
                walls.append(1000 * wall_s)
                cpus.append(1000 * cpu_s)
            figures = (f"{np.mean(ms):.0f} ({np.max(ms):.0f})" for ms in (walls, cpus))
            print(f"| {name} | {solver} | {' | '.join(figures)} |", flush=True)


def dense(c: Candidates, options: AttentionOptions) -> tuple[Selection, Objective]:
    """The choice where every token is represented, and the objective that says what it is worth."""
    cells = coverage._CELLS
    coverage._CELLS = len(c) ** 2
    try:
        return choose(c, options), make(options.objective, c, options.budget, options)
    finally:
        coverage._CELLS = cells


def sample(arguments: argparse.Namespace) -> None:
    footage = Footage(arguments.store, arguments.tokens)
    options = AttentionOptions(objective="coverage", budget=BUDGET, improve_s=60.0)
    shares = []
    for query in footage.queries[: arguments.queries]:
        c = footage.ask(query)
        full, objective = dense(c, options)
        rows = choose(c, replace(options, improve_s=DEFAULT.improve_s)).rows
        shares.append(objective.value(rows) / full.objective)
    print(f"coverage of a sample against coverage of all: mean (worst) {summary(shares)}")


# Other libraries


def peers(arguments: argparse.Namespace) -> None:
    footage = Footage(arguments.store, arguments.tokens)
    c = footage.ask(footage.queries[0])
    print("| function | by | value, ours = 1 | seconds |")
    facility_location(c)
    disparity_sum(c)


def library(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(f"not installed ({error.name}): pip install {package}")


def submodlib_greedy(function: Any, optimizer: str) -> Int64:
    pairs = function.maximize(
        budget=BUDGET,
        optimizer=optimizer,
        stopIfZeroGain=False,
        stopIfNegativeGain=False,
        show_progress=False,
    )
    return np.array([row for row, _ in pairs])


def facility_location(c: Candidates) -> None:
    """`coverage` with nothing in it but sum_i max_t S(i, t)^2, S clipped at 0."""
    options = AttentionOptions(
        objective="coverage", solver="greedy", budget=BUDGET, focus=0.0, own=0.0, near=0.0
    )
    similarity = np.maximum(c.embeddings @ c.embeddings.T, 0) ** 2

    def value(rows: Int64) -> float:
        return float(similarity[rows].max(0).sum(dtype=np.float64))

    (full, _), full_s, _ = timed(lambda: dense(c, options))
    ours, ours_s, _ = timed(lambda: choose(c, options), RUNS)
    one = value(full.rows)
    print(f"| facility location | seal, all tokens, from embeddings | 1 | {full_s:.2f} |")
    print(f"| | seal, a sample | {value(ours.rows) / one:.6f} | {ours_s:.2f} |", flush=True)
    if apricot := library("apricot", "apricot-select scikit-learn"):
        selector = apricot.FacilityLocationSelection
        selector(2, metric="precomputed", optimizer="lazy").fit(similarity[:9, :9])  # compiles
        new = selector(BUDGET, metric="precomputed", optimizer="lazy")
        _, wall_s, _ = timed(lambda: new.fit(similarity))
        print(f"| | apricot, lazy | {value(new.ranking) / one:.6f} | {wall_s:.2f} |", flush=True)
    if submodlib := library("submodlib", "submodlib-py"):
        function = submodlib.FacilityLocationFunction(
            n=len(c), mode="dense", sijs=similarity, separate_rep=False
        )
        rows, wall_s, _ = timed(lambda: submodlib_greedy(function, "LazyGreedy"))
        print(f"| | submodlib, lazy | {value(rows) / one:.6f} | {wall_s:.2f} |", flush=True)


def disparity_sum(c: Candidates) -> None:
    """`paper` with alpha 0: nothing but the sum of 1 / S over pairs."""
    options = AttentionOptions(objective="paper", solver="greedy", budget=BUDGET, alpha=0.0)
    ours, ours_s, _ = timed(lambda: choose(c, options), RUNS)
    print(f"| sum of 1 / S | seal, from embeddings | 1 | {ours_s:.3f} |", flush=True)
    if submodlib := library("submodlib", "submodlib-py"):
        # Its distance is 1 - similarity.
        similarity = 1 - 1 / np.clip(c.embeddings @ c.embeddings.T, options.s_min, 1)
        function = submodlib.DisparitySumFunction(n=len(c), mode="dense", sijs=similarity)
        rows, wall_s, _ = timed(lambda: submodlib_greedy(function, "NaiveGreedy"))
        value = make("paper", c, BUDGET, options).value(rows) / ours.objective
        print(f"| | submodlib, naive | {value:.6f} | {wall_s:.2f} |")


PARTS = {part.__name__: part for part in (exact, gap, speed, sample, peers)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="|".join(PARTS))
    parser.add_argument("--store", type=Path, default=Path(".seal"))
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--queries", type=int, default=5, help="of `sample`, which is slow")
    arguments = parser.parse_args()
    for part in arguments.parts:
        print(f"\n{part}")
        PARTS[part](arguments)
