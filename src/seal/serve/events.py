"""Server-sent events: what clients follow, and how many of them may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import NamedTuple

import anyio
from anyio.to_thread import run_sync
from sse_starlette import EventSourceResponse

from seal.serve.problems import BusyError

Event = dict[str, str]
"""What sse-starlette sends: `event` is the name of an event, and `data` its JSON."""
_TICK_S = 0.5
"""How often a stream of events looks for something new."""
_BUSY_S = 5.0
"""After how long a client may ask again that has found too many following."""


class Told(NamedTuple):
    """What there is to tell at one moment."""

    events: Iterable[tuple[str, str]]
    """Names and JSON."""
    is_over: bool = False
    """Whether nothing more will come."""


class EventStreams:
    """The streams of events that clients follow at the moment."""

    def __init__(self, limit: int) -> None:
        self._limit, self._open = limit, 0

    def check_room(self) -> None:
        """Raise BusyError if as many clients follow something as the server takes."""
        if self._open >= self._limit:
            raise BusyError(f"{self._open} clients follow events already", _BUSY_S)

    def response(self, events: AsyncIterator[Event], sep: str | None = None) -> EventSourceResponse:
        """The answer that sends these events. Raises BusyError as `check_room` does."""
        self.check_room()
        return EventSourceResponse(self._counted(events), sep=sep)

    async def _counted(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        self._open += 1
        try:
            async with aclosing(events) as each:  # type: ignore[type-var]
                async for event in each:
                    yield event
        finally:
            self._open -= 1


async def changes(look: Callable[[], Told]) -> AsyncIterator[Event]:
    """What `look` finds, in a thread and again and again; of each name only what has changed."""
    said = dict[str, str]()
    while True:
        found = await run_sync(look)
        for name, data in found.events:
            if said.get(name) != data:
                said[name] = data
                yield {"event": name, "data": data}
        if found.is_over:
            return
        await anyio.sleep(_TICK_S)
