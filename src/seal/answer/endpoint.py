"""Models behind an OpenAI-compatible endpoint, by the `openai` client."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Generator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from multiprocessing.pool import ThreadPool
from typing import Any

from seal.answer.answerer import Answerer, Ending
from seal.answer.complaints import Complaint
from seal.answer.fitting import longest_px, sized_jpeg, without_system
from seal.answer.prompt import Prompt, PromptPicture
from seal.answer.replies import Reading, Received, ServerError
from seal.config import OpenAIAnswer
from seal.errors import AnswerError, BackendError, ContextError, OptionError
from seal.weights import require

_KEY = "OPENAI_API_KEY"
_ADVICE = {
    400: "the server does not take this request",
    401: f"the key is refused: set the right one as {_KEY}",
    402: "the account has no credit left",
    403: "the key does not allow this model",
    404: "no such model or address: look at answer.model and answer.base_url",
    422: "the server does not take this request",
    429: "the server is busy or the quota is spent: wait, or set answer.retries higher",
}
_TAKES_NO_PICTURES = "the model takes no pictures: choose a multimodal one as answer.model"
# Qwen-VL refuses pictures smaller than two of its patches of 14 or 16 pixels; no other model that
# is known needs more.
_LEAST_PX = 32
_MOST_CHANGES = 8
"""A request is changed this often before the server's last error is final."""


@dataclass(frozen=True)
class Form:
    """How a request is written: at first as the API has it, then as the server takes it."""

    max_tokens: int | None
    temperature: float | None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    """Texts at which an answer ends."""
    length: str = "max_tokens"
    """What the longest answer is called."""
    stream: bool = True
    system: bool = True
    """Whether instructions have a message of their own."""
    most_px: float = math.inf
    """The longest side of a picture."""
    notes: tuple[str, ...] = ()
    """What was changed, and what the server said."""

    def settings(self) -> dict[str, Any]:
        """The settings of a request by the names that the server takes, without those left out."""
        values = {
            self.length: self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "stop": list(self.stop) or None,
        }
        given = {name: value for name, value in values.items() if value is not None}
        return {**given, "stream": self.stream}

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """A prompt as the messages of a request."""
        return to_openai(prompt if self.system else without_system(prompt), self.most_px)

    def changed(self, complaint: Complaint, prompt: Prompt) -> Form | None:
        """The form without what a server complains of; None if no other form would help."""
        if complaint.status in (401, 402, 403, 408, 429):
            return None
        form, change = self._changed(complaint, prompt)
        if form is None:
            return None
        return replace(form, notes=(*self.notes, f"{change}: {complaint.said}"))

    def _changed(self, complaint: Complaint, prompt: Prompt) -> tuple[Form | None, str]:
        if self.max_tokens is not None:
            fewer = complaint.longest_answer(self.max_tokens)
            if fewer is not None:
                return replace(self, max_tokens=fewer), f"asked for {fewer} tokens at most"
            other = "max_completion_tokens"
            if complaint.unknown(self.length):
                if other in complaint.said and self.length != other:
                    return replace(self, length=other), f"{self.length} is sent as {other}"
                return replace(self, max_tokens=None), f"{self.length} is left out"
        if self.temperature is not None and complaint.refuses("temperature"):
            return replace(self, temperature=None), "temperature is left out"
        if self.seed is not None and complaint.refuses("seed"):
            return replace(self, seed=None), "seed is left out"
        if self.stop and complaint.refuses("stop"):
            return replace(self, stop=()), "stop is left out"
        if self.stream and complaint.refuses("stream(?:ing)?"):
            return replace(self, stream=False), "the answer is asked for in one piece"
        if self.system and complaint.no_system and any(m.role == "system" for m in prompt):
            return replace(self, system=False), "instructions are part of the question"
        shown_px = min(longest_px([prompt]), self.most_px)
        if complaint.too_big and shown_px > 2 * _LEAST_PX:
            half = shown_px // 2
            most_px = complaint.most_px or half
            most_px = most_px if most_px < shown_px else half
            return replace(self, most_px=most_px), f"pictures are scaled to {most_px:g} pixels"
        return None, ""


class EndpointAnswerer(Answerer):
    """A model that answers chat completions over HTTP.

    What fails for the moment (408, 409, 429, 5xx, no connection) is sent again with growing pauses,
    or after the time that the server asks for. What the server refuses by name is left out or
    written otherwise from then on; notes of each answer say so.
    """

    def __init__(self, options: OpenAIAnswer) -> None:
        if not options.model:
            raise OptionError(
                "an endpoint needs the name of a model: openai:MODEL, or set answer.model"
            )
        self._openai, self._http = require("openai", "answer"), require("httpx2", "answer")
        self._key = os.environ.get(_KEY, "")
        if not self._key and not (options.base_url or os.environ.get("OPENAI_BASE_URL")):
            raise BackendError(
                f"set {_KEY}, or OPENAI_BASE_URL or answer.base_url to a server that needs no key"
            )
        self._options = options
        self._form = Form(options.max_tokens, options.temperature)
        self.name = f"openai:{options.model}"
        self._client = self._openai.OpenAI(
            api_key=self._key or "none",
            base_url=options.base_url,
            timeout=options.timeout_s,
            max_retries=options.retries,
        )

    def stream(self, prompt: Prompt) -> Generator[str, None, Ending]:
        form = self._form
        for _ in range(_MOST_CHANGES):
            came = yield from self._sent(prompt, form)
            if isinstance(came, Received):
                self._form = form
                return Ending(self._cut(came, form), form.notes)
            better = form.changed(came, prompt)
            if better is None:
                raise self._refused(came)
            form = better
        raise AnswerError(f"{self._where} refuses every form of the request: {form.notes[-1]}")

    def sampling(self, *, seed: int | None = None, stop: Sequence[str] = ()) -> EndpointAnswerer:
        other = copy(self)
        other._form = replace(self._form, seed=seed, stop=tuple(stop))
        return other

    def answer_all(self, prompts: Sequence[Prompt]) -> list[str | AnswerError]:
        # Unlike those of an executor, its threads hold up no interrupt.
        with ThreadPool(max(1, len(prompts))) as pool:
            return pool.map(self._tried, prompts)

    def _sent(self, prompt: Prompt, form: Form) -> Generator[str, None, Received | Complaint]:
        """The text that answers a request, then what came besides, or why no text came."""
        wrote, create = False, self._client.chat.completions.with_streaming_response.create
        request = {"messages": form.messages(prompt), **form.settings()}
        try:
            with create(model=self._options.model, **request) as response:
                reading = Reading(response.iter_bytes())
                for piece in reading:
                    wrote = True
                    yield piece
        except ServerError as error:
            if not wrote:
                return self._without_key(error.complaint)
            said = self._without_key(error.complaint).said
            raise AnswerError(f"{self._where}: the answer broke off: {said}") from None
        except self._openai.APIStatusError as error:
            return self._without_key(Complaint.of(error.status_code, error.response.text))
        # What breaks while the answer comes in is an error of the transport, or no JSON.
        except (self._openai.OpenAIError, self._http.HTTPError, ValueError) as error:
            raise self._failure(error, wrote) from None
        received = reading.received
        if not received.answered:
            said = f": {received.other[:80]}" if received.other else ""
            raise AnswerError(
                f"{self._where}: what came is no answer; is answer.base_url right?{said}"
            )
        if not wrote:
            raise AnswerError(f"{self._where}: {self._empty(received, form)}")
        return received

    @property
    def _where(self) -> str:
        return f"{self._client.base_url} ({self._options.model})"

    def _without_key(self, complaint: Complaint) -> Complaint:
        return complaint._replace(said=complaint.said.replace(self._key or "\0", "***"))

    def _cut(self, received: Received, form: Form) -> str:
        if received.at_length and form.max_tokens:
            return f"{received.cut}: set answer.max_tokens higher than {form.max_tokens}"
        return received.cut

    def _empty(self, received: Received, form: Form) -> str:
        wrote = "thoughts and no answer" if received.thought else "no answer"
        why = self._cut(received, form) if received.at_length else received.why_empty
        return f"the model wrote {wrote}: {why}"

    def _refused(self, complaint: Complaint) -> AnswerError:
        """The error for what the server says in place of an answer."""
        said, status = complaint.said, complaint.status
        if complaint.too_long:
            what = "it has too many pictures" if complaint.too_many_pictures else "it is too long"
            return ContextError(
                f"{self._where}: the model does not take the prompt, {what}: {said}",
                most_pictures=complaint.most_pictures,
            )
        if complaint.no_pictures:
            advice = _TAKES_NO_PICTURES
        else:
            advice = _ADVICE.get(status or 0, "the server failed")
        code = f"HTTP {status}, " if status else ""
        return AnswerError(f"{self._where}: {code}{advice}: {said}")

    def _failure(self, error: Exception, wrote: bool) -> AnswerError:
        where = self._where
        said = str(getattr(error, "message", "") or error).replace(self._key or "\0", "***")
        said = " ".join(said.split())[:300]
        if isinstance(error, (self._openai.APITimeoutError, self._http.TimeoutException)):
            timeout_s = self._options.timeout_s
            return AnswerError(f"{where}: nothing came for {timeout_s:g} s (answer.timeout_s)")
        if isinstance(error, self._openai.APIConnectionError) and not wrote:
            return AnswerError(f"{where} cannot be reached: {error.__cause__ or said}")
        if isinstance(error, ValueError):
            return AnswerError(f"{where} sent what is no JSON: {said}")
        return AnswerError(f"{where}: the answer broke off: {said}")


def to_openai(prompt: Prompt, most_px: float = math.inf) -> list[dict[str, Any]]:
    """The prompt as the messages of a chat completion; pictures go along as data URLs.

    `most_px` is the longest side that a picture may have.
    """
    return [
        {"role": message.role, "content": [_part(part, most_px) for part in message.parts]}
        if message.pictures
        else {"role": message.role, "content": "".join(map(str, message.parts))}
        for message in prompt
    ]


def _part(part: str | PromptPicture, most_px: float) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    jpeg = sized_jpeg(part, _LEAST_PX, most_px)
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    return {"type": "image_url", "image_url": {"url": url}}
