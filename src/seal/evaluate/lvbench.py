"""LVBench (Wang et al. 2024, arXiv 2406.08035): multiple choice on videos of an hour.

The official code is github.com/zai-org/LVBench: `lvbench/utils/answer_util.py` takes a letter out
of an output, `lvbench/metrics/compute_accuracy.py` counts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from seal.answer.letters import extract
from seal.errors import DataError
from seal.evaluate.choices import Question, by_type, score
from seal.files import read_json, read_json_lines

TYPES = {
    "key information retrieval": "KIR",
    "event understanding": "EU",
    "summarization": "Sum",
    "entity recognition": "ER",
    "reasoning": "Rea",
    "temporal grounding": "TG",
}
"""The types of question, in the order of the paper's tables."""


def extract_official(output: str) -> str:
    """The character that the official code takes for the answer; it need not be a letter.

    Of the text before the first ")": the first character behind the first "(", if there is one and
    no other "(" comes before it, or else of all. "" where nothing is left.
    """
    head = output.strip().split(")")[0].strip()
    inside = head.split("(")[1].strip() if "(" in head else head
    return inside[:1]


def read(path: str | Path) -> list[Question]:
    """The questions of `video_info.meta.jsonl` as published: a video a line, `key` its YouTube id.

    Raises DataError, naming the video, if the file is not what it should be.
    """
    videos = enumerate(read_json_lines(path), start=1)
    questions = [
        q for number, video in videos for q in _read_video(f"{path}: entry {number}", video)
    ]
    if not questions:
        raise DataError(f"{path} has no questions")
    return questions


def _read_video(where: str, video: Any) -> list[Question]:
    try:
        return [_question(str(video["key"]), entry) for entry in video["qa"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{where} is no video of LVBench: {error!r}") from error


def _question(video: str, entry: dict[str, Any]) -> Question:
    """Raises KeyError or TypeError."""
    types = entry["question_type"]
    if not isinstance(types, list):
        raise TypeError(f"question_type is a list, got {types!r}")
    text, *options = re.split(r"^\s*\(([A-Z])\)", entry["question"], flags=re.MULTILINE)
    return Question(
        id=str(entry["uid"]),
        video=video,
        text=text.strip(),
        options=dict(zip(options[::2], map(str.strip, options[1::2]), strict=True)),
        answer=entry["answer"],
        types=tuple(types),
    )


def read_outputs(path: str | Path) -> dict[str, str]:
    """What a model wrote, by the question's uid: one JSON object. Raises DataError."""
    outputs = read_json(path)
    if not isinstance(outputs, dict):
        raise DataError(f"{path} must be one JSON object: uid -> what the model wrote")
    wrong = [uid for uid, output in outputs.items() if not isinstance(output, str)]
    if wrong:
        raise DataError(f"{path}: the output of question {wrong[0]} is no text")
    return outputs


def evaluate(questions: list[Question], outputs: dict[str, str]) -> dict[str, Any]:
    """How good outputs by uid are, with the official and with our own extraction.

    `official` holds what the official code gives, to the letter: `extracted` of every output, and
    `accuracy` of the questions that have one, by type. An empty output is a wrong answer.

    Returns plain values: see `seal eval lvbench --json`. Raises DataError if no output is one of
    these questions'.
    """
    extracted = {uid: extract_official(output) for uid, output in outputs.items()}
    answered = [question for question in questions if question.id in outputs]
    own = {question.id: extract(outputs[question.id], question.options) for question in answered}
    official = score(questions, extracted, TYPES)
    return {
        "questions": _counts(questions),
        "answered": _counts(answered),
        "official": {"extracted": extracted, "accuracy": _official_accuracy(official["accuracy"])},
        "methods": {
            "official": official,
            "seal": score(questions, own, TYPES) | {"extracted": own},
        },
    }


def _counts(questions: list[Question]) -> dict[str, int]:
    return {kind: len(group) for kind, group in by_type(questions, TYPES).items()}


def _official_accuracy(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """By the names that the official code uses."""
    names = {short: name for name, short in TYPES.items()} | {"overall": "acc"}
    return {names.get(kind, kind): figure["mean"] for kind, figure in figures.items()}
