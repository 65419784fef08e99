"""Models on this machine: `transformers` with a chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from seal.answer.adapter import attach, base_of
from seal.answer.answerer import Answerer
from seal.answer.processor import Reader
from seal.answer.prompt import Prompt
from seal.config import HfAnswer
from seal.errors import AnswerError, ContextError
from seal.weights import library_class, load_model, locate, require, resolve_device


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
        network = load_model("AutoModelForImageTextToText", base, device, dtype=dtype)
        self._model = attach(network, weights)
        self._options = options
        self.name = f"hf:{options.model}"

    def stream(self, prompt: Prompt) -> Iterator[str]:
        inputs = self._inputs([prompt], self._options.max_tokens)
        streamer = library_class("TextIteratorStreamer")(
            self._reader.tokenizer, skip_prompt=True, skip_special_tokens=True
        )
        failed, stop = list[AnswerError](), Event()

        def generate() -> None:
            try:
                self._generate(
                    inputs, streamer=streamer, stopping_criteria=[lambda *_: stop.is_set()]
                )
            # It has to reach the thread that waits for the text.
            except AnswerError as error:
                failed.append(error)
                streamer.end()

        thread = Thread(target=generate, daemon=True)
        thread.start()
        try:
            yield from filter(None, streamer)
        finally:
            # A network that computes while Python ends would end it badly.
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

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
        texts: list[str] = self._reader.tokenizer.batch_decode(
            made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return [text.strip() for text in texts]

    def choose(self, prompt: Prompt, letters: Sequence[str]) -> str:
        inputs = self._inputs([prompt], 1)
        with self._failing(), self._torch.inference_mode():
            logits = self._model(**inputs).logits[0, -1]
        encode = self._reader.tokenizer.encode
        first = [encode(letter, add_special_tokens=False)[0] for letter in letters]
        return letters[int(logits[first].argmax())]

    def _generate(self, inputs: Any, **more: Any) -> Any:
        most = self._options.max_tokens
        with self._failing():
            return self._model.generate(**inputs, max_new_tokens=most, do_sample=False, **more)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Errors of the network, which may be of any kind, become AnswerErrors."""
        try:
            yield
        except Exception as error:
            raise AnswerError(f"{self.name} failed: {error}") from error

    def _inputs(self, prompts: Sequence[Prompt], room: int) -> Any:
        inputs = self._reader.read(prompts, room)
        return inputs.to(self._model.device, self._model.dtype)
