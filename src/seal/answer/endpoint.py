"""Models behind an OpenAI-compatible endpoint, by the `openai` client."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

from seal.answer.answerer import Answerer
from seal.answer.prompt import Prompt, PromptPicture
from seal.config import OpenAIAnswer
from seal.errors import AnswerError, BackendError, ContextError, OptionError
from seal.weights import require

_KEY = "OPENAI_API_KEY"
# What servers call it differs: OpenAI, vLLM, llama.cpp, SGLang, Ollama, in this order.
_TOO_LONG = re.compile(
    r"context.?length|maximum model length|context size|longer than the model|context window", re.I
)
_ADVICE = {
    400: "the server does not take this request",
    401: f"the key is refused: set the right one as {_KEY}",
    403: "the key does not allow this model",
    404: "no such model or address: look at answer.model and answer.base_url",
    413: "the request is too large for the server",
    429: "the server is busy or the quota is spent: wait, or set answer.retries higher",
}


class EndpointAnswerer(Answerer):
    """A model that answers chat completions over HTTP.

    What fails for the moment (408, 409, 429, 5xx, no connection) is sent again with growing pauses,
    or after the time that the server asks for.
    """

    def __init__(self, options: OpenAIAnswer) -> None:
        if not options.model:
            raise OptionError(
                "an endpoint needs the name of a model: openai:MODEL, or set answer.model"
            )
        self._openai, self._http = require("openai", "answer"), require("httpx2", "answer")
        self._key = os.environ.get(_KEY, "")
        if not self._key and not (options.base_url or os.environ.get("OPENAI_BASE_URL")):
            raise BackendError(f"set {_KEY}, or answer.base_url to a server that needs no key")
        self._options = options
        self.name = f"openai:{options.model}"
        self._client = self._openai.OpenAI(
            api_key=self._key or "none",
            base_url=options.base_url,
            timeout=options.timeout_s,
            max_retries=options.retries,
        )

    def stream(self, prompt: Prompt) -> Iterator[str]:
        pieces, chunk = 0, None
        try:
            chunks = self._client.chat.completions.create(
                model=self._options.model,
                messages=to_openai(prompt),
                max_tokens=self._options.max_tokens,
                temperature=self._options.temperature,
                stream=True,
            )
            for chunk in chunks:
                text = chunk.choices[0].delta.content if chunk.choices else None
                if text:
                    pieces += 1
                    yield text
        # What breaks while the answer comes in is an error of the transport, or no JSON.
        except (self._openai.OpenAIError, self._http.HTTPError, ValueError) as error:
            raise self._failure(error, pieces) from None
        if chunk is None:
            raise AnswerError(f"{self._where}: what came is no answer; is answer.base_url right?")

    def answer_all(self, prompts: Sequence[Prompt]) -> list[str | AnswerError]:
        # Unlike those of an executor, its threads hold up no interrupt.
        with ThreadPool(max(1, len(prompts))) as pool:
            return pool.map(self._tried, prompts)

    @property
    def _where(self) -> str:
        return f"{self._client.base_url} ({self._options.model})"

    def _failure(self, error: Exception, pieces: int) -> AnswerError:
        status = getattr(error, "status_code", None)
        said = str(getattr(error, "message", "") or error).replace(self._key or "\0", "***")
        said = " ".join(said.split())[:300]
        where = self._where
        if status in (400, 413, 422, 500) and _TOO_LONG.search(said):
            return ContextError(f"{where}: the prompt is too long for the model: {said}")
        if status is not None:
            advice = _ADVICE.get(status, "the server failed")
            return AnswerError(f"{where}: HTTP {status}, {advice}: {said}")
        if isinstance(error, (self._openai.APITimeoutError, self._http.TimeoutException)):
            timeout_s = self._options.timeout_s
            return AnswerError(f"{where}: nothing came for {timeout_s:g} s (answer.timeout_s)")
        if isinstance(error, self._openai.APIConnectionError) and not pieces:
            return AnswerError(f"{where} cannot be reached: {error.__cause__ or said}")
        if isinstance(error, ValueError):
            return AnswerError(f"{where} sent what is no JSON: {said}")
        return AnswerError(f"{where}: the answer broke off: {said}")


def to_openai(prompt: Prompt) -> list[dict[str, Any]]:
    """The prompt as the messages of a chat completion; pictures go along as data URLs."""
    return [
        {"role": message.role, "content": [_part(part) for part in message.parts]}
        if message.pictures
        else {"role": message.role, "content": "".join(map(str, message.parts))}
        for message in prompt
    ]


def _part(part: str | PromptPicture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    url = "data:image/jpeg;base64," + base64.b64encode(part.jpeg).decode()
    return {"type": "image_url", "image_url": {"url": url}}
