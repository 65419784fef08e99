"""Asks a model the questions of a benchmark about indexed videos, with and without selection.

Each question is asked once for each way to choose evidence, of the same model and with the same
budget. The default ways are the evidence that SEAL selects, and with scenes an equal time apart.
What was answered is in a file after each question, so that an interrupted run goes on where it
stopped. The file says what ran: the settings, and with which options each video was indexed and
asked about.
"""

from __future__ import annotations

import json
import platform
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np

from seal import __version__, kinds
from seal.answer import Answerer, Conversation
from seal.answer.evidence import Evidence
from seal.attention.candidates import costs
from seal.clock import clock
from seal.config import as_dict, digest
from seal.content import LONGEST_QUERY
from seal.errors import AnswerError, DataError
from seal.evaluate.questions import BenchmarkQuestion
from seal.evaluate.ways import SEAL, UNIFORM, Choose, ways
from seal.files import append_json_line, read_appended, write_json_lines
from seal.results import Answer
from seal.scope import Scope
from seal.settings import split

METHODS: dict[str, Choose] = ways((SEAL, UNIFORM))

Outputs = dict[str, dict[str, str]]
"""By method, what the model wrote, by the id of the question."""

_PAUSED = (resources.files("seal.evaluate") / "paused.txt").read_text("utf-8")
_SHOWN = 400
"""So many characters are shown of what differs between two runs."""
_PACKAGES = ("numpy", "openai", "torch", "transformers")
"""Packages whose version can decide an output, where they are installed."""


def manifest(benchmark: str, answerer: Answerer, settings: Sequence[str]) -> dict[str, Any]:
    """What decides the outputs, but for the videos: see `ran`."""
    # How many questions are put at once decides no answer.
    settings = [each for each in settings if split(each)[0] != "answer.together"]
    return {
        "benchmark": benchmark,
        "versions": _versions(),
        "answerer": answerer.name,
        "settings": settings,
        "prompts": _prompts(),
    }


def _versions() -> dict[str, str]:
    found = {"seal": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _prompts() -> str:
    """A digest of all words that SEAL puts into prompts."""
    templates = (resources.files("seal.answer") / "templates").iterdir()
    words = {path.name: path.read_text("utf-8") for path in templates}
    meanings = [f"{kind.word}: {kind.meaning}" for kind in kinds.known().values()]
    return digest(*(words[name] for name in sorted(words)), *meanings, _PAUSED)


def ran(scope: Scope) -> dict[str, Any]:
    """How a video was indexed, as its own record says, and with which options it is asked about."""
    record, options = scope.record, scope.options
    answer = as_dict(options.answer)
    answer.pop("together", None)
    return {
        "profile": record.profile,
        "encoder": record.encoder,
        "indexed": dict(record.options),
        "quick": record.is_quick,
        "attention": as_dict(options.attention),
        "find": as_dict(options.find),
        "head": as_dict(options.head),
        "answer": answer,
    }


def _other(first: Any, wanted: Mapping[str, Any]) -> str:
    """Which entries of two manifests differ."""
    came = first.get("manifest") if isinstance(first, dict) else None
    if not isinstance(came, dict):
        return f" ({str(first)[:_SHOWN]})"
    keys = [key for key in {**came, **wanted} if came.get(key) != wanted.get(key)]
    listed = "; ".join(f"{key}: {came.get(key)}, not {wanted.get(key)}" for key in keys)
    return f" ({listed[:_SHOWN]})"


class AnswerRun:
    """The file of a run: its manifest, then a line for each video and for each answer."""

    def __init__(
        self,
        path: str | Path,
        manifest: dict[str, Any],
        methods: Mapping[str, Choose] = METHODS,
    ) -> None:
        """Raises DataError if the file is that of a run with another manifest, and answers."""
        self._path = path
        self.methods = methods
        self._every: Outputs = defaultdict(dict)
        self.videos: dict[str, dict[str, Any]] = {}
        begin = {"manifest": manifest}
        first, *lines = read_appended(path) or [{"manifest": None}]
        if first != begin:
            if lines or not isinstance(first, dict) or "manifest" not in first:
                raise DataError(
                    f"{path} holds a run with other settings{_other(first, manifest)}; use another"
                    " file, or the settings of that run"
                )
            write_json_lines(path, [begin])
        try:
            for line in lines:
                if "video" in line:
                    self.videos[line["video"]] = line["ran"]
                else:
                    self._every[line["method"]][line["id"]] = line["output"]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} is not the file of a run: {error!r}") from error

    @property
    def outputs(self) -> Outputs:
        """Those of the run's methods; the file may hold more."""
        return {method: self._every[method] for method in self.methods}

    @property
    def summary(self) -> list[dict[str, Any]]:
        """How videos were asked about, each different way once, with the videos that it is of."""
        grouped: dict[str, dict[str, Any]] = {}
        for video, how in self.videos.items():
            key = json.dumps(how, sort_keys=True)
            grouped.setdefault(key, {"videos": [], **how})["videos"].append(video)
        return list(grouped.values())

    def begin(self, video: str, how: dict[str, Any]) -> None:
        """Say that questions about a video are asked now, and how: see `ran`.

        Raises DataError if the file has answers about the video in which it was asked otherwise.
        """
        # As the file will have it: tuples are lists there.
        how = json.loads(json.dumps(how))
        before = self.videos.get(video)
        if before is None:
            self.videos[video] = how
            append_json_line(self._path, {"video": video, "ran": how})
        elif before != how:
            raise DataError(
                f"{self._path} holds answers about {video} with other options"
                f"{_other({'manifest': before}, how)}; use another file"
            )

    def add(
        self, method: str, question: BenchmarkQuestion, output: str, evidence: list[str]
    ) -> None:
        """Keep an answer of a method, in memory and as a line of the file."""
        self._every[method][question.id] = output
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
        run.begin(name, ran(scope))
        left = [
            (question, method)
            for question in questions
            for method in run.methods
            if question.video == name and question.id not in run.outputs[method]
        ]
        chosen = [(question, run.methods[method]) for question, method in left]
        size = scope.options.answer.at_once
        for first in range(0, len(left), size):
            answers = _ask(scope, chosen[first : first + size], answerer)
            for (question, method), answer in zip(left[first:], answers, strict=False):
                if isinstance(answer, AnswerError):
                    on_failure(question, answer)
                elif answer.cut:
                    on_failure(question, AnswerError(f"the answer is cut off: {answer.cut}"))
                else:
                    run.add(method, question, answer.text or "", answer.evidence.ids.tolist())
    return missing


def _ask(
    scope: Scope, part: Sequence[tuple[BenchmarkQuestion, Choose]], answerer: Answerer
) -> list[Answer | AnswerError]:
    """All at once, and each that fails again on its own, where it may be asked for less."""
    talks = [
        (*opened(scope, question, answerer, choose), question.options) for question, choose in part
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
        return talk.ask(text, choices=options)
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

    def chosen(scope: Scope, question: str, budget: float, **more: Any) -> Evidence:
        return choose(scope, query, budget, **more)

    return chosen


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
