"""How alike the tokens of one video are, and what s_min does to that.

    python benchmarks/similarity.py [VIDEO] [--profile mini] [--budget 16]

Prints the cosines S of all pairs of tokens of VIDEO, by default a real clip, and of pairs of one
kind; how many of them the default s_min clips; and, for several values of s_min, how far apart the
two sums of the published objective are for a greedy choice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import seal
from data import ROOT
from seal.attention import Candidates, pick
from seal.config import PROFILES, AttentionOptions
from seal.types import Float32, Float64, Mask, Tokens

CLIP = ROOT / "videos" / "clips" / "01_dog.mp4"
QUERY = "a dog"
SHARES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
"""Percentiles."""
FLOORS = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9)
"""Values of s_min."""


def pairs(tokens: Tokens, mask: Mask) -> Float64:
    """S of every two different tokens of `mask`."""
    embeddings = tokens.embeddings[mask].astype(np.float64)
    return (embeddings @ embeddings.T)[np.triu_indices(len(embeddings), 1)]


def line(name: str, cells: Iterable[float]) -> None:
    print(f"{name:24s}" + "".join(f"{cell:8.3f}" for cell in cells))


def distributions(tokens: Tokens, s_min: float) -> None:
    shares = "".join(f"{share:7d}%" for share in SHARES)
    print(f"{'S, percentiles':24s}{shares}   below s_min")
    for kind in ("all", *dict.fromkeys(tokens.kinds.tolist())):
        found = pairs(tokens, (tokens.kinds == kind) | (kind == "all"))
        if len(found):
            clipped = float((found < s_min).mean())
            line(f"{kind}, {len(found)} pairs", [*np.percentile(found, SHARES), clipped])


def sums(tokens: Tokens, scores: Float32, budget: int) -> None:
    """The means of the two sums of the objective for its greedy choice, by s_min."""
    print(f"\n{budget} tokens of {len(tokens)}, greedy, alpha 0.9")
    print("s_min     R, mean   1/S, mean   1/S, largest   tokens shared with the default")
    usual = AttentionOptions(budget, objective="paper", solver="greedy")
    default = set(pick(Candidates.of(tokens, scores), usual).tolist())
    for floor in FLOORS:
        rows = pick(Candidates.of(tokens, scores), replace(usual, s_min=floor))
        different = 1 / np.clip(pairs(tokens.take(rows), np.ones(budget, bool)), floor, 1)
        shared = len(default & set(rows.tolist()))
        means = f"{scores[rows].mean():7.3f}{different.mean():12.2f}{different.max():15.2f}"
        print(f"{floor:<10g}{means}{shared:33d}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="?", type=Path, default=CLIP)
    parser.add_argument("--profile", default="mini", choices=PROFILES)
    parser.add_argument("--budget", type=int, default=AttentionOptions.budget)
    parser.add_argument("--query", default=QUERY)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        video = seal.open(folder).index(arguments.video, profile=arguments.profile, jobs=1)
        tokens, scores = video.tokens, video.content.question(arguments.query).relevance
        print(f"{arguments.video.name}, {len(tokens)} tokens of {video.record.encoder}\n")
        distributions(tokens, AttentionOptions.s_min)
        sums(tokens, scores, arguments.budget)


if __name__ == "__main__":
    main()
