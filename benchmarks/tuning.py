"""Training to answer: the share of the loss on eight examples that is left after fifty steps.

    python benchmarks/tuning.py [--set tune.rank=8]

The networks are tiny and have random weights, in the form of published families; they are those of
the tests. A step sees all eight questions about a generated film. A loss is measured before its
step, without dropout.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

from seal import Options
from seal.answer.lessons import LessonExample, Lessons
from seal.answer.train import train
from seal.config import HfAnswer, TuneOptions
from seal.evaluate.film import write_film
from seal.ingest import index as index_video
from seal.settings import replaced
from seal.store import Store

ANSWERS = {
    "Where is the red ball?": "left",
    "What moves?": "a ball",
    "Why does it fall?": "it is heavy",
    "Who is there?": "nobody",
    "When does it rain?": "at noon",
    "How many are there?": "three",
    "What colour is it?": "blue",
    "What comes next?": "rain",
}
STEPS = 50
# Random weights need larger steps than trained ones.
OPTIONS = TuneOptions(
    steps=STEPS + 1, accumulate=len(ANSWERS), learning_rate=2e-2, dropout=0.0, workers=0
)


def share(lessons: Lessons, model: Path, options: TuneOptions, run: Path) -> tuple[float, float]:
    """The loss before any step, and the share of it that is left."""
    train(lessons, HfAnswer(model=str(model)), options, run)
    losses = [json.loads(line)["loss"] for line in (run / "curve.jsonl").read_text().splitlines()]
    return losses[0], losses[STEPS] / losses[0]


def main(settings: list[str]) -> None:
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import tiny_answerer

    torch.set_num_threads(1)
    options = replaced({"tune": OPTIONS}, settings)["tune"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        film, store = folder / "film.mp4", Store(folder / "store", create=True)
        write_film(film, seed=2, duration_s=6.0)
        index_video(film, store, Options.load(), jobs=1)
        examples = [LessonExample(str(film), *each) for each in ANSWERS.items()]
        lessons = Lessons(examples, store, ["attention.budget=1"], options.seed)
        print("| network | loss | left after 50 steps | CPU time, s |\n|---|---|---|---|")
        for family in tiny_answerer.FAMILIES:
            model = tiny_answerer.save(folder / family, family)
            began = time.process_time()
            loss, left = share(lessons, model, options, folder / f"run-{family}")
            print(f"| {family} | {loss:.2f} | {left:.1%} | {time.process_time() - began:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        main(parser.parse_args().settings)
