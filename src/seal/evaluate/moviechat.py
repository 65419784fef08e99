"""MovieChat-1K (Song et al., CVPR 2024): free answers about films of ten minutes.

Global questions are about the whole film, breakpoint questions about a moment of it. Outputs come
as the official code (github.com/rese1f/MovieChat) writes them: film -> question, answer, pred, and
of breakpoint questions the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.errors import DataError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.judge import Judge
from seal.files import read_json

MODES = ("global", "breakpoint")


@dataclass(frozen=True)
class Output:
    """A question, the right answer, and what a model answered."""

    video: str
    mode: str
    """One of `MODES`."""
    question: str
    answer: str
    output: str


def read_outputs(path: str | Path) -> list[Output]:
    """All outputs in a file. Raises DataError, naming the film, if it is not what it should be."""
    films = read_json(path)
    if not isinstance(films, dict):
        raise DataError(f"{path} must be one JSON object: film -> its questions with outputs")
    outputs = [output for film, asked in films.items() for output in _read(path, film, asked)]
    if not outputs:
        raise DataError(f"{path} has no outputs")
    return outputs


def _read(path: str | Path, film: str, asked: Any) -> list[Output]:
    try:
        return [
            Output(
                video=film,
                # The official lists mark global questions by no time, or by -1.
                mode=MODES[entry.get("time", -1) >= 0],
                question=str(entry["question"]),
                answer=str(entry["answer"]),
                output=str(entry["pred"]).replace("</s>", "").strip(),
            )
            for entry in asked
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: {film} is no list of questions with outputs: {error!r}"
        ) from error


def evaluate(outputs: Sequence[Output], judge: Judge) -> dict[str, Any]:
    """The share of correct answers and the mean score, of those judged; intervals over films.

    `strict` is the share of correct ones of all, those included that the judge failed to judge.
    Returns plain values: see `seal eval moviechat --json`.
    """
    figures: dict[str, Any] = {"judge": judge.name}
    for mode in MODES:
        asked = [output for output in outputs if output.mode == mode]
        if not asked:
            continue
        verdicts = [judge(each.question, each.answer, each.output) for each in asked]
        judged = [(v, each.video) for v, each in zip(verdicts, asked, strict=True) if v]
        videos = [video for _, video in judged]
        correct = [v is not None and v.correct for v in verdicts]
        figures[mode] = {
            "questions": len(asked),
            "judge_failures": len(asked) - len(judged),
            "strict": bootstrap(correct, [each.video for each in asked])._asdict(),
        }
        if judged:
            scores = [v.score for v, _ in judged]
            figures[mode] |= {
                "accuracy": bootstrap([v.correct for v, _ in judged], videos)._asdict(),
                "score": bootstrap(scores, videos)._asdict(),
            }
    return figures
