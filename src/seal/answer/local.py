"""Models on this machine: `transformers` with a chat template."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any

from PIL import Image

from seal.answer.answerer import Answerer
from seal.answer.processor import load_processor
from seal.answer.prompt import Picture, Prompt
from seal.config import HfAnswer
from seal.errors import AnswerError, BackendError, ContextError
from seal.weights import library_class, load_model, locate, require, resolve_device


class LocalAnswerer(Answerer):
    """An image-text-to-text model of the hub or a folder, safetensors only."""

    def __init__(self, options: HfAnswer) -> None:
        self._torch = require("torch")
        weights = locate(options.model, options.revision)
        device = resolve_device(options.device)
        dtype = options.dtype
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else "bfloat16"
        self._processor = load_processor(options.model, weights)
        if not getattr(self._processor, "chat_template", None):
            raise BackendError(f"{options.model} has no chat template: it is no model to ask")
        self._model = load_model("AutoModelForImageTextToText", weights, device, dtype=dtype)
        self._options = options
        self.name = f"hf:{options.model}"

    def stream(self, prompt: Prompt) -> Iterator[str]:
        inputs = self._inputs(prompt, self._options.max_tokens)
        streamer = library_class("TextIteratorStreamer")(
            self._processor.tokenizer, skip_prompt=True, skip_special_tokens=True
        )
        failed: list[Exception] = []

        def generate() -> None:
            try:
                self._model.generate(
                    **inputs,
                    max_new_tokens=self._options.max_tokens,
                    do_sample=False,
                    streamer=streamer,
                )
            # Whatever it is has to reach the thread that waits for the text.
            except Exception as error:
                failed.append(error)
                streamer.end()

        thread = Thread(target=generate, daemon=True)
        thread.start()
        yield from filter(None, streamer)
        thread.join()
        if failed:
            raise AnswerError(f"{self.name} failed: {failed[0]}") from failed[0]

    def choose(self, prompt: Prompt, letters: Sequence[str]) -> str:
        inputs = self._inputs(prompt, 1)
        with self._torch.inference_mode():
            logits = self._model(**inputs).logits[0, -1]
        encode = self._processor.tokenizer.encode
        first = [encode(letter, add_special_tokens=False)[0] for letter in letters]
        return letters[int(logits[first].argmax())]

    def _inputs(self, prompt: Prompt, room: int) -> Any:
        """What the model reads. Raises ContextError where it would have no `room` to answer."""
        inputs = self._processor.apply_chat_template(
            [_message(message.role, message.parts) for message in prompt],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        config = getattr(self._model.config, "text_config", self._model.config)
        limit = getattr(config, "max_position_embeddings", math.inf)
        length = inputs["input_ids"].shape[1]
        if length + room > limit:
            raise ContextError(
                f"{self.name}: the prompt has {length:,} tokens and the answer up to {room:,},"
                f" but the model reads {limit:,}"
            )
        return inputs.to(self._model.device, self._model.dtype)


def _message(role: str, parts: Sequence[str | Picture]) -> dict[str, Any]:
    return {"role": role, "content": [_part(part) for part in parts]}


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image", "image": Image.open(io.BytesIO(part.jpeg)).convert("RGB")}
