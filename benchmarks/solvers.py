"""How good selections are, how closely bounded, and how fast, also beside other libraries.

    python benchmarks/solvers.py exact|gap|speed|sample|peers ... [--store DIR] [--tokens 10000]

exact   value against the best choice, and bounds below it, on random instances of up to 40 tokens
gap     how far a better choice of 64 of all tokens could be ahead, after about 2 s
speed   milliseconds for 64 tokens from embeddings, bound included, wall and CPU time
sample  what samples lose: of the tokens that are represented, and of those to choose from
peers   the same choices by apricot-select and submodlib, which are given all similarities

All but the first use the tokens of Big Buck Bunny and the clips of `videos/needles.json`, indexed
into DIR first, which takes some minutes and is kept; slightly disturbed copies fill them up. The
number of cores is what OMP_NUM_THREADS says, or all. Figures are means over instances or queries,
the worst in brackets.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from data import ROOT
from seal import backends, encode
from seal.attention import Budget, Candidates, Objective, choose, coverage, relevance
from seal.config import AttentionOptions, MiniEncode
from seal.evaluate.haystack import FILM, read_needles
from seal.ingest import index as index_video
from seal.scope import Scope
from seal.store import Store
from seal.types import Choice, Int64, Tokens

OBJECTIVES = backends.names("objective")
BUDGET = 64
DISTURBANCE = 0.05
"""Length of what is added to a copy of an embedding, whose length is 1."""
RUNS = 5
CERTIFY_S = 1.7
"""Of the 2 s, what is left for the bound."""


def make(c: Candidates, options: AttentionOptions) -> Objective:
    objective: Objective = backends.resolve("objective", options.objective)(
        c, options.budget, options
    )
    return objective


def timed(call: Callable[[], Any], runs: int = 1) -> tuple[Any, float, float]:
    """What `call` returns, and the least seconds of wall and of CPU time of some runs."""
    times = []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result, min(t[0] for t in times), min(t[1] for t in times)


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


def limited(rng: np.random.Generator, n: int, amount: float) -> Budget:
    """Unequal costs, a token that has to be in and one that must not be."""
    one, other = np.split(rng.permutation(n)[:2], 2)
    return Budget(amount, rng.choice([1.0, 2.0, 4.0], n), one, other)


def exact(arguments: argparse.Namespace) -> None:
    print("| objective | budget | greedy | swaps | stochastic | gap | bounds too low | exact, s |")
    for name, kind in product(OBJECTIVES, ("plain", "limited")):
        rng = np.random.default_rng(0)
        shares: dict[str, list[float]] = {"greedy": [], "swaps": [], "stochastic": []}
        gaps, seconds, low = [], [], 0
        # Exact search takes ten times as long under limits.
        for _ in range(arguments.instances // (1 if kind == "plain" else 5)):
            c, size = instance(rng), int(rng.integers(2, 11))
            budget = Budget.of(size, len(c))
            if kind == "limited":
                # A choice that has to hold what is off the point can be worth nothing at all.
                c = replace(c, relevance=np.abs(c.relevance))
                budget = limited(rng, len(c), 2 * size + 4)
            options = AttentionOptions(objective=name, budget=size)
            slow = replace(options, solver="exact", certify_s=0.1)
            best, _, cpu_s = timed(partial(choose, c, slow, budget))
            seconds.append(cpu_s)
            for solver, share in shares.items():
                got = choose(c, replace(options, solver=solver), budget)
                share.append(got.objective / best.objective)
                low += got.upper_bound < best.objective
            gaps.append(best.gap)
        figures = " | ".join(f"{np.mean(s):.5f} ({np.min(s):.4f})" for s in shares.values())
        print(f"| {name} | {kind} | {figures} | {np.mean(gaps):.5f} ({np.max(gaps):.4f})", end="")
        print(f" | {low} | {np.mean(seconds):.3f} ({np.max(seconds):.2f}) |", flush=True)


# Real tokens


class Footage:
    """The tokens of the film and the clips, filled up to n, and what to ask for."""

    def __init__(self, folder: Path, n: int) -> None:
        store = Store(folder, create=True)
        needles = read_needles(ROOT)
        parts, times, begin_s = [], [], 0.0
        for path in (ROOT / FILM, *(needle.path for needle in needles)):
            index_video(str(path), store, jobs=1)
            video = Scope.of(store, str(path), "show")
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
    limits = limited(np.random.default_rng(0), arguments.tokens, 2 * BUDGET)
    budgets = {"plain": Budget.of(BUDGET, arguments.tokens), "limited": limits}
    print("| objective | budget | gap at once | in time | seconds, wall | CPU |")
    for name, kind in product(OBJECTIVES, budgets):
        rows = []
        for query in footage.queries[: arguments.queries]:
            c = footage.ask(query)
            options = AttentionOptions(objective=name, budget=BUDGET, candidates=len(c))
            quick = choose(c, options, budgets[kind])
            slow = replace(options, certify_s=CERTIFY_S)
            got, wall_s, cpu_s = timed(partial(choose, c, slow, budgets[kind]))
            rows.append((quick.gap, got.gap, wall_s, cpu_s))
        figures = (f"{np.mean(f):.4f} ({np.max(f):.4f})" for f in np.transpose(rows))
        print(f"| {name} | {kind} | {' | '.join(figures)} |", flush=True)


def speed(arguments: argparse.Namespace) -> None:
    footage = Footage(arguments.store, arguments.tokens)
    print("| objective | solver | among | ms, wall | CPU |")
    among = (AttentionOptions().candidates, arguments.tokens)
    for name, solver, most in product(OBJECTIVES, ("greedy", "swaps"), among):
        options = AttentionOptions(objective=name, solver=solver, budget=BUDGET, candidates=most)
        asked = map(footage.ask, footage.queries[: arguments.queries])
        rows = [timed(partial(choose, c, options), RUNS)[1:] for c in asked]
        figures = (f"{1000 * np.mean(f):.0f} ({1000 * np.max(f):.0f})" for f in np.transpose(rows))
        print(f"| {name} | {solver} | {most:,} | {' | '.join(figures)} |", flush=True)


def dense(c: Candidates, options: AttentionOptions) -> tuple[Choice, Objective]:
    """Greedy's choice among all tokens where every one is represented, and what says its worth."""
    options, least = replace(options, candidates=len(c), solver="greedy"), coverage._SAMPLE
    coverage._SAMPLE = len(c)
    try:
        return choose(c, options), make(c, options)
    finally:
        coverage._SAMPLE = least


def sample(arguments: argparse.Namespace) -> None:
    footage = Footage(arguments.store, arguments.tokens)
    print("| objective | a sample to choose from | all to choose from |")
    for name in ("coverage", "seal"):
        options, shares = AttentionOptions(objective=name, budget=BUDGET), []
        for query in footage.queries[: arguments.queries]:
            c = footage.ask(query)
            full, objective = dense(c, options)
            rows = [choose(c, o).rows for o in (options, replace(options, candidates=len(c)))]
            shares.append([objective.value(r) / full.objective for r in rows])
        figures = (f"{np.mean(f):.4f} ({np.min(f):.4f})" for f in np.transpose(shares))
        print(f"| {name} | {' | '.join(figures)} |", flush=True)


# Other libraries


def peers(arguments: argparse.Namespace) -> None:
    """Facility location: `coverage` with nothing in it but sum_i max_t S(i, t)^2, S clipped at 0.
    Sum of 1 / S over pairs: `paper` without relevance."""
    footage = Footage(arguments.store, arguments.tokens)
    c = footage.ask(footage.queries[0])
    greedy = AttentionOptions(
        solver="greedy", budget=BUDGET, alpha=0, query_weight=0, chosen_weight=0, time_weight=0
    )
    print("| function | by | value | CPU, s | times ours |")

    options = replace(greedy, objective="coverage")
    (full, objective), _, full_s = timed(partial(dense, c, options))
    ours, _, ours_s = timed(partial(choose, c, options), RUNS)

    def line(what: str, rows: Int64, seconds: float) -> None:
        value = objective.value(rows) / full.objective
        print(f"| {what} | {value:.6f} | {seconds:.2f} | {seconds / ours_s:.1f} |", flush=True)

    line("facility location | seal, a sample", ours.rows, ours_s)
    line("| seal, all tokens", full.rows, full_s)
    similarity = np.maximum(c.embeddings @ c.embeddings.T, 0) ** 2
    apricot, submodlib = (library(name) for name in ("apricot", "submodlib"))
    if apricot:
        new = partial(apricot.FacilityLocationSelection, metric="precomputed", optimizer="lazy")
        new(2).fit(similarity[:99, :99].copy())  # compiles
        fitted, _, cpu_s = timed(lambda: new(BUDGET).fit(similarity))
        line("| apricot, lazy", fitted.ranking, cpu_s)
    if submodlib:
        given = {"n": len(c), "mode": "dense", "separate_rep": False}
        function = submodlib.FacilityLocationFunction(sijs=similarity, **given)
        rows, _, cpu_s = timed(partial(maximise, function, "LazyGreedy"))
        line("| submodlib, lazy", rows, cpu_s)

    options = replace(greedy, objective="paper")
    full, _, ours_s = timed(partial(choose, c, options), RUNS)
    objective = make(c, options)
    line("sum of 1 / S | seal", full.rows, ours_s)
    if submodlib:
        # Its distance is 1 - similarity.
        similarity = 1 - 1 / np.clip(c.embeddings @ c.embeddings.T, options.s_min, 1)
        function = submodlib.DisparitySumFunction(n=len(c), mode="dense", sijs=similarity)
        rows, _, cpu_s = timed(partial(maximise, function, "NaiveGreedy"))
        line("| submodlib, naive", rows, cpu_s)


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(f"{error}: pip install apricot-select scikit-learn submodlib-py")


def maximise(function: Any, optimizer: str) -> Int64:
    forever = {"stopIfZeroGain": False, "stopIfNegativeGain": False, "show_progress": False}
    pairs = function.maximize(budget=BUDGET, optimizer=optimizer, **forever)
    return np.array([row for row, _ in pairs])


PARTS = {part.__name__: part for part in (exact, gap, speed, sample, peers)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="|".join(PARTS))
    parser.add_argument("--store", type=Path, default=Path(".seal"))
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=5)
    arguments = parser.parse_args()
    for part in arguments.parts:
        print(f"\n{part}")
        PARTS[part](arguments)
