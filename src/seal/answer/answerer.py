"""One interface to models that answer, wherever they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

from seal import backends
from seal.answer.prompt import Prompt
from seal.answer.thoughts import Spoken
from seal.config import NoAnswer
from seal.errors import AnswerError, OptionError

OnText = Callable[[str], None]
"""Is handed the answer piece by piece as it is written."""


class Ending(NamedTuple):
    """How a text ended, for generators that `Answerer.stream` returns."""

    cut: str = ""
    """Why the text ends before it is whole; "" where it is whole."""
    notes: tuple[str, ...] = ()
    """What was asked otherwise than the options say, and why."""


class Reply(str):
    """What a model answers, without its thoughts."""

    cut: str
    """Why the text ends before it is whole; "" where it is whole."""
    notes: tuple[str, ...]
    """What was asked otherwise than the options say, and why."""

    def __new__(cls, text: str, cut: str = "", notes: tuple[str, ...] = ()) -> Reply:
        reply = super().__new__(cls, text)
        reply.cut, reply.notes = cut, notes
        return reply


class Answerer(ABC):
    """A multimodal language model that answers prompts."""

    @cached_property
    def name(self) -> str:
        """The back end and the model, as answers name it; by default the name of the class."""
        return type(self).__name__

    @abstractmethod
    def stream(self, prompt: Prompt) -> Iterator[str]:
        """What the model writes, piece by piece as it is written, thoughts included.

        A generator may return an `Ending`.

        Raises AnswerError if the model fails, and ContextError if the prompt is too long for it.
        """

    def reply(self, prompt: Prompt, on_text: OnText | None = None) -> Reply:
        """The whole answer, without thoughts.

        `on_text` gets the answer piece by piece. If the model does not mark where its thoughts
        begin, they are among the pieces until their end is marked.

        Raises as `stream` does, and AnswerError where there is no answer.
        """
        spoken, endings, begun = Spoken(), list[Ending](), False
        for said in _said(spoken, _noting(self.stream(prompt), endings)):
            # Between thoughts and answer most models leave lines empty.
            text = said if begun else said.lstrip()
            begun = begun or bool(text)
            if text and on_text is not None:
                on_text(text)
        ending = endings[0]
        return Reply(said_by(self.name, spoken, ending.cut), *ending)

    def answer(self, prompt: Prompt) -> Reply:
        """The whole answer. Raises as `reply` does."""
        return self.reply(prompt)

    def answer_all(self, prompts: Sequence[Prompt]) -> list[str | AnswerError]:
        """The whole answers to several prompts, at once where the back end can; where one fails,
        its error is in its place."""
        return [self._tried(prompt) for prompt in prompts]

    def _tried(self, prompt: Prompt) -> str | AnswerError:
        try:
            return self.answer(prompt)
        except AnswerError as error:
            return error

    def with_options(self, options: NoAnswer) -> Answerer | None:
        """The model of other options, as `load` gives it; what both have need not be loaded anew.

        Raises as `load` does.
        """
        return load(options)

    def sampling(self, *, seed: int | None = None, stop: Sequence[str] = ()) -> Answerer:
        """The model with a seed for what it leaves to chance, and texts at which an answer ends.

        Raises OptionError if this back end takes neither.
        """
        raise OptionError(f"{self.name} takes no seed and no stop: leave them out")

    def choose(self, prompt: Prompt, letters: Sequence[str]) -> str:
        """The letter that is most likely the first thing that the model writes.

        Raises OptionError if this back end cannot tell.
        """
        raise OptionError(f"{self.name} does not tell how likely its answers are; use hf")


def said_by(name: str, spoken: Spoken, cut: str) -> str:
    """The answer in what a model said. Raises AnswerError if there is none."""
    text = spoken.text.strip()
    if text:
        return text
    wrote = "thoughts and no answer" if spoken.thought else "nothing"
    why = f": {cut}" if cut else "; ask again, or ask another model"
    raise AnswerError(f"{name} wrote {wrote}{why}")


def _said(spoken: Spoken, pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        yield spoken.hear(piece)
    yield spoken.finish()


def _noting(pieces: Iterator[str], endings: list[Ending]) -> Generator[str]:
    """The pieces; what their generator returns goes into `endings`."""
    ending = yield from cast("Generator[str, None, Any]", pieces)
    endings.append(ending if isinstance(ending, Ending) else Ending())


def load(options: NoAnswer) -> Answerer | None:
    """The model that these options (`seal.config.OpenAIAnswer`, ...) describe; None for none.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    if options.backend == "none":
        return None
    answerer: Answerer = backends.make("answer", options, Answerer)
    return answerer
