"""Models on this machine: `transformers` with a chat template."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from threading import Event, Thread
from typing import Any

from seal.answer.adapter import attach, base_of
from seal.answer.answerer import Answerer, Ending, Reply, said_by
from seal.answer.processor import Reader, ends_of
from seal.answer.prompt import Prompt
from seal.answer.thoughts import Spoken
from seal.config import HfAnswer, NoAnswer
from seal.devices import resolve_device
from seal.errors import AnswerError, ContextError
from seal.weights import library_class, load_model, locate, require


class LocalAnswerer(Answerer):
    """An image-text-to-text model of the hub or a folder, or an adapter for one.

    Safetensors only.
    """

    def __init__(self, options: HfAnswer) -> None:
        self._torch = require("torch")
        weights = locate(options.model, options.revision)
        device = resolve_device(options.device)
        dtype = options.dtype
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else "bfloat16"
        base = base_of(weights)
        self._reader = Reader(options.model, base)
        spread = None if options.device_map == "none" else options.device_map
        if spread is not None:
            require("accelerate", "train")
        network = load_model(
            "AutoModelForImageTextToText", base, device, dtype=dtype, device_map=spread
        )
        self._model = attach(network, weights)
        self._ends = frozenset(ends_of(network))
        self._options = options
        self.name = f"hf:{options.model}"

    def stream(self, prompt: Prompt) -> Generator[str, None, Ending]:
        inputs = self._inputs([prompt], self._options.max_tokens)
        streamer = library_class("TextIteratorStreamer")(
            self._reader.tokenizer, skip_prompt=True, skip_special_tokens=True
        )
        made, failed, stop = list[Any](), list[AnswerError](), Event()

        def generate() -> None:
            try:
                made.append(
                    self._generate(
                        inputs, streamer=streamer, stopping_criteria=[lambda *_: stop.is_set()]
                    )
                )
            # The error has to reach the thread that waits for the text.
            except AnswerError as error:
                failed.append(error)
                streamer.end()

        thread = Thread(target=generate, daemon=True)
        thread.start()
        try:
            if self._reader.thinks_first:
                yield "<think>"
            yield from filter(None, streamer)
        finally:
            # A network that computes while Python ends would end it badly.
            stop.set()
            thread.join()
        if failed:
            raise failed[0]
        return Ending(self._cut(made[0][0, inputs["input_ids"].shape[1] :].tolist()))

    def answer_all(self, prompts: Sequence[Prompt]) -> list[str | AnswerError]:
        if not prompts:
            return []
        try:
            inputs = self._inputs(prompts, self._options.max_tokens)
            made = self._generate(inputs)
        except ContextError:
            # Not all of them need be too long.
            return super().answer_all(prompts)
        except AnswerError as error:
            # A new one, because this one's traceback holds the memory of the batch.
            return [AnswerError(str(error))] * len(prompts)
        numbers = made[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._read(each) for each in numbers]

    def with_options(self, options: NoAnswer) -> Answerer | None:
        # The length of an answer is no matter of the network, which takes minutes to load.
        if not isinstance(options, HfAnswer) or options != replace(
            self._options, max_tokens=options.max_tokens
        ):
            return super().with_options(options)
        other = copy(self)
        other._options = options
        return other

    def choose(self, prompt: Prompt, letters: Sequence[str]) -> str:
        inputs = self._inputs([prompt], 1)
        with self._failing(), self._torch.inference_mode():
            logits = self._model(**inputs).logits[0, -1]
        encode = self._reader.tokenizer.encode
        first = [encode(letter, add_special_tokens=False)[0] for letter in letters]
        return letters[int(logits[first].argmax())]

    def _read(self, numbers: Sequence[int]) -> Reply | AnswerError:
        """The answer that the numbers of its tokens are."""
        spoken = Spoken()
        spoken.hear("<think>" if self._reader.thinks_first else "")
        spoken.hear(self._reader.tokenizer.decode(numbers, skip_special_tokens=True))
        spoken.finish()
        cut = self._cut(numbers)
        try:
            return Reply(said_by(self.name, spoken, cut), cut)
        except AnswerError as error:
            return error

    def _cut(self, numbers: Sequence[int]) -> str:
        """Why the answer that the numbers of its tokens are is cut off; "" where it is whole."""
        most = self._options.max_tokens
        if len(numbers) < most or not self._ends or not self._ends.isdisjoint(numbers):
            return ""
        return f"the answer reached its longest length: set answer.max_tokens higher than {most}"

    def _generate(self, inputs: Any, **more: Any) -> Any:
        most = self._options.max_tokens
        with self._failing():
            return self._model.generate(**inputs, max_new_tokens=most, do_sample=False, **more)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Errors of the network, which may be of any kind, become AnswerErrors."""
        try:
            yield
        except AnswerError:
            raise
        except Exception as error:
            raise AnswerError(f"{self.name} failed: {error}") from error

    def _inputs(self, prompts: Sequence[Prompt], room: int) -> Any:
        with self._failing():
            inputs = self._reader.read(prompts, room)
        return inputs.to(self._model.device, self._model.dtype)
