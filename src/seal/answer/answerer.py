"""One interface to models that answer, wherever they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from seal import backends
from seal.answer.prompt import Prompt
from seal.config import NoAnswer
from seal.errors import AnswerError, OptionError


class Answerer(ABC):
    """A multimodal language model that answers prompts."""

    name: str
    """The back end and the model."""

    @abstractmethod
    def stream(self, prompt: Prompt) -> Iterator[str]:
        """The answer, piece by piece as it is written.

        Raises AnswerError if the model fails, and ContextError if the prompt is too long for it.
        """

    def answer(self, prompt: Prompt) -> str:
        """The whole answer. Raises as `stream` does."""
        return "".join(self.stream(prompt)).strip()

    def answer_all(self, prompts: Sequence[Prompt]) -> list[str | AnswerError]:
        """The whole answers to several prompts, at once where the back end can; where one fails,
        its error is in its place."""
        return [self._tried(prompt) for prompt in prompts]

    def _tried(self, prompt: Prompt) -> str | AnswerError:
        try:
            return self.answer(prompt)
        except AnswerError as error:
            return error

    def choose(self, prompt: Prompt, letters: Sequence[str]) -> str:
        """The letter that is most likely the first thing that the model writes.

        Raises OptionError if this back end cannot tell.
        """
        raise OptionError(f"{self.name} does not tell how likely its answers are; use hf")


def load(options: NoAnswer) -> Answerer | None:
    """The model that these options (`seal.config.OpenAIAnswer`, ...) describe; None for none.

    Raises BackendError if its extra is not installed or its weights are not there.
    """
    if options.backend == "none":
        return None
    answerer: Answerer = backends.resolve("answer", options.backend)(options)
    return answerer
