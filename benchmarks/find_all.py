"""Lines of subtitles and described clips, looked for by `find` in their own video and in all.

    python benchmarks/find_all.py --store DIR [--data DIR] [--every]

The store is made once: the videos of the shared data with subtitles, the described clips, the film,
and the meetings of QMSum's training splits as videos of speech alone. Fifty lines of subtitles are
asked for in quotes, and the paraphrases of paraphrases.json ask for lines in other words. A moment
is right if it is of the line's video, has words, and covers half of the line's time. A clip is
asked for by each of its descriptions, and any moment of the clip is right. R@1 and R@5 are the
shares of queries with a right moment first, and among five. `--every` searches each video and
merges what they hold, as a reference for what `find` over all leaves out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import seal
from queries import made_up_record
from quotes import PARAPHRASES, SPLITS, drawn
from seal import Options, encode
from seal.evaluate import haystack, qmsum
from seal.indexed import Video
from seal.library import LocalLibrary
from seal.types import Moment, Span
from seal.words.beside import read_subtitles

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
TOP = 5
LINES = 50


class Asked(NamedTuple):
    """A query, and where its answer is."""

    text: str
    video: str
    span: Span | None = None
    """When the line is said; None where any moment of the video is right."""

    def rank(self, moments: list[Moment]) -> int:
        """The place of the first right moment, from 0; TOP where there is none."""
        right = (i for i, moment in enumerate(moments) if self._is_right(moment))
        return next(right, TOP)

    def _is_right(self, moment: Moment) -> bool:
        if moment.video != self.video or self.span is None:
            return moment.video == self.video
        shared_s = min(moment.span.end_s, self.span.end_s)
        shared_s -= max(moment.span.start_s, self.span.start_s)
        return bool(moment.text) and shared_s >= 0.5 * self.span.duration_s


def made(library: LocalLibrary, data: Path) -> None:
    """Index what is not there yet."""
    subtitled = [*data.glob("videos/*.srt"), *data.glob("footage/words/*.srt")]
    for file in sorted(subtitled):
        library.index(next(path for path in file.parent.glob(f"{file.stem}.m*")))
    for needle in haystack.described_clips(data):
        library.index(needle.path)
    library.index(data / haystack.FILM)
    options, there = Options.load(), {video.id for video in library}
    for meeting in qmsum.read(f"{data}/qmsum", SPLITS).usable:
        name = meeting.name.replace("/", "-")
        if name in there:
            continue
        tokens = meeting.tokens(encode.load(options.encode).encode_texts(meeting.texts))
        record, keys = made_up_record(name, float(tokens.end_s.max()), options), {"speech": "k"}
        library.store.begin(record, keys)
        library.store.add(name, 0, keys, tokens, {})
        library.store.finish(record, keys)
    library.optimize()


def queries(library: LocalLibrary, data: Path) -> dict[str, list[Asked]]:
    """What is asked for, by sort."""
    said: dict[str, Asked] = {}
    for file in sorted([*data.glob("videos/*.srt"), *data.glob("footage/words/*.srt")]):
        video = library.video(next(path for path in file.parent.glob(f"{file.stem}.m*"))).id
        for cue in read_subtitles(file)[0]:
            text = " ".join(cue.text.split())
            said[text] = Asked(text, video, Span(cue.start_s, cue.end_s or cue.start_s))
    lines = drawn(list(said), LINES, np.random.default_rng(0))
    pairs = json.loads(PARAPHRASES.read_text())
    return {
        "quotes": [said[line]._replace(text=f'"{line}"') for line in lines],
        "lines": [said[line] for line in lines],
        "paraphrases": [said[pair["line"]]._replace(text=pair["paraphrase"]) for pair in pairs],
        "clips": [
            Asked(text, library.video(needle.path).id)
            for needle in haystack.described_clips(data)
            for text in needle.texts
        ],
    }


def told(name: str, asked: list[Asked], find: Callable[[Asked], list[Moment]]) -> None:
    began = time.process_time()
    ranks = np.array([one.rank(find(one)) for one in asked])
    spent_ms = 1000 * (time.process_time() - began) / len(asked)
    first, five = np.mean(ranks < 1), np.mean(ranks < TOP)
    print(f"{name:28} R@1 {first:.3f}, R@5 {five:.3f}; {spent_ms:.0f} ms a query", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--store", required=True)
    parser.add_argument("--data", default=DATA, type=Path)
    parser.add_argument("--every", action="store_true")
    args = parser.parse_args()
    library = seal.open(args.store)
    made(library, args.data)
    videos: dict[str, Video] = {video.id: video for video in library}
    print(f"{len(videos)} videos, {sum(len(video.tokens) for video in videos.values()):,} tokens")

    def every(one: Asked) -> list[Moment]:
        found = [moment for each in videos.values() for moment in each.find(one.text).moments]
        return sorted(found, key=lambda moment: -moment.score)[:TOP]

    for name, asked in queries(library, args.data).items():
        told(f"{name} ({len(asked)}), own video", asked, lambda one: _own(videos, one))
        told("  all videos", asked, lambda one: list(library.find(one.text, top=TOP).moments))
        if args.every:
            told("  each video searched", asked, every)


def _own(videos: dict[str, Video], one: Asked) -> list[Moment]:
    return list(videos[one.video].find(one.text, top=TOP).moments)


if __name__ == "__main__":
    sys.exit(main())
