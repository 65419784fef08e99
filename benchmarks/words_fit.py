"""How relevant words are to a query: what `seal.attention.words` is fitted on.

    python benchmarks/words_fit.py rank [--data DIR]
    python benchmarks/words_fit.py odds [--data DIR]

`rank` looks for the weights of passage, meaning, length and of words that ask, on the training
meetings of QMSum, where an answer has the words of its question. As people ask in other words too,
each question is also ranked by meaning and length alone, as if no word of it were said. A choice
gains, by top-k, in precision and spans hit at 2 % of the turns and recall and spans hit at 10 %:
over BM25 without stems, or over the cosine alone in other words, in units of 0.04, 0.03, 0.07 and
0.007, at most 3 of each. The mean gain of the eight and the least of those over BM25 count, for
mini's text tower and static vectors together. It prints the best on all meetings, and five-fold
figures over meetings.

`odds` fits the log odds that a video has what a query asks for, given the scores of its tokens;
those of the tokens add up as relevances do in the calibration of mini (`soft_maximum`). A video is
a training meeting, or 30 turns of one. It has the questions about it and lines of it word for word;
it has not the questions about another meeting, lines of another, and plain nouns (nouns.json) that
nobody says. A noun that somebody says is taken to be meant one time in five. A query is taken to
match one video in four.
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
from seal.config import MiniEncode
from seal.encode import load
from seal.encode.calibration import SHARPNESS
from seal.evaluate import qmsum
from seal.evaluate.qmsum import Meeting
from seal.evaluate.texts import Embedder, embedder
from seal.types import Float64
from seal.words.index import WordIndex

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
SPLITS = ("train_academic", "train_committee")
GRID = {
    "asked": (0.3, 0.5),
    "passage": (0.35, 0.5, 0.7, 1.0),
    "meaning": (0.25, 0.5, 0.75, 1.0),
    "length": (0.3, 0.5, 0.7, 1.0),
}
METRICS = ("precision@2%", "hit@2%", "recall@10%", "hit@10%")
GAINS = (0.04, 0.03, 0.07, 0.007)
MOST = 3.0
FOLDS = 5
TURNS = 30
MEANT, MATCHING = 0.2, 0.25


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
    pairs = [(0.0, 0.0), *sorted({one[2:] for one in grid})]
    found, other = {}, {}
    for name in ("mini", "static"):
        embed = embedder(name)
        figures = np.zeros((len(grid), len(groups), len(METRICS)))
        alone = np.zeros((len(pairs), len(groups), len(METRICS)))
        made = None
        for at, case in enumerate(asked):
            if made is None or made[0] != case.group:
                texts = next(meeting.texts for meeting in meetings if meeting.name == case.group)
                made = case.group, Meaning.of(embed(texts))
            index, meaning, query = stems[case.group], made[1], embed([case.question])[0]
            parts = {w: Parts.of(index, meaning, case.question, query, w) for w in GRID["asked"]}
            for i, (weight, passage, cosine, length) in enumerate(grid):
                part = parts[weight]
                scores = part.own + passage * part.passage + length * part.length
                figures[i, at] = _figures(case, scores + cosine * part.cosine)
            for i, (cosine, length) in enumerate(pairs):
                scores = (cosine or 1) * part.cosine + length * part.length
                alone[i, at] = _figures(case, scores)
        place = [pairs.index(one[2:]) for one in grid]
        found[name], other[name] = figures, alone[place] - alone[0]
        print(name, "in other words: cosine alone", np.round(alone[0].mean(0), 3).tolist())
    both, others = np.mean(list(found.values()), 0), np.mean(list(other.values()), 0)

    def gain(rows: Float64 | slice) -> Float64:
        words = np.minimum((both[:, rows].mean(1) - base) / GAINS, MOST)
        meant = np.minimum(others[:, rows].mean(1) / GAINS, MOST)
        return words.min(1) + (words.mean(1) + meant.mean(1)) / 2

    print("best on all:", *GRID)
    whole = gain(slice(None))
    for i in np.argsort(-whole)[:10]:
        own = [f"{name} {np.round(each[i].mean(0), 3).tolist()}" for name, each in found.items()]
        print(grid[i], f"{whole[i]:.2f}", *own, np.round(others[i].mean(0), 3).tolist())
    for name, each in found.items():
        seen = np.zeros((len(groups), len(METRICS)))
        for k in range(FOLDS):
            held = folds == k
            seen[held] = each[int(gain(np.flatnonzero(~held)).argmax())][held]
        figures = ", ".join(f"{m} {v:.3f}" for m, v in zip(METRICS, seen.mean(0), strict=True))
        print(f"{name}, {FOLDS}-fold: {figures}")


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
    rows, scores = [], []
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
            rows.append((kind, label, parts.information, parts.absent))
            scores.append(parts.score.astype(np.float64))
    kinds = np.array([row[0] for row in rows])
    label, information, absent = np.array([row[1:] for row in rows], float).T
    starts = np.cumsum([0, *(len(each) for each in scores[:-1])])
    lengths = [len(each) for each in scores]
    every, i, u = (
        np.concatenate(scores),
        np.repeat(information, lengths),
        np.repeat(absent, lengths),
    )
    sharpness = SHARPNESS / load(MiniEncode()).calibration.slope

    def together(c: Float64) -> Float64:
        of_tokens = c[0] * i * every - c[1] * u + c[2]
        best = np.maximum.reduceat(of_tokens, starts)
        above = of_tokens - np.repeat(best, lengths)
        return best + np.log(np.add.reduceat(np.exp(sharpness * above), starts)) / sharpness

    # Within those that match, and within those that do not, each kind of query counts alike.
    weight = np.array([1 / (kinds == kind).sum() for kind in kinds])
    weight *= np.where(label == 1, MATCHING / 2, (1 - MATCHING) / 4)

    def loss(c: Float64) -> float:
        z = together(c)
        return float(weight @ (np.logaddexp(0, z) - label * z))

    c = minimize(loss, [1.5, 1.0, -6.0], method="Nelder-Mead").x
    print("SLOPE, ABSENT, BIAS", np.round(c, 2).tolist())
    p = 1 / (1 + np.exp(-together(c)))
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
