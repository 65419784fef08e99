"""How relevant words are to a query: what `seal.attention.words` is fitted on.

    python benchmarks/words_fit.py rank [--data DIR]
    python benchmarks/words_fit.py odds [--data DIR]

`rank` looks for the weights of passage, meaning, length and of words that ask, on the training
meetings of QMSum: those with which top-k gains most over BM25 without stems, on average over
precision and spans hit at 2 % of the turns and recall and spans hit at 10 %, in units of the gains
that were asked for (0.04, 0.03, 0.07, 0.007; at most 3 of each). It prints the best on all
meetings, by mini's text tower and by static vectors, and five-fold figures over meetings.

`odds` fits the log odds that a video has what a query asks for, given the best score of a token.
A video is a training meeting, or 30 turns of one. It has the questions about it and lines of it
word for word; it has not the questions about another meeting, lines of another, and plain nouns
(nouns.json) that nobody says. A noun that somebody says is taken to be meant one time in five.
Queries that a video has, and those that it has not, count alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from seal.attention.words import Meaning, Parts
from seal.evaluate import qmsum
from seal.evaluate.qmsum import Meeting
from seal.evaluate.texts import Embedder, embedder
from seal.types import Float64
from seal.words.index import WordIndex

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
SPLITS = ("train_academic", "train_committee")
GRID = {
    "asked": (0.2, 0.3, 0.5),
    "passage": (0.0, 0.35, 0.5, 0.7),
    "meaning": (0.0, 0.25, 0.5, 0.75),
    "length": (0.0, 0.5, 0.7, 1.0, 1.4),
}
METRICS = ("precision@2%", "hit@2%", "recall@10%", "hit@10%")
GAINS = (0.04, 0.03, 0.07, 0.007)
MOST = 3.0
FOLDS = 5
TURNS = 30
MEANT = 0.2


def _figures(case: qmsum.SpanCase, scores: Float64) -> list[float]:
    order = np.argsort(-scores, kind="stable")
    few = case.scores(order[: case.sizes["2%"]])
    many = case.scores(order[: case.sizes["10%"]])
    return [few["precision"], few["hit"], many["recall"], many["hit"]]


def rank(meetings: list[Meeting]) -> None:
    grid = list(product(*GRID.values()))
    groups = np.array([m.name for m in meetings for _ in m.questions])
    fold = {m.name: i % FOLDS for i, m in enumerate(meetings)}
    folds = np.array([fold[name] for name in groups])
    # Without a language there are no stems.
    plain = {meeting.name: WordIndex(meeting.texts, languages="") for meeting in meetings}
    stems = {meeting.name: WordIndex(meeting.texts) for meeting in meetings}
    asked = list(qmsum.cases(meetings, "static", (2.0, 10.0)))
    for index in (stems, plain):
        base = np.mean([_figures(one, index[one.group].bm25(one.question)) for one in asked], 0)
        print("bm25,", "stems" if index is stems else "no stems", np.round(base, 3).tolist())
    found = {}
    for name in ("mini", "static"):
        embed = embedder(name)
        figures = np.zeros((len(grid), len(groups), len(METRICS)))
        cases = iter(asked)
        at = 0
        for meeting in meetings:
            index, meaning = WordIndex(meeting.texts), Meaning.of(embed(meeting.texts))
            for question in meeting.questions:
                case = next(cases)
                query = embed([question.text])[0]
                parts = {
                    weight: Parts.of(index, meaning, question.text, query, weight)
                    for weight in GRID["asked"]
                }
                for i, (weight, passage, cosine, length) in enumerate(grid):
                    part = parts[weight]
                    scores = part.own + passage * part.passage + length * part.length
                    figures[i, at] = _figures(case, scores + cosine * part.cosine)
                at += 1
        found[name] = figures
    both = np.mean(list(found.values()), 0)

    def gain(figures: Float64) -> Float64:
        gains = np.minimum((figures.mean(1) - base) / GAINS, MOST)
        return gains.min(1) + gains.mean(1)

    print("best on all:", *GRID)
    for i in np.argsort(-gain(both))[:14]:
        own = [f"{name} {np.round(each[i].mean(0), 3).tolist()}" for name, each in found.items()]
        print(grid[i], f"gain {gain(both)[i]:.2f}", *own)
    for name, each in found.items():
        seen = np.zeros((len(groups), len(METRICS)))
        for k in range(FOLDS):
            held = folds == k
            seen[held] = each[int(gain(both[:, ~held]).argmax())][held]
        print(f"{name}, {FOLDS}-fold", dict(zip(METRICS, np.round(seen.mean(0), 3), strict=True)))


def _videos(
    meetings: list[Meeting], rng: np.random.Generator
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, texts and questions of each video."""
    for meeting in meetings:
        yield meeting.name, meeting.texts, [one.text for one in meeting.questions]
        begin = int(rng.integers(max(1, len(meeting.texts) - TURNS)))
        yield meeting.name, meeting.texts[begin : begin + TURNS], []


def _lines(texts: list[str], rng: np.random.Generator, count: int = 4) -> list[str]:
    long = [text.partition(": ")[2] for text in texts]
    long = [text for text in long if 5 <= len(text.split()) <= 30]
    return [long[i] for i in rng.permutation(len(long))[:count]]


def odds(meetings: list[Meeting], nouns: list[str], embed: Embedder) -> None:
    rng = np.random.default_rng(0)
    videos = list(_videos(meetings, rng))
    rows = []
    for name, texts, own in videos:
        index, meaning = WordIndex(texts), Meaning.of(embed(texts))
        other = [video for video in videos if video[0] != name]
        some = [other[i] for i in rng.permutation(len(other))[:8]]
        asked = [("question", text, 1.0) for text in own]
        asked += [("line", text, 1.0) for text in _lines(texts, rng)]
        for _, their_texts, theirs in some:
            two = rng.permutation(len(theirs))[:2]
            asked += [("other question", theirs[i], 0.0) for i in two]
            asked += [("other line", text, 0.0) for text in _lines(their_texts, rng, 1)]
        for noun in nouns:
            said = index.bm25(noun.split()[-1]).max() > 0
            asked.append(("said noun" if said else "noun", noun, MEANT if said else 0.0))
        for kind, text, label in asked:
            parts = Parts.of(index, meaning, text, embed([text])[0])
            rows.append((kind, name, label, float(parts.score.max()), parts.information))
    kinds = np.array([row[0] for row in rows])
    label, best, information = np.array([row[2:] for row in rows], float).T
    x = np.stack([best * information, information, np.ones(len(best))], 1)
    # Each kind of query counts alike within those that a video has, and within those it has not.
    weight = np.array([1 / (kinds == kind).sum() for kind in kinds])
    weight *= np.where(label == 1, 0.5, 0.25)

    def loss(c: Float64, rows: Float64 | slice = slice(None)) -> float:
        z = x[rows] @ c
        return float(weight[rows] @ (np.logaddexp(0, z) - label[rows] * z))

    c = minimize(loss, np.zeros(3)).x
    print("SLOPE, INFORMATION, BIAS", np.round(c, 2).tolist())
    p = 1 / (1 + np.exp(-(x @ c)))
    for kind in dict.fromkeys(kinds):
        mine = p[kinds == kind]
        print(
            f"{kind:15} {len(mine):5} likely {np.mean(mine >= 0.4):.3f}"
            f" unlikely {np.mean(mine < 0.02):.3f} median {np.median(mine):.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("rank", "odds"))
    parser.add_argument("--data", default=DATA)
    args = parser.parse_args()
    meetings = list(qmsum.read(f"{args.data}/qmsum", SPLITS).usable)
    if args.what == "rank":
        rank(meetings)
        return
    nouns = json.loads(Path(args.data, "nouns.json").read_text())["queries"]
    for name in ("mini", "static"):
        print(name)
        odds(meetings, nouns, embedder(name))


if __name__ == "__main__":
    sys.exit(main())
