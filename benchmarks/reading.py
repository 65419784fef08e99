"""On-screen text: lines that are found, and how well their times are known.

    python benchmarks/reading.py slides --seed 0 [--backend tesseract]
    python benchmarks/reading.py footage

`slides` draws a film of slides, cross-fades, a list that grows, a clock, captions on a moving
picture, credits and a ticker, and knows the time of each line. `footage` reads `counter` and
`sunscreen-advert` of `footage/words`. Both compare text tokens with the same reader on single
frames, one every `text.interval_s`. A line is found if a token or a frame of its time has it but
for a fifth of its letters and none of its numbers; its span is right if its start and its end are
within a second.
"""

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from data import ROOT
from seal.config import Options
from seal.decompose import Draft, Maker, Models, PartContext
from seal.decompose.history import History
from seal.decompose.shots import Shots
from seal.decompose.writing import Writing
from seal.video import open_video
from seal.words.alike import plain

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from slides import programme, write_slides

WITHIN_S, WRONG = 1.0, 0.2
DIVIDED = {"counter": " (?=PTS)", "sunscreen-advert": r" ?\*|(?<=:) | (?=MOIST|SPF|FROM|skin)"}
"""Where the pictures of `footage/words` divide the text of a cue into lines."""


@dataclass(frozen=True)
class Line:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Measured:
    lines: int
    alone: int
    """Lines that single frames have."""
    found: int
    timed: int
    """Of those found."""
    tokens: int
    true_tokens: int
    """Tokens that are about a line of the truth."""
    per_minute: float
    """Pictures read."""
    realtime: float
    """Seconds of video by seconds of CPU time, for decoding and text tokens."""


def holds(text: str, line: str) -> bool:
    """Whether a stretch of `text` is `line`, but for a fifth of its letters and none of its
    numbers."""
    if not {*re.findall(r"\d+", line)} <= {*re.findall(r"\d+", text)}:
        return False
    text, line = plain(text), plain(line)
    costs = [0] * (len(text) + 1)
    for row, letter in enumerate(line, 1):
        corner, costs[0] = costs[0], row
        for column, other in enumerate(text, 1):
            least = min(costs[column] + 1, costs[column - 1] + 1, corner + (letter != other))
            corner, costs[column] = costs[column], least
    return bool(line) and min(costs) <= WRONG * len(line)


def tokens_of(
    path: Path, options: Options, models: Models
) -> tuple[list[Draft], float, int, float]:
    """The text tokens of a whole video, its length, how many pictures were read, CPU seconds."""
    began = _cpu_s()
    with open_video(path, options.video, threads=1) as video:
        part = PartContext(options, models, video.info, History(), video.info.start_s)
        made: Maker = Writing.of(part)
        shots, drafts = Shots(), []
        for frame in video.frames():
            drafts += made.push(frame, shots.push(frame))
        drafts += made.end()
        length_s = video.read_until_s - video.info.start_s
        tick = video.info.time_base
    drafts = [
        Draft(d.kind, (float(d.pts[0] * tick), float(d.pts[1] * tick)), d.box, d.score, text=d.text)
        for d in drafts
    ]
    return drafts, length_s, made.pictures_read, _cpu_s() - began


def _cpu_s() -> float:
    """Of this process and of the programs that it has run."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def alone(path: Path, options: Options, models: Models) -> list[tuple[float, str]]:
    """When and what the reader reads on single frames."""
    read = []
    next_s = 0.0
    with open_video(path, options.video, threads=1) as video:
        for frame in video.frames():
            if frame.time_s >= next_s:
                next_s += options.text.interval_s
                lines = models.reader.read(frame.larger(options.text.short_side_px))
                least = options.text.min_score
                read += [(frame.time_s, line.text) for line in lines if line.score >= least]
    return read


def measure(
    path: Path, truth: list[Line], options: Options, models: Models, verbose: bool
) -> Measured:
    drafts, length_s, pictures, seconds = tokens_of(path, options, models)
    single = alone(path, options, models)
    by_frames = found = timed = 0
    true = set()
    for line in truth:
        by_frames += any(
            line.start_s <= at_s < line.end_s and holds(text, line.text) for at_s, text in single
        )
        about = [
            d
            for d in drafts
            if d.pts[0] < line.end_s and d.pts[1] > line.start_s and holds(d.text, line.text)
        ]
        true |= {id(d) for d in about}
        found += bool(about)
        right = [
            d
            for d in about
            if abs(d.pts[0] - line.start_s) <= WITHIN_S and abs(d.pts[1] - line.end_s) <= WITHIN_S
        ]
        timed += bool(right)
        if verbose and not right:
            print(
                f"  {line.start_s:6.2f} {line.end_s:6.2f} {line.text!r}:",
                [(f"{d.pts[0]:.2f} {d.pts[1]:.2f}", d.text) for d in about],
            )
    if verbose:
        for d in sorted(drafts, key=lambda d: d.pts):
            mark = " " if id(d) in true else "?"
            box = [round(float(side), 2) for side in d.box]
            print(f"{mark} {d.pts[0]:6.2f} {d.pts[1]:6.2f} {d.score:.2f} {box} {d.text!r}")
    return Measured(
        len(truth),
        by_frames,
        found,
        timed,
        len(drafts),
        len(true),
        60 * pictures / length_s,
        length_s / seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["slides", "footage"])
    parser.add_argument("--backend", default="rapidocr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--list", action="store_true", help="print the lines and the tokens")
    given = parser.parse_args()
    options = Options.load("mini", [f"read.backend={given.backend}", *given.settings])
    models = Models.load(options)
    # Loads the networks.
    models.reader.read(np.zeros((64, 64, 3), np.uint8))
    with TemporaryDirectory() as folder:
        films: dict[str, tuple[Path, list[Line]]] = {}
        if given.what == "slides":
            lines, length_s, ground = programme(given.seed)
            path = write_slides(Path(folder) / "slides.mp4", lines, length_s, background=ground)
            films["slides"] = path, [Line(line.text, line.start_s, line.end_s) for line in lines]
        else:
            words = json.loads((ROOT / "footage" / "words" / "words.json").read_text())
            for name, film in words.items():
                if film["kind"] == "screen":
                    truth = [
                        Line(text, start_s, end_s)
                        for start_s, end_s, whole in film["cues"]
                        for text in re.split(DIVIDED[name], whole)
                        if text
                    ]
                    films[name] = ROOT / "footage" / film["file"], truth
        for name, (path, truth) in films.items():
            m = measure(path, truth, options, models, given.list)
            print(
                f"{name}, {given.backend}: {m.lines} lines; single frames find {m.alone}, tokens"
                f" {m.found}, within {WITHIN_S:g} s {m.timed}; {m.tokens} tokens,"
                f" {m.true_tokens} of these lines; {m.per_minute:.0f} pictures read a minute,"
                f" {m.realtime:.1f} x real time"
            )


if __name__ == "__main__":
    main()
