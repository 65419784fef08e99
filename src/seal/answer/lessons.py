"""What an answering model learns from: questions about indexed videos, and how to answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from seal.answer.conversation import Conversation
from seal.answer.letters import extract
from seal.answer.prompt import Prompt
from seal.config import TASKS, Options, deciding, digest
from seal.errors import DataError, NotIndexedError
from seal.files import read_json_lines
from seal.lookup import find_video
from seal.scope import Scope
from seal.store import Store, VideoRecord
from seal.training.feed import shuffled

# Videos whose tokens are kept: questions come in any order.
_KEPT = 16


@dataclass(frozen=True)
class LessonExample:
    """A question about a video, and what a model should write."""

    video: str
    """A path or an id."""
    question: str
    answer: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Letter -> text, of a multiple choice: `answer` then says the letter of the right one."""


def read(path: str | Path) -> list[LessonExample]:
    """The examples in a file with one JSON object a line. Raises DataError, naming the entry."""
    examples = [
        _example(f"{path}: entry {number}", entry)
        for number, entry in enumerate(read_json_lines(path), start=1)
    ]
    if not examples:
        raise DataError(f"{path} has no examples")
    return examples


def _example(where: str, entry: Any) -> LessonExample:
    try:
        example = LessonExample(**entry)
    except TypeError as error:
        raise DataError(
            f"{where} must be an object with video, question, answer and perhaps options: {error}"
        ) from None
    texts = (example.video, example.question, example.answer)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(f"{where}: video, question and answer must be texts that are not empty")
    if not isinstance(example.options, dict):
        raise DataError(f"{where}: options must be an object, letter to text")
    if example.options and not extract(example.answer, example.options):
        letters = ", ".join(example.options)
        raise DataError(f"{where}: the answer {example.answer!r} is none of the options {letters}")
    return example


class Lesson(NamedTuple):
    """What a model is sent, and what it should write."""

    prompt: Prompt
    example: LessonExample


class Lessons:
    """Lessons without end: all examples in random order, then all in another one.

    Prompts are those that `Conversation` sends with these `settings`. Examples about videos that
    are not in the store are left out: `missing` names the videos, `examples` has the others.

    Raises DataError if none is left, OptionError for a wrong setting.
    """

    def __init__(
        self, examples: Sequence[LessonExample], store: Store, settings: Sequence[str], seed: int
    ) -> None:
        names = dict.fromkeys(example.video for example in examples)
        found = {name: _find(store, name) for name in names}
        self._records = {name: record for name, record in found.items() if record is not None}
        self.missing = [name for name in names if name not in self._records]
        self.examples = [each for each in examples if each.video in self._records]
        if not self.examples:
            raise DataError(
                f"none of the {len(examples)} examples is about a video in {store.path}: run seal"
                f" index on {', '.join(self.missing[:3])}"
            )
        # By its path: an open store cannot go to the processes that make lessons.
        self._store, self._seed = str(store.path), seed
        self._settings = tuple(settings)

    def __getitem__(self, number: int) -> Lesson:
        """Lesson `number`, from 0."""
        example = self.examples[shuffled(number, len(self.examples), self._seed)]
        scope = _scope(self._store, self._records[example.video].id, self._settings)
        prompt = Conversation(scope).put(example.question, example.options).prompt
        return Lesson(prompt, example)

    @property
    def made_from(self) -> dict[str, Any]:
        """All that decides what the lessons are: options, by profile, and checksums of the data."""
        records = self._records.values()
        profiles = sorted({record.profile for record in records})
        options = {profile: Options.load(profile, self._settings, "ask") for profile in profiles}
        texts = [(e.video, e.question, e.answer, [*e.options.items()]) for e in self.examples]
        return {
            "query": {
                profile: {stage: deciding(getattr(chosen, stage)) for stage in TASKS["ask"].reads}
                for profile, chosen in options.items()
            },
            "data": {
                "examples": digest(texts),
                **{record.path: digest(record.content_id, dict(record.keys)) for record in records},
            },
        }


def _find(store: Store, name: str) -> VideoRecord | None:
    try:
        return find_video(store, name)
    except NotIndexedError:
        return None


@lru_cache(_KEPT)
def _scope(store: str, video: str, settings: tuple[str, ...]) -> Scope:
    return Scope.of(Store(store), video, "ask", settings)
