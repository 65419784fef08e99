"""Do words take the place of pictures? Plain visual queries, before and after a video has words.

    python benchmarks/words_beside.py --store DIR [--data DIR]

Every described clip of the shared data stands in the film, as in `seal eval haystack`, and is asked
for by its descriptions. Then the same film has words as well: the turns of a meeting of QMSum that
has nothing to do with it, each as a speech token, over its whole length. Figures are means over the
queries, with 95 % intervals of the difference over clips:

budget 16   whether any of the 16 tokens' worth of selection is of the clip
top 1, 5    whether one of the best moments of `seal find` overlaps the clip by half
"""

from __future__ import annotations

import argparse
import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from seal.attention import Budget, Candidates, choose
from seal.attention.worded import AskedVideo, WordedTokens
from seal.config import AttentionOptions, FindOptions, Options
from seal.encode import Encoder
from seal.evaluate import haystack, qmsum
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.haystack import NeedleCase
from seal.ground import locate
from seal.store import Store
from seal.types import Float32, Span, Tokens

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
TICK = Fraction(1, 1000)
FIGURES = ("budget 16", "top 1", "top 5")


def speech(data: str, length_s: float, encoder: Encoder) -> Tokens:
    """The turns of meetings, one after another, until they fill a film of this length."""
    meetings = qmsum.read(f"{data}/qmsum", ["train_academic"]).usable
    texts = [words for meeting in meetings for _, words in meeting.turns if len(words.split()) > 3]
    lasting_s = np.array([len(text.split()) for text in texts]) / 2.5
    ends = np.round(np.cumsum(lasting_s) / float(TICK)).astype(np.int64)
    count = int(np.searchsorted(ends, length_s / float(TICK)))
    ends = ends[:count]
    return Tokens.of(
        ["speech"] * count,
        np.stack([np.append(0, ends[:-1]), ends], 1),
        TICK,
        encoder.encode_texts(texts[:count])[:, None],
        ids=[f"speech-{i}" for i in range(count)],
        text=texts[:count],
    )


def figures(case: NeedleCase, tokens: Tokens, relevance: Float32, unlikely: float) -> list[float]:
    """Those of `FIGURES`; the tokens of `case` come first among `tokens`. A token of a relevance
    below `unlikely` matches so by itself."""
    options = AttentionOptions(budget=16)
    candidates = Candidates.of(tokens, relevance, case.question)
    rows = choose(candidates, options, Budget.of_tokens(tokens, options)).rows
    needles = np.flatnonzero(case.needle)
    moments = locate(tokens, relevance, FindOptions(top=5), unlikely)
    shown = [overlap(moment.span, case.span) for moment in moments]
    return [float(np.isin(rows, needles).any()), float(any(shown[:1])), float(any(shown))]


def overlap(moment: Span, clip: Span) -> bool:
    shared_s = min(moment.end_s, clip.end_s) - max(moment.start_s, clip.start_s)
    return shared_s >= 0.5 * min(moment.duration_s, clip.duration_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True)
    parser.add_argument("--data", default=DATA)
    arguments = parser.parse_args()
    store, film = Store(arguments.store, create=True), Path(arguments.data) / haystack.FILM
    scope, needles, clips = haystack.material(arguments.data, store, Options(), film)
    encoder = scope.content.encoder
    start_s = scope.record.start_s
    span = Span(start_s, start_s + scope.record.duration_s)
    said = speech(arguments.data, span.duration_s, encoder)
    prior = scope.content.question
    before, after, groups = [], [], []
    for cases in haystack.cases((scope.tokens, span), needles, clips, encoder, haystack.HAYS[0]):
        for case in cases:
            seen = case.candidates.relevance
            tokens = Tokens.concatenate([case.tokens, said])
            worded = WordedTokens.of(tokens)
            assert worded is not None
            pictures = np.concatenate([seen, np.full(len(said), -1, np.float32)])
            odds = prior(case.question).prior[scope.record.id]
            video = AskedVideo(np.arange(len(tokens)), odds, len(tokens))
            (embedding,) = encoder.encode_texts([case.question])
            parts = worded.parts(case.question, embedding)
            both = worded.relevance(pictures, case.question, parts, [video], encoder.calibration)
            assert encoder.calibration is not None
            unlikely = encoder.calibration.threshold(
                FindOptions.unsure_probability, odds, len(tokens)
            )
            before.append(figures(case, case.tokens, seen, unlikely))
            after.append(figures(case, tokens, both, unlikely))
            groups.append(case.group)
    print(f"{len(groups)} queries about {len(clips)} clips; {len(said)} sentences in the film")
    for name, old, new in zip(FIGURES, np.transpose(before), np.transpose(after), strict=True):
        change = bootstrap(new - old, groups)
        print(f"{name:10s} before {old.mean():.3f}, after {new.mean():.3f}; change {change}")


if __name__ == "__main__":
    main()
