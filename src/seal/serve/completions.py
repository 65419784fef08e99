"""/v1/chat/completions and /v1/models: questions as OpenAI's clients send them.

SEAL selects the evidence, the model of the operator reads it, and the reply has both. A parameter
that would have no effect is an error.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from seal.answer import OnText
from seal.answer.conversation import stand_alone
from seal.clock import span_clock
from seal.errors import ContextError, NotIndexedError, OptionError, SealError
from seal.printing import json_line
from seal.results import Answer
from seal.serve import schemas
from seal.serve.answers import pieces
from seal.serve.messages import ChatMessage, StrictModel, Talk, ToldAnswerer
from seal.serve.problems import (
    OPENAI,
    MissingError,
    headers_of,
    invalid,
    openai_error,
    status_of,
)
from seal.serve.rest import Here, as_json
from seal.serve.service import Service, allowed
from seal.serve.state import new_id
from seal.serve.validation import whole

ALIAS = "seal"
"""The model of every server, whichever model reads the evidence."""
_OWNER = "seal"
_STARTED = int(time.time())
_NO_PENALTY = "SEAL passes on no penalties: leave it out."
_NO_MODEL = "This server has no model that writes answers."


_EXAMPLE: dict[str, Any] = {
    "model": ALIAS,
    "messages": [{"role": "user", "content": "Where is the red ball?"}],
    "seal": {"budget": 16},
}


class SealRequest(StrictModel):
    """What SEAL alone reads of a request, as `seal`."""

    budget: int | None = Field(default=None, ge=1, le=1024)
    options: schemas.Options = Field(default_factory=dict)


class TextFormat(StrictModel):
    """The form of an answer."""

    type: Literal["text"]


Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=256)]], Field(min_length=1, max_length=4)
]


class StreamOptions(StrictModel):
    """What a stream has besides the answer."""

    include_usage: bool | None = Field(
        None, description="A last chunk without choices, with `usage`."
    )


class CompletionRequest(StrictModel):
    """A chat completion. Members beside these are refused: they would have no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    model: str = Field(max_length=256)
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    stream: bool | None = None
    stream_options: StreamOptions | None = Field(None, description="For `stream` alone.")
    user: str | None = Field(None, max_length=512, description="Who asks; it changes no answer.")
    temperature: float | None = Field(None, ge=0, le=2)
    seed: int | None = Field(None, description="For models behind an endpoint.")
    stop: Annotated[str, Field(min_length=1, max_length=256)] | Stops | None = Field(
        None, description="For models behind an endpoint."
    )
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1, le=1, description="SEAL gives one answer.")
    top_p: float | None = Field(
        None, ge=1, le=1, description="SEAL passes on no top_p: set temperature, or leave it out."
    )
    presence_penalty: float | None = Field(None, ge=0, le=0, description=_NO_PENALTY)
    frequency_penalty: float | None = Field(None, ge=0, le=0, description=_NO_PENALTY)
    response_format: TextFormat | None = Field(None, description="SEAL answers in plain text.")
    tools: list[Any] | None = Field(
        None, max_length=0, description="SEAL calls no tools: leave them out."
    )
    seal: SealRequest = SealRequest()

    @property
    def longest(self) -> int | None:
        """The longest answer, in tokens. Raises OptionError for two that differ."""
        given = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(given) > 1:
            raise OptionError("max_tokens and max_completion_tokens are one thing: give one")
        return given.pop() if given else None

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts at which the answer ends."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionMessageJson(BaseModel):
    """What the model says."""

    role: Literal["assistant"]
    content: str


class CompletionChoiceJson(BaseModel):
    """The one answer."""

    index: int
    message: CompletionMessageJson
    finish_reason: Literal["stop", "length", "content_filter"]
    logprobs: None


class CompletionJson(BaseModel):
    """A chat completion with its evidence."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoiceJson]
    usage: None = Field(description="null: tokens of the model are not counted.")
    seal: schemas.AnswerJson


class ModelJson(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsJson(BaseModel):
    """All models that can be asked."""

    object: Literal["list"]
    data: list[ModelJson]


class FailureJson(BaseModel):
    """What is wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    code: str | None


class FailedJson(BaseModel):
    """A request that has failed."""

    error: FailureJson


class UnknownModelError(MissingError):
    """A model that the server does not have."""


_CODES: dict[type[SealError], str] = {
    UnknownModelError: "model_not_found",
    NotIndexedError: "video_not_found",
    ContextError: "context_length_exceeded",
}


class _OpenAIRoute(APIRoute):
    """A route whose errors are as OpenAI has them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handler(request)
            except SealError as error:
                service: Service = request.app.state.service
                status, value = _failure(service, error)
                reply = as_json(value, status)
                reply.headers.update(headers_of(error))
                return reply
            except RequestValidationError as error:
                found = invalid(request, error)
                param = found[0].where.partition(".")[2] or None
                return as_json(openai_error(400, whole(found), param=param), 400)

        return handled


_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": FailedJson}
    for status, text in (
        (400, "A value is wrong or would have no effect."),
        (401, "A token is needed, or another one."),
        (403, "A page of another site has sent this."),
        (404, "There is no such model or video."),
        (413, "The request is too long."),
        (429, "Too many requests; Retry-After says when to come back."),
        (502, "The model that answers has failed."),
        (503, "The store or a back end cannot be used."),
    )
}
router = APIRouter(prefix=OPENAI, tags=["openai"], route_class=_OpenAIRoute, responses=_FAILURES)


@router.get("/models", response_model=ModelsJson)
def list_models(service: Here) -> Response:
    """The models that can be asked: `seal`, and the one that reads the evidence by its name."""
    return as_json({"object": "list", "data": [_model(name) for name in _models(service)]})


@router.get("/models/{model:path}", response_model=ModelJson)
def show_model(service: Here, model: Annotated[str, Path(max_length=256)]) -> Response:
    """One model."""
    return as_json(_model(_known(service, model)))


@router.post("/chat/completions", response_model=CompletionJson)
async def complete_chat(service: Here, asked: CompletionRequest) -> Response:
    """The answer to the last text of the user, from evidence that SEAL selects.

    A part `video_url` with the address `seal:ID` names a video; without one all are asked. With
    `stream`, the answer comes in chunks, of which the last has the evidence as `seal`.
    """
    _known(service, asked.model)
    if asked.stream_options is not None and not asked.stream:
        raise OptionError("stream_options has no effect without stream=true: leave it out")
    head = {"id": f"chatcmpl-{new_id()}", "created": int(time.time()), "model": asked.model}
    if not asked.stream:
        text, found = await service.converse(lambda: _answer(service, asked, None))
        return as_json(_whole(head, text, found))
    service.streams.check_room()
    said = pieces(service, partial(_answer, service, asked))
    # What fails before there is any text has a status of its own.
    first = await anext(said)
    counted = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    return service.streams.response(_chunks(service, head, first, said, counted), sep="\n")


def _answer(
    service: Service, asked: CompletionRequest, on_text: OnText | None
) -> tuple[str, Answer]:
    """The answer to a request, and its text; without a model, the text says what was found."""
    talk = Talk.of(asked.messages)
    settings = service.models.asking(allowed(asked.seal.options))
    options = service.models.answer(settings)
    wanted = {"temperature": asked.temperature, "max_tokens": asked.longest}
    given = {name: value for name, value in wanted.items() if value is not None}
    unread = [name for name in given if not hasattr(options, name)]
    chosen = {"seed": asked.seed is not None, "stop": bool(asked.stops)}
    if options.backend == "none":
        unread += ["a picture"] if talk.has_pictures else []
        unread += [name for name, is_given in chosen.items() if is_given]
    if unread:
        which = "the model of this server" if options.backend != "none" else "a server without one"
        raise OptionError(f"{unread[0]} has no effect on {which}: leave it out")
    settings += [f"answer.{name}={value}" for name, value in given.items()]
    model = service.answerer(service.models.answer(settings))
    question, notes = talk.question, list[str]()
    if talk.questions:
        before = talk.questions
        question, notes = stand_alone(question, before, before[-1], model)
    if model is not None and any(chosen.values()):
        model = model.sampling(seed=asked.seed, stop=asked.stops)
    told = None if model is None else ToldAnswerer(model, talk)
    found = service.asked(talk.video).ask(
        question,
        answerer=told,
        budget=asked.seal.budget,
        on_text=on_text,
        options=settings,
    )
    found = replace(found, notes=(*notes, *found.notes))
    if found.text is not None:
        return found.text, found
    text = _listed(service, found)
    if on_text is not None:
        on_text(text)
    return text, found


def _listed(service: Service, found: Answer) -> str:
    """The moments of an answer without a model, in words."""
    if not found.moments:
        return f"{_NO_MODEL} No moment stands out; `seal.evidence` has what is closest."
    titles = {video.id: service.title(video.path) for video in service.library.store.videos()}
    lines = [
        f"{number}. {titles.get(moment.video, moment.video)} (seal:{moment.video}),"
        f" {span_clock(moment.span.start_s, moment.span.end_s)}"
        + (f': "{moment.text}"' if moment.text else "")
        for number, moment in enumerate(found.moments, 1)
    ]
    return "\n".join([f"{_NO_MODEL} These moments are closest to the question:", *lines])


def _whole(head: dict[str, Any], text: str, found: Answer) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": _finish(found),
        "logprobs": None,
    }
    more = {"choices": [choice], "usage": None, "seal": found.to_json()}
    return head | {"object": "chat.completion"} | more


async def _chunks(
    service: Service,
    head: dict[str, Any],
    first: str | tuple[str, Answer],
    said: AsyncGenerator[str | tuple[str, Answer], None],
    counted: bool,
) -> AsyncIterator[dict[str, str]]:
    """The events of a streamed answer; the last one with a choice has the evidence. With `counted`,
    a further one has the usage, which SEAL does not count."""

    def chunk(delta: dict[str, str], finish: str | None = None, **more: Any) -> dict[str, str]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        body = head | {"object": "chat.completion.chunk", "choices": [choice]} | more
        return {"data": json_line(body)}

    yield chunk({"role": "assistant", "content": ""})
    piece: str | tuple[str, Answer] | None = first
    async with aclosing(said):
        try:
            while piece is not None:
                if isinstance(piece, str):
                    yield chunk({"content": piece})
                else:
                    _, found = piece
                    yield chunk({}, _finish(found), seal=found.to_json())
                piece = await anext(said, None)
        except SealError as error:
            yield {"data": json_line(_failure(service, error)[1])}
            return
    if counted:
        last = head | {"object": "chat.completion.chunk", "choices": [], "usage": None}
        yield {"data": json_line(last)}
    yield {"data": "[DONE]"}


def _finish(found: Answer) -> str:
    """Why an answer ends, in the words of the API; `notes` of the answer say more."""
    if not found.cut:
        return "stop"
    is_filtered = any(word in found.cut for word in ("filter", "refused"))
    return "content_filter" if is_filtered else "length"


def _models(service: Service) -> list[str]:
    return [ALIAS, *filter(None, [service.models.model])]


def _known(service: Service, model: str) -> str:
    names = _models(service)
    if model not in names:
        raise UnknownModelError(f"there is no model {model!r} here; valid: {', '.join(names)}")
    return model


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": _OWNER}


def _failure(service: Service, error: SealError) -> tuple[int, dict[str, Any]]:
    """The status of an error, and its body."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
    status = 400 if isinstance(error, OptionError | ContextError) else status_of(error)
    return status, openai_error(status, service.told(error), code)
