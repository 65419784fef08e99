"""How much of a selection is for the question: what `seal.attention.question` is fitted on.

    python benchmarks/answer_weight.py choices --out CHOICES.jsonl --store DIR [--data DIR]
    python benchmarks/answer_weight.py fit CHOICES.jsonl
    python benchmarks/answer_weight.py redundancy [--data DIR]

`choices` asks every question of the training parts with each of several answer weights: QMSum's
training splits, the needles of the half to choose (split.json) in the film and in each other, and
both QFVS videos. `fit` looks for the coefficients with which the mean score is best, each data set
counting alike, and prints what QFVS scores on a video that the fit has not seen. `redundancy` asks
the questions of QMSum's training splits by the relevance that counts words, with several shares of
the redundancy for pairs of sentences (`attention.word_redundancy`) and beside them top-k.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from seal.attention import pick
from seal.attention.question import features
from seal.config import AttentionOptions, Options
from seal.evaluate import haystack, qfvs, qmsum
from seal.evaluate.cases import Case
from seal.evaluate.methods import methods
from seal.store import Store
from seal.types import Float64, Span

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
LOGITS = (-5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.5, 5.0)
SPLITS = ("train_academic", "train_committee")
BUDGETS = (2.0, 10.0)
NEEDLE_BUDGETS = (8, 16)
SHARES = (0.0, 0.02, 0.06, 0.12, 0.25, 1.0)
PULL = 1e-4


def questions(data: str, store: str) -> Iterator[tuple[str, Case]]:
    """Every question of the training parts, with the name of its data set."""
    meetings = qmsum.read(f"{data}/qmsum", SPLITS).usable
    yield from (("qmsum", case) for case in qmsum.cases(meetings, "static", BUDGETS))
    half = json.loads((Path(__file__).parent / "split.json").read_text())["choose"]
    every = haystack.described_clips(Path(data))
    needles = [one for one in every if str(one.path.relative_to(data)) in half]
    scope, needles, clips = haystack.material(
        data, Store(store, create=True), Options(), Path(data) / haystack.FILM, needles=needles
    )
    start_s = scope.record.start_s
    film = scope.tokens, Span(start_s, start_s + scope.record.duration_s)
    encoder = scope.content.encoder
    for hay in (haystack.HAYS[0], haystack.CLIPS):
        for asked in haystack.cases(film, needles, clips, encoder, hay, budgets=NEEDLE_BUDGETS):
            yield from (("haystack", case) for case in asked)
    for video in qfvs.read(f"{data}/qfvs"):
        yield from (("qfvs", case) for case in video.cases())


def choices(out: Path, data: str, store: str) -> None:
    options = AttentionOptions(solver="greedy")
    with out.open("w") as file:
        for name, case in questions(data, store):
            for size in case.sizes.values():
                scores = []
                for logit in LOGITS:
                    weight = float(1 / (1 + np.exp(-logit)))
                    wanted = replace(options, budget=size, answer_weight=weight)
                    found = case.scores(pick(case.candidates, wanted))
                    scores.append(float(np.mean(list(found.values()))))
                row = {"set": name, "group": case.group, "size": size, "scores": scores}
                row["features"] = features(case.candidates)
                print(json.dumps(row), file=file, flush=True)


def fit(rows: list[dict[str, Any]]) -> Float64:
    """The coefficients of the features, pulled towards 0 a little."""
    x = np.array([row["features"] for row in rows])
    scores = np.array([row["scores"] for row in rows])
    names = np.array([row["set"] for row in rows])
    share = np.array([1 / (names == name).sum() for name in names])
    scores = scores / np.array([scores[names == name].mean() for name in names])[:, None]

    def loss(coefficients: Float64) -> float:
        return PULL * float(coefficients @ coefficients) - float(
            share @ _at(scores, x @ coefficients)
        )

    starts = [np.eye(x.shape[1])[0] * size for size in (-3.0, 0.0, 3.0)]
    found = [
        minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000}) for start in starts
    ]
    return min(found, key=lambda each: each.fun).x


def redundancy(data: str) -> None:
    shares = {str(share): AttentionOptions(word_redundancy=share) for share in SHARES}
    asked = {name: methods(options, ["seal"])["seal"] for name, options in shares.items()}
    asked["top-k"] = methods(AttentionOptions(), ["top-k"])["top-k"]
    for relevance in ("words", "words-static"):
        meetings = qmsum.read(f"{data}/qmsum", SPLITS)
        found = qmsum.evaluate(meetings, asked, relevance, budgets=BUDGETS)["methods"]
        for name, metrics in found.items():
            means = {metric: each["mean"] for metric, each in metrics.items() if "@" in metric}
            print(relevance, name, *(f"{metric} {mean:.3f}" for metric, mean in means.items()))


def _at(scores: Float64, logits: Float64) -> Float64:
    """[n] the scores [n, len(LOGITS)] between the weights that were tried."""
    return np.array([np.interp(at, LOGITS, row) for at, row in zip(logits, scores, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("choices")
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--store", required=True)
    asked.add_argument("--data", default=DATA)
    fitted = commands.add_parser("fit")
    fitted.add_argument("choices", type=Path)
    repeated = commands.add_parser("redundancy")
    repeated.add_argument("--data", default=DATA)
    args = parser.parse_args()
    if args.command == "redundancy":
        redundancy(args.data)
        return
    if args.command == "choices":
        choices(args.out, args.data, args.store)
        return
    rows = [json.loads(line) for line in args.choices.read_text().splitlines()]
    print("coefficients", np.round(fit(rows), 2).tolist())
    for name in dict.fromkeys(row["set"] for row in rows):
        mine = [row for row in rows if row["set"] == name]
        best = np.mean([row["scores"] for row in mine], 0)
        print(f"{name}: by weight {np.round(best, 3).tolist()}")
    for held in ("P01", "P02"):
        seen = fit([row for row in rows if row["group"] != held])
        mine = [row for row in rows if row["group"] == held]
        logits = np.array([row["features"] for row in mine]) @ seen
        got = _at(np.array([row["scores"] for row in mine]), logits)
        print(
            f"qfvs, {held} not seen: F1 {got.mean():.4f}, logits {np.round(logits[:3], 2).tolist()}"
        )


if __name__ == "__main__":
    sys.exit(main())
