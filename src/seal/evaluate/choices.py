"""Multiple-choice questions about videos: how answers are scored.

A benchmark is its published data and the official rule by which it takes an answer out of what a
model wrote. Everything else is common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from seal.answer.letters import extract
from seal.errors import DataError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.questions import BenchmarkQuestion, Published
from seal.files import read_json

Figures = dict[str, dict[str, float]]
"""The estimate of each type of question."""

STATED = ("The best answer is", "The correct answer is", "The answer is", "The answer")
"""Words before an answer that official codes take out, in this order."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of multiple choice, and its official scoring."""

    data: Published
    official: Callable[[str], str | None]
    """What the official code takes for the answer in an output; None where it finds nothing and
    does not count the question."""
    guesses: bool = False
    """Whether it counts such a question, with a letter that it draws."""
    types: Mapping[str, str] = field(default_factory=dict)
    """The types of question in order, and how to call them; others follow under their own name."""
    overall: str = "overall"
    """What the official code calls the accuracy of all."""
    average: str | None = None
    """What the mean of the accuracies of all types is called, where it is reported."""
    outputs: Callable[[Any], Any] = lambda value: value
    """From what the official code writes or reads to outputs by the question's id."""

    def read_outputs(self, path: str | Path) -> dict[str, str]:
        """What a model wrote, by the question's id: one JSON object, or the official format.

        Raises DataError.
        """
        try:
            outputs = self.outputs(read_json(path))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} has no outputs of {self.data.title}: {error!r}") from error
        if not isinstance(outputs, dict):
            raise DataError(f"{path} must be one JSON object: id -> what the model wrote")
        wrong = [name for name, output in outputs.items() if not isinstance(output, str)]
        if wrong:
            raise DataError(f"{path}: the output of question {wrong[0]} is no text")
        return outputs

    def evaluate(
        self, questions: Sequence[BenchmarkQuestion], outputs: Mapping[str, str]
    ) -> dict[str, Any]:
        """How good outputs by id are, with the official and with our own extraction.

        `official` holds what the official code gives, to the letter: `extracted` of every output
        and `accuracy` by type, by the names that it uses.

        Returns plain values: see `seal eval lvbench --json`. Raises DataError if no output is one
        of these questions'.
        """
        answered = [question for question in questions if question.id in outputs]
        if not answered:
            raise DataError("none of the questions is answered: do these outputs belong to them?")
        taken = {name: self.official(output) for name, output in outputs.items()}
        extracted = {name: letter for name, letter in taken.items() if letter is not None}
        unread = [question for question in answered if question.id not in extracted]
        drawn = {each.id: _guess(each) for each in unread if self.guesses}
        own = {each.id: extract(outputs[each.id], each.options) for each in answered}
        official = self._score(questions, extracted, drawn)
        return {
            "questions": self._counts(questions),
            "answered": self._counts(answered),
            "official": {
                "extracted": extracted | drawn,
                "accuracy": self._official_names(official["accuracy"]),
            },
            "methods": {
                "official": official,
                "seal": self._score(questions, own, {}) | {"extracted": own},
            },
        }

    def _score(
        self,
        questions: Sequence[BenchmarkQuestion],
        answers: Mapping[str, str],
        drawn: Mapping[str, str],
    ) -> dict[str, Any]:
        """The share of right answers: of the questions that have one, and of all; of those that
        were drawn none is right there."""
        counted = {**answers, **drawn}
        answered = [question for question in questions if question.id in counted]
        return {
            "accuracy": self._accuracy(answered, counted),
            "strict": self._accuracy(questions, answers),
        }

    def _accuracy(
        self, questions: Sequence[BenchmarkQuestion], answers: Mapping[str, str]
    ) -> Figures:
        """By type. Intervals are over videos, whose questions are not independent."""
        groups = by_type(questions, self.types)
        figures = {kind: _share(asked, answers) for kind, asked in groups.items() if asked}
        if self.average and questions:
            figures[self.average] = _share(questions, answers, _balanced(questions))
        return figures

    def _counts(self, questions: Sequence[BenchmarkQuestion]) -> dict[str, int]:
        return {kind: len(group) for kind, group in by_type(questions, self.types).items()}

    def _official_names(self, figures: Figures) -> dict[str, float]:
        names = {shown: name for name, shown in self.types.items()} | {"overall": self.overall}
        return {names.get(kind, kind): figure["mean"] for kind, figure in figures.items()}


def first_letter(output: str, phrases: tuple[str, ...], letters: str) -> str | None:
    """The first of these letters, wherever it stands, once the phrases are taken out."""
    for phrase in phrases:
        output = output.replace(phrase, "")
    found = re.search(f"[{letters}]", output)
    return found and found[0]


def by_type(
    questions: Sequence[BenchmarkQuestion], names: Mapping[str, str]
) -> dict[str, Sequence[BenchmarkQuestion]]:
    """The questions of each type, by its name and in the order of `names`; last, all: "overall"."""
    groups: dict[str, list[BenchmarkQuestion]] = {kind: [] for kind in names}
    for question in questions:
        for kind in question.types:
            groups.setdefault(kind, []).append(question)
    named = {names.get(kind, kind): group for kind, group in groups.items() if group}
    return {**named, "overall": questions}


def _share(
    questions: Sequence[BenchmarkQuestion],
    answers: Mapping[str, str],
    weights: Iterable[float] = (1.0,),
) -> dict[str, float]:
    right = np.array([answers.get(question.id) == question.answer for question in questions])
    videos = [question.video for question in questions]
    return bootstrap(right * np.array([*weights]), videos)._asdict()


def _balanced(questions: Sequence[BenchmarkQuestion]) -> list[float]:
    """What each question weighs where all types weigh the same: 1 on average."""
    sizes = Counter(question.types for question in questions)
    return [len(questions) / (len(sizes) * sizes[question.types]) for question in questions]


def _guess(question: BenchmarkQuestion) -> str:
    """The same letter each time, so that a score can be had again."""
    return Random(question.id).choice([*question.options])
