"""The frames of a source on one clock, over as many connections as it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seal.config import VideoOptions
from seal.errors import VideoError
from seal.types import Span
from seal.video import Frame, Gap, Note, VideoInfo, VideoReader, is_address, open_video, shown
from seal.video.sound import PREROLL_S
from seal.video.source import is_device
from seal.words.hearing import SILENT
from seal.words.listening import Listener

_FIRST_PAUSE_S = 0.25
"""The pause before the first try to reach a lost source. Each further pause is twice as long."""
_LONGEST_PAUSE_S = 10.0
"""The longest pause between two tries."""
_ROUNDING_S = 1e-6
"""The place from which a file is read on may be late by this much."""

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Connection:
    """One time that the source was opened."""

    info: VideoInfo
    """With times on the clock of the first connection."""
    video: VideoReader
    offset_s: float
    """From the clock of `video` to that of the first connection."""
    limit_s: float
    """When watching ends."""

    @property
    def until_s(self) -> float:
        """When the latest picture that was read ends."""
        return min(self.video.read_until_s + self.offset_s, self.limit_s)


Timed = tuple[Connection, Frame]


class Seen(Iterator[Timed]):
    """The frames of a window, from when to when they were, and the latest one's connection."""

    connection: Connection

    def __init__(self, frames: Iterator[Timed]) -> None:
        self._frames = frames
        self.start_s = self.end_s = np.inf

    def __next__(self) -> Timed:
        self.connection, frame = next(self._frames)
        self.start_s = min(self.start_s, frame.time_s)
        self.end_s = float(frame.end_pts * frame.time_base)
        return self.connection, frame


class Connections:
    """The frames of a source on one clock, over as many connections as it takes."""

    def __init__(
        self,
        source: str,
        options: VideoOptions,
        give_up_s: float,
        say: Say,
        notes: Mapping[str, Any],
        listener: Listener | None,
    ) -> None:
        """`notes` are of a state; `listener` is given the sound."""
        self.gaps: list[Gap] = []
        """What could not be seen, as it becomes known."""
        self.notes: list[Note] = []
        """What was noticed about the source, likewise."""
        self.failure: VideoError | None = None
        """Why there are no more frames, if the source has failed: what was seen comes first."""
        self.origin_s = float(notes.get("origin_s", 0.0))
        """When the first picture ever was."""
        self._reached_s: float | None = notes.get("reached_s")
        self._seen_at: float = notes.get("at", 0.0)
        """When the latest frame came, on the clock of the world."""
        self._source = source
        self._limit_s = options.max_duration_s or math.inf
        self._options = replace(options, max_duration_s=float("inf"))
        self._give_up_s = give_up_s
        self._say = say
        self._listener = listener

    def window(self, seen: Timed, window_s: float) -> int:
        """The number of the window that a frame is in."""
        return int((seen[1].time_s - self.origin_s) // window_s)

    def frames(self) -> Iterator[Timed]:
        """All frames from where the notes were taken, until the source ends or `failure` is set.

        The listener is told when there is no more. Raises VideoError if the source cannot be opened
        at first.
        """
        yield from self._frames()
        if self._listener is not None:
            self._listener.end()

    def _frames(self) -> Iterator[Timed]:
        video: VideoReader | None = open_video(self._source, self._options)
        why = "not watched"
        while video is not None:
            with video:
                try:
                    yield from self._connected(video, why)
                    if not video.info.is_live or self._is_over():
                        return
                    why = f"{shown(self._source)}: the stream has ended"
                except VideoError as error:
                    if not (is_address(self._source) or is_device(self._source)):
                        self.failure = error
                        return
                    why = str(error)
            self._say(f"{why}; trying again for {self._give_up_s:g} s")
            video = self._open_again(why)

    def _connected(self, video: VideoReader, why: str) -> Iterator[Timed]:
        """The frames of one connection; `why` there was none before."""
        info, shift = video.info, 0
        if self._reached_s is None:
            self.origin_s = self._reached_s = info.start_s
        elif info.is_live:
            start_s = self._reached_s + max(0.0, time.time() - self._seen_at)
            shift = math.ceil((start_s - info.start_s) / info.time_base)
        offset = shift * info.time_base
        info = replace(info, start=info.start + offset)
        limit_s = self.origin_s + self._limit_s
        connection = Connection(info, video, float(offset), limit_s)
        if shift:
            self.gaps.append(Gap(Span(self._reached_s, info.start_s), why))
        reached_s = self._reached_s - _ROUNDING_S
        from_s = min(reached_s, self._listen(video, connection) - PREROLL_S)
        try:
            for frame in video.frames(None if info.is_live else from_s):
                if not info.is_live and frame.time_s < reached_s:
                    # The picture was seen before; only its sound is still to be heard.
                    video.gaps.clear()
                    video.notes.clear()
                    continue
                self._seen_at = time.time()
                timed = replace(frame, pts=frame.pts + shift, end_pts=frame.end_pts + shift)
                self._take_findings(video, float(offset))
                if timed.time_s >= limit_s:
                    return
                yield connection, timed
            self._take_findings(video, float(offset))
        finally:
            self._reached_s = connection.until_s

    def _listen(self, video: VideoReader, connection: Connection) -> float:
        """Have the sound of a connection heard, and say from when on."""
        listener = self._listener
        if listener is None:
            return math.inf
        listener.until_s = connection.limit_s
        video.sound.listen(lambda sound: listener.add(sound.later(connection.offset_s)))
        if not video.sound.has_sound:
            self.notes.append(Note(connection.info.start_s, SILENT))
        return listener.heard_s if math.isfinite(listener.heard_s) else math.inf

    def _take_findings(self, video: VideoReader, offset_s: float) -> None:
        """Move what `video` has found to the clock of the first connection."""
        if video.gaps:
            for gap in video.gaps:
                span = Span(gap.span.start_s + offset_s, gap.span.end_s + offset_s)
                self.gaps.append(Gap(span, gap.reason))
            video.gaps = []
        while video.notes:
            note = video.notes.pop(0)
            self.notes.append(replace(note, time_s=note.time_s + offset_s))

    def _is_over(self) -> bool:
        """Whether all that was to be watched has been."""
        return (self._reached_s or 0.0) >= self.origin_s + self._limit_s

    def _open_again(self, why: str) -> VideoReader | None:
        """The source as soon as it answers; None if nothing has come from it for too long.

        `why` it was lost.
        """
        pause_s = _FIRST_PAUSE_S
        while (gone_s := time.time() - self._seen_at) < self._give_up_s:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                return open_video(self._source, self._options)
            except VideoError as error:
                why = str(error)
        self.failure = VideoError(f"{why}; nothing came for {gone_s:.0f} s: given up")
        return None
