"""Free answers, judged by a language model: one pinned model and prompt, verdicts kept in a file.

The protocol of Video-ChatGPT (Maaz et al. 2024), which MovieChat-1K uses: correct or not, and a
score of 0 to 5. What the judge says is told apart from what it fails to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from seal.answer import Answerer, Message
from seal.config import digest
from seal.errors import AnswerError, DataError
from seal.files import append_json_line, read_appended

PROMPT = (resources.files("seal.evaluate") / "judge.txt").read_text("utf-8")
# Some judges write a Python dictionary, as the original prompt asks for.
_PRED = re.compile(r"""["']?pred["']?\s*:\s*["']?(yes|no)\b""", re.I)
_SCORE = re.compile(r"""["']?score["']?\s*:\s*["']?([0-5](?:\.\d+)?)(?![\d.])""", re.I)

_SHOWN = 100
"""So many characters are shown of what is no verdict."""


class Judgement(NamedTuple):
    """What a judge says of an answer."""

    correct: bool
    score: float
    """0 to 5."""


class Judge:
    """Asks each thing once: `name`, the prompt and the texts decide which verdict is whose."""

    def __init__(
        self,
        answerer: Answerer,
        verdicts: str | Path | None = None,
        prompt: str = PROMPT,
        on_failure: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """`verdicts` is the file, made where there is none. In `prompt`, {question}, {answer} and
        {output} stand for the texts. Raises DataError if the file is damaged."""
        self.name = f"{answerer.name}, prompt {digest(prompt)}"
        self._prompt = prompt
        self._answerer = answerer
        self._on_failure = on_failure
        self._path = verdicts
        self._known = {} if verdicts is None else read_verdicts(verdicts)

    def __call__(self, question: str, answer: str, output: str) -> Judgement | None:
        """Whether `output` means the right `answer`; None if the judge failed to say."""
        key = digest(self.name, question, answer, output)
        if key not in self._known:
            verdict = self._ask(question, answer, output)
            if verdict is None:
                return None
            self._known[key] = verdict
            if self._path is not None:
                values = {"key": key, "judge": self.name, **verdict._asdict()}
                append_json_line(self._path, values)
        return self._known[key]

    def _ask(self, question: str, answer: str, output: str) -> Judgement | None:
        texts = {"question": question, "answer": answer, "output": output}
        text = re.sub(r"\{(question|answer|output)\}", lambda name: texts[name[1]], self._prompt)
        try:
            said = self._answerer.answer([Message("user", (text,))])
        except AnswerError as error:
            self._on_failure(str(error))
            return None
        verdict = parse(said)
        if verdict is None:
            self._on_failure(f"no verdict in {said[:_SHOWN]!r}")
        return verdict


def read_verdicts(path: str | Path) -> dict[str, Judgement]:
    """Those in a judge's file, by key. Raises DataError."""
    try:
        return {
            line["key"]: Judgement(line["correct"], line["score"]) for line in read_appended(path)
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} has no verdicts: {error!r}") from error


def parse(said: str) -> Judgement | None:
    """The verdict in what a judge wrote; None if there is none, or more than one."""
    preds, scores = _PRED.findall(said), _SCORE.findall(said)
    if len(preds) != 1 or len(scores) != 1:
        return None
    return Judgement(preds[0].lower() == "yes", float(scores[0]))
