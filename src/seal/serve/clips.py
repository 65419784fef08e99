"""Clips that are cut while a client takes them: fragmented MP4, in bounded memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent import futures
from typing import IO, cast

from seal.errors import OptionError
from seal.export import cut
from seal.export.copying import copy_suffix
from seal.lookup import source_options
from seal.serve.originals import original_file
from seal.serve.service import Service
from seal.store import VideoRecord

_WAITING = 16
"""Pieces that are made before a client takes them; a piece has some 32 KiB."""
_PATIENCE_S = 30.0
"""A client that takes nothing for so long is gone: others wait for their clips."""


class _LeftError(Exception):
    """The client of a clip has gone away."""


class _Pipe:
    """A file for writing, out of which another thread's event loop takes what is written."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self.gone = threading.Event()

    def write(self, data: bytes) -> int:
        """Wait until there is room. Raises _LeftError if nobody takes anything any more."""
        if self.gone.is_set():
            raise _LeftError
        put = asyncio.run_coroutine_threadsafe(self.pieces.put(bytes(data)), self._loop)
        try:
            put.result(_PATIENCE_S)
        except (futures.CancelledError, futures.TimeoutError):
            put.cancel()
            self.gone.set()
            raise _LeftError from None
        return len(data)

    def leave(self) -> None:
        """Nobody takes anything any more; who waits for room goes on, and hears of it."""
        self.gone.set()
        while not self.pieces.empty():
            self.pieces.get_nowait()


def check_clip(record: VideoRecord, start_s: float, end_s: float, longest_s: float) -> None:
    """Raise OptionError unless a stretch runs forward, is short enough and meets the video."""
    if not start_s < end_s:
        raise OptionError(f"a clip needs start_s < end_s, got {start_s:g} and {end_s:g}")
    if end_s - start_s > longest_s:
        raise OptionError(
            f"a clip is at most {longest_s:g} s long, got {end_s - start_s:g} s: ask for several"
        )
    video_end_s = record.start_s + record.duration_s
    if start_s >= video_end_s or end_s <= record.start_s:
        raise OptionError(
            f"{record.id} shows nothing from {start_s:g} to {end_s:g} s: it lasts from"
            f" {record.start_s:g} to {video_end_s:g} s"
        )


async def clip(
    service: Service, record: VideoRecord, start_s: float, end_s: float, exact: bool
) -> AsyncGenerator[bytes, None]:
    """A stretch of a video, piece by piece; the cutting ends when the client goes away.

    With `exact`, or where MP4 has no place for the codecs, it is encoded anew. Raises BusyError if
    too many wait already, MissingError if the file of the video is not at hand, and as
    `seal.export.cut`.
    """
    pipe = _Pipe()

    def work() -> None:
        source, options = original_file(record), source_options(record)
        copy = not exact and copy_suffix(source, options) == ".mp4"
        output = cast(IO[bytes], pipe)
        cut(source, start_s, end_s, output, copy=copy, options=options)

    async def run() -> None:
        try:
            await service.cut(work)
        finally:
            await pipe.pieces.put(None)

    running = asyncio.create_task(run())
    # Where the client has gone nobody asks any more how it ended.
    running.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        while (piece := await pipe.pieces.get()) is not None:
            yield piece
        await running
    finally:
        pipe.leave()
