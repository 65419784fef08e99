"""Do chapters begin where the subject of a meeting changes?

    python benchmarks/chapters.py [--data DIR] [--every SECONDS ...]

The meetings of QMSum (`seal.evaluate.qmsum`) come with topics, each with the turns about it; a
boundary is where the turns of a topic begin. Chapters are compared with as many chapters of equal
length, on the training meetings, where the rule was chosen, and on those to report:

Pk     the share of pairs of turns, half a topic apart, of which one side says that they are in
       different chapters and the other that they are not (Beeferman et al. 1999); lower is better
F1     of boundaries that lie within a minute of each other, each counted once
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seal.config import ChapterOptions, MiniEncode
from seal.encode import load
from seal.evaluate.qmsum import Meeting, read
from seal.evaluate.texts import embedder
from seal.spoken import sections
from seal.types import Tokens

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
NEAR_S = 60.0
SPLITS = {"to choose": ["train_academic", "train_committee"], "to report": ["val"]}


def topics(folder: Path, splits: list[str]) -> Iterator[tuple[Meeting, list[int]]]:
    """The meetings, and the turns with which their topics begin."""
    for meeting in read(folder, splits).usable:
        split, line = meeting.name.split("/")
        entry = json.loads((folder / f"{split}.jsonl").read_text().splitlines()[int(line) - 1])
        spans = [span for topic in entry["topic_list"] for span in topic["relevant_text_span"]]
        firsts = {int(first) for first, _ in spans}
        yield meeting, sorted(first for first in firsts if 0 < first < len(meeting.turns))


def pk(wanted: list[int], found: list[int], n: int) -> float:
    half = max(1, round(n / (len(wanted) + 1) / 2))
    inside = []
    for firsts in (wanted, found):
        chapter = np.cumsum(np.isin(np.arange(n), firsts))
        inside.append(chapter[half:] == chapter[:-half])
    return float((inside[0] != inside[1]).mean()) if n > half else 0.0


def f1(wanted: list[int], found: list[int], tokens: Tokens) -> float:
    left, hits = list(tokens.start_s[found]), 0
    for time_s in tokens.start_s[wanted]:
        near = [other for other in left if abs(other - time_s) <= NEAR_S]
        if near:
            left.remove(min(near, key=lambda other: abs(other - time_s)))
            hits += 1
    return 2 * hits / max(1, len(wanted) + len(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--every", type=float, nargs="+", default=[300.0, ChapterOptions().every_s])
    arguments = parser.parse_args()
    embed = embedder("mini")
    print(f"encoder {load(MiniEncode()).fingerprint}")
    for part, splits in SPLITS.items():
        meetings = list(topics(Path(arguments.data) / "qmsum", splits))
        for every_s in arguments.every:
            figures = []
            for meeting, wanted in meetings:
                tokens = meeting.tokens(embed(meeting.texts))
                end_s = float(tokens.end_s.max())
                found = sections(tokens, 0.0, end_s, ChapterOptions(every_s))[1:]
                edges_s = np.linspace(0, end_s, len(found) + 2)[1:-1]
                even = np.searchsorted(tokens.start_s, edges_s).tolist()
                n = len(tokens)
                figures.append(
                    [
                        *(pk(wanted, firsts, n) for firsts in (found, even)),
                        *(f1(wanted, firsts, tokens) for firsts in (found, even)),
                    ]
                )
            pk_found, pk_even, f1_found, f1_even = np.mean(figures, axis=0)
            print(
                f"{part}, {len(meetings)} meetings, a chapter every {every_s:g} s:"
                f" Pk {pk_found:.3f} (equal lengths {pk_even:.3f}),"
                f" F1 {f1_found:.3f} (equal lengths {f1_even:.3f})"
            )


if __name__ == "__main__":
    main()
