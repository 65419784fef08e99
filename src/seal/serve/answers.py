"""Questions over the network: answers at once or as they are written, and dialogues."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from seal.answer import Conversation, OnText
from seal.errors import OptionError, SealError
from seal.indexed import Video
from seal.printing import json_line
from seal.results import Answer
from seal.serve.problems import MissingError, status_of
from seal.serve.schemas import AskRequest
from seal.serve.service import Service
from seal.serve.state import new_id

Whole = TypeVar("Whole")

NEW = "new"
"""The name that begins a dialogue."""


class _GoneError(Exception):
    """The client of a streamed answer has gone away."""


def answer(service: Service, asked: AskRequest, on_text: OnText | None) -> dict[str, Any]:
    """The answer to a question as JSON, with the name of its dialogue where it has one.

    Raises NotIndexedError and MissingError for a video and a dialogue that are not there,
    OptionError for wrong values, AnswerError if the model fails.
    """
    options = service.answering(asked.options)
    if asked.dialogue is not None:
        return _in_dialogue(service, asked, on_text)
    found = service.asked(asked.video).ask(
        asked.question,
        budget=asked.budget,
        choices=asked.choices,
        verify=asked.verify,
        on_text=on_text,
        **options,
    )
    return found.to_json()


async def told(service: Service, asked: AskRequest) -> AsyncIterator[dict[str, str]]:
    """A streamed answer: `text` for each piece, then `answer` with the whole, or `problem`."""
    try:
        async with aclosing(pieces(service, partial(answer, service, asked))) as said:
            async for piece in said:
                yield _event("text" if isinstance(piece, str) else "answer", piece)
    except SealError as error:
        yield _event("problem", {"status": status_of(error), "detail": str(error)})


async def pieces(
    service: Service, work: Callable[[OnText], Whole]
) -> AsyncGenerator[str | Whole, None]:
    """The pieces of an answer as they are written, then the whole that `work` gives back.

    `work` runs in a thread, and ends early when nobody listens any more. Raises what it raises.
    """
    loop, gone = asyncio.get_running_loop(), threading.Event()
    said: asyncio.Queue[str | None] = asyncio.Queue()

    def on_text(text: str) -> None:
        if gone.is_set():
            # The model is not asked to write on for nobody.
            raise _GoneError
        loop.call_soon_threadsafe(said.put_nowait, text)

    def over(task: asyncio.Task[Whole]) -> None:
        if not task.cancelled():
            task.exception()  # Who has gone away does not ask for it.
        said.put_nowait(None)

    running = asyncio.create_task(service.converse(lambda: work(on_text)))
    running.add_done_callback(over)
    try:
        while (piece := await said.get()) is not None:
            yield piece
        yield running.result()
    finally:
        gone.set()


def _event(name: str, value: Any) -> dict[str, str]:
    return {"event": name, "data": json_line(value)}


def _in_dialogue(service: Service, asked: AskRequest, on_text: OnText | None) -> dict[str, Any]:
    """As `answer`, in a dialogue that is kept in the state folder."""
    if asked.video is None:
        raise OptionError("a dialogue is about one video: name it")
    name = new_id() if asked.dialogue == NEW else str(asked.dialogue)
    path = service.state.folder / "dialogues" / f"{name}.json"
    is_there = name.isalnum() and path.exists()
    if asked.dialogue != NEW and not is_there:
        raise MissingError(f"there is no dialogue {name!r}")
    video: Video = service.video(asked.video)
    began = time.monotonic()
    with service.alone(name):
        talk: Conversation = video.chat(
            budget=asked.budget, session=path, **service.answering(asked.options)
        )
        found: Answer = talk.ask(
            asked.question, options=asked.choices, verify=asked.verify, on_text=on_text
        )
        path.parent.mkdir(exist_ok=True)
        talk.save(path)
    model = None if talk.answerer is None else talk.answerer.name
    found = replace(found, model=model, seconds=time.monotonic() - began)
    return found.to_json() | {"dialogue": name}
