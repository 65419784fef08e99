"""Multiple-choice questions about videos: what readers of benchmarks give, how answers are scored.

A benchmark is a reader, which turns its published files into `Question`s, and the official rule by
which it takes an answer out of what a model wrote. Everything else is common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal.errors import DataError
from seal.evaluate.bootstrap import bootstrap


@dataclass(frozen=True)
class Question:
    """A question about a video, with options of which one is right."""

    id: str
    video: str
    text: str
    """Without its options."""
    options: dict[str, str]
    """Letter -> text, in order."""
    answer: str
    """The letter of the right one."""
    types: tuple[str, ...] = ()
    """What the question is about: it counts in each of these categories."""


def score(
    questions: Sequence[Question], answers: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, Any]:
    """The share of right answers, of each type and overall: `accuracy` of the questions that are
    answered, and `strict`, of all.

    `answers` are letters by the id of the question; `names` the types in order, and how to call
    them; others follow under their own name. A type without questions is left out. Intervals are
    over videos, whose questions are not independent.

    Raises DataError if none of the questions is answered.
    """
    answered = [question for question in questions if question.id in answers]
    if not answered:
        raise DataError("none of the questions is answered: do these outputs belong to them?")
    return {
        "accuracy": _accuracy(answered, answers, names),
        "strict": _accuracy(questions, answers, names),
    }


def _accuracy(
    questions: Sequence[Question], answers: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    figures = {}
    for kind, asked in by_type(questions, names).items():
        right = [answers.get(question.id) == question.answer for question in asked]
        figures[kind] = bootstrap(right, [question.video for question in asked])._asdict()
    return figures


def by_type(
    questions: Sequence[Question], names: Mapping[str, str]
) -> dict[str, Sequence[Question]]:
    """The questions of each type, by its name and in the order of `names`; last, all: "overall"."""
    groups: dict[str, list[Question]] = {kind: [] for kind in names}
    for question in questions:
        for kind in question.types:
            groups.setdefault(kind, []).append(question)
    named = {names.get(kind, kind): group for kind, group in groups.items() if group}
    return {**named, "overall": questions}
