"""Asks a model the questions of a benchmark about indexed videos, with and without selection.

Each question is asked twice, of the same model and with the same budget: with the evidence that
SEAL selects, and with scenes an equal time apart. What was answered is in a file after each
question, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from seal import __version__
from seal.answer import Answerer, Conversation
from seal.answer.evidence import Evidence, gather, uniformly
from seal.attention.candidates import costs
from seal.clock import clock
from seal.config import Options, as_dict
from seal.content import LONGEST_QUERY
from seal.errors import AnswerError, DataError
from seal.evaluate.questions import BenchmarkQuestion
from seal.files import append_json_line, read_appended, write_json_lines
from seal.results import Answer
from seal.scope import Scope

Choose = Callable[..., Evidence]
"""How evidence is chosen: see `gather`."""

METHODS: dict[str, Choose] = {"seal": gather, "uniform": uniformly}

Outputs = dict[str, dict[str, str]]
"""By method, what the model wrote, by the id of the question."""

_PAUSED = (resources.files("seal.evaluate") / "paused.txt").read_text("utf-8")


def manifest(benchmark: str, answerer: Answerer, options: Options) -> dict[str, Any]:
    """What decides the outputs, but for the videos."""
    answer = as_dict(options.answer)
    answer.pop("together", None)
    return {
        "benchmark": benchmark,
        "seal": __version__,
        "answerer": answerer.name,
        "attention": as_dict(options.attention),
        "answer": answer,
    }


class AnswerRun:
    """The file of a run: its manifest, then a line for each answer."""

    def __init__(self, path: str | Path, manifest: dict[str, Any]) -> None:
        """Raises DataError if the file is that of a run with another manifest, and answers."""
        self._path = path
        self.outputs: Outputs = {method: {} for method in METHODS}
        begin = {"manifest": manifest}
        first, *lines = read_appended(path) or [{"manifest": None}]
        if first != begin:
            if lines or not isinstance(first, dict) or "manifest" not in first:
                raise DataError(
                    f"{path} holds a run with other settings: {first}; use another file"
                )
            write_json_lines(path, [begin])
        for line in lines:
            self.outputs[line["method"]][line["id"]] = line["output"]

    def add(
        self, method: str, question: BenchmarkQuestion, output: str, evidence: list[str]
    ) -> None:
        self.outputs[method][question.id] = output
        values = {"method": method, "id": question.id, "output": output, "evidence": evidence}
        append_json_line(self._path, values)


def ask_all(
    questions: Sequence[BenchmarkQuestion],
    find: Callable[[str], Scope | None],
    answerer: Answerer,
    run: AnswerRun,
    on_failure: Callable[[BenchmarkQuestion, AnswerError], None],
) -> list[str]:
    """Ask what `run` has no answer to; the videos that `find` has not are returned.

    A question at which the model fails stays without an answer, and is asked again by the next run.
    """
    missing = []
    # By video, so that each is opened once.
    for name in dict.fromkeys(question.video for question in questions):
        scope = find(name)
        if scope is None:
            missing.append(name)
            continue
        left = [
            (question, method)
            for question in questions
            for method in METHODS
            if question.video == name and question.id not in run.outputs[method]
        ]
        size = scope.options.answer.at_once
        for part in (left[first : first + size] for first in range(0, len(left), size)):
            answers = _ask(scope, part, answerer)
            for (question, method), answer in zip(part, answers, strict=True):
                if isinstance(answer, AnswerError):
                    on_failure(question, answer)
                elif answer.cut:
                    on_failure(question, AnswerError(f"the answer is cut off: {answer.cut}"))
                else:
                    run.add(method, question, answer.text or "", answer.evidence.ids.tolist())
    return missing


def _ask(
    scope: Scope, part: Sequence[tuple[BenchmarkQuestion, str]], answerer: Answerer
) -> list[Answer | AnswerError]:
    """All at once, and each that fails again on its own, where it may be asked for less."""
    talks = [
        (*opened(scope, question, answerer, METHODS[method]), question.options)
        for question, method in part
    ]
    if len(talks) == 1:
        return [_alone(*talks[0])]
    asked = [talk.put(text, options) for talk, text, options in talks]
    texts = answerer.answer_all([each.prompt for each in asked])
    return [
        _alone(*talk) if isinstance(text, AnswerError) else talk[0].take(each, text)
        for talk, each, text in zip(talks, asked, texts, strict=True)
    ]


def _alone(talk: Conversation, text: str, options: Mapping[str, str]) -> Answer | AnswerError:
    try:
        return talk.ask(text, options=options)
    except AnswerError as error:
        return error


def opened(
    scope: Scope, question: BenchmarkQuestion, answerer: Answerer, choose: Choose
) -> tuple[Conversation, str]:
    """Where a question is asked, and in which words."""
    # A longer question is put as it is, but evidence is looked for by its beginning.
    chosen, text = about(choose, question.text[:LONGEST_QUERY]), question.text
    if question.until_s is not None:
        until_s = scope.record.start_s + question.until_s
        chosen = paused(chosen, until_s)
        text = _PAUSED.format(time=clock(until_s), question=text)
    return Conversation(scope, answerer, chosen), text


def about(choose: Choose, query: str) -> Choose:
    """As `choose` does for this query, however the question is put."""
    return lambda scope, _, budget, **more: choose(scope, query, budget, **more)


def paused(choose: Choose, until_s: float) -> Choose:
    """As `choose` does, of nothing but what ends by an instant; among it is the last scene before,
    whatever it shows: the question is asked there."""

    def chosen(
        scope: Scope, question: str, budget: float, *, new: float = np.inf, **more: Any
    ) -> Evidence:
        tokens = scope.tokens
        later = tokens.end_s > until_s
        scenes = np.flatnonzero(tokens.where(lambda kind: kind.uniform) & ~later)
        last = scenes[np.argsort(tokens.end_s[scenes], kind="stable")][-1:]
        later[last] = True
        price = float(costs(tokens, scope.options.attention)[last].sum())
        evidence = choose(scope, question, budget - price, new=new - price, exclude=later, **more)
        rows = np.union1d(evidence.rows, last)
        return evidence._replace(rows=rows[np.argsort(scope.start_s[rows], kind="stable")])

    return chosen
