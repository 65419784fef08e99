"""Questions over the network: answers at once or as they are written, and dialogues."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from seal.answer import Conversation, OnText
from seal.errors import OptionError, SealError
from seal.files import read_json
from seal.printing import json_line
from seal.serve.problems import MissingError, status_of
from seal.serve.schemas import AskRequest
from seal.serve.service import Service
from seal.serve.state import new_id

Whole = TypeVar("Whole")

NEW = "new"
"""The name that begins a dialogue."""


_SOON_S = 5.0
"""How long a streamed answer waits for its first piece before the stream begins."""


class _GoneError(Exception):
    """The client of a streamed answer has gone away."""


def answer(service: Service, asked: AskRequest, on_text: OnText | None) -> dict[str, Any]:
    """The answer to a question as JSON, with the name of its dialogue where it has one.

    Raises NotIndexedError and MissingError for a video and a dialogue that are not there,
    OptionError for wrong values, AnswerError if the model fails.
    """
    options = service.answering(asked.options)
    if asked.dialogue is not None:
        return _in_dialogue(service, asked, on_text, options)
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
    """A streamed answer: `text` for each piece, then `answer` with the whole, or `problem`.

    What fails soon is raised here, before the stream begins, so that it has a status of its own. A
    model may be silent for minutes, and a client must hear meanwhile that the server is there.
    """
    said = pieces(service, partial(answer, service, asked))
    first = asyncio.ensure_future(anext(said))
    await asyncio.wait({first}, timeout=_SOON_S)
    if first.done():
        first.result()
    return _events(service, first, said)


async def _events(
    service: Service,
    first: asyncio.Future[str | dict[str, Any]],
    said: AsyncGenerator[str | dict[str, Any], None],
) -> AsyncIterator[dict[str, str]]:
    piece: str | dict[str, Any] | None
    try:
        async with aclosing(said):
            piece = await first
            while piece is not None:
                yield _event("text" if isinstance(piece, str) else "answer", piece)
                piece = await anext(said, None)
    except SealError as error:
        values = {"status": status_of(error), "detail": service.told(error)}
        yield _event("problem", values | {"error": type(error).__name__})


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


def _in_dialogue(
    service: Service, asked: AskRequest, on_text: OnText | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """As `answer`, in a dialogue that is kept in the state folder."""
    if asked.video is None:
        raise OptionError("a dialogue is about one video: name it")
    name = new_id() if asked.dialogue == NEW else str(asked.dialogue)
    path = _place(service, name)
    if asked.dialogue != NEW and not path.exists():
        raise MissingError(f"there is no dialogue {name!r}")
    video = service.video(asked.video)
    with service.alone(name):
        talk = video.chat(budget=asked.budget, session=path, **options)
        found = talk.ask(
            asked.question, choices=asked.choices, verify=asked.verify, on_text=on_text
        )
        path.parent.mkdir(exist_ok=True)
        talk.save(path)
    return found.to_json() | {"dialogue": name, "cost": talk.cost}


def begin(
    service: Service, video: str, saved: Any, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A new dialogue about a video, or one that goes on with what was saved of another.

    Raises NotIndexedError; OptionError if it is about another video, or about tokens that are no
    longer stored.
    """
    talk = cast(Conversation, service.video(video).chat(**service.answering(options)))
    if saved is not None:
        talk = Conversation.restored(saved, "the dialogue", talk.scope, talk.answerer)
    name = new_id()
    path = _place(service, name)
    path.parent.mkdir(exist_ok=True)
    talk.save(path)
    return {"dialogue": name, "cost": talk.cost}


def saved(service: Service, name: str) -> Any:
    """What is kept of a dialogue. Raises MissingError."""
    path = _place(service, name)
    if not path.exists():
        raise MissingError(f"there is no dialogue {name!r}")
    return read_json(path)


def _place(service: Service, name: str) -> Path:
    """Where a dialogue is kept. Raises MissingError for what can be no name of one."""
    if not (name.isascii() and name.isalnum()):
        raise MissingError(f"there is no dialogue {name!r}")
    return service.state.folder / "dialogues" / f"{name}.json"
