"""Streaming: a file, a camera or a stream is watched window by window, in fixed memory."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from seal.answer import Answerer, load
from seal.answer.evidence import searched_by
from seal.answer.standing import Reached, StandingAnswers
from seal.attention.streaming import Standing, Stream
from seal.config import Options, VideoOptions, WatchOptions, deciding
from seal.config.tasks import INDEX_STAGES
from seal.content import embed_query
from seal.decompose import Models, decompose
from seal.errors import OptionError, StoreError, VideoError
from seal.kinds import SPEECH
from seal.scope import window_matches
from seal.types import Moment, Span, Tokens, is_real
from seal.video import (
    Frame,
    Gap,
    Note,
    VideoInfo,
    VideoReader,
    is_address,
    is_pipe,
    open_video,
    shown,
)
from seal.video.source import is_device
from seal.weights import require
from seal.windows import Window
from seal.words import Transcript
from seal.words.sentences import sentences
from seal.words.subtitles import find

_FIRST_PAUSE_S = 0.25
"""The pause before the first try to reach a lost source. Each further pause is twice as long."""
_LONGEST_PAUSE_S = 10.0
"""The longest pause between two tries."""

_ROUNDING_S = 1e-6
"""The place from which a file is read on may be late by this much."""
_MAY_CHANGE = {"video.max_duration_s", "attention.certify_s"}
"""Options that may differ between the runs of one state: the length of the watched part, and the
tightness of the bound."""

Say = Callable[[str], None]


def watch(
    source: str,
    options: Options,
    watching: WatchOptions,
    queries: Iterable[str] = (),
    *,
    state: Path | None = None,
    head: str | None = None,
    answerer: Answerer | None = None,
    say: Say = lambda text: None,
) -> Iterator[Window]:
    """The windows of a source as they end, each with a choice of tokens for every query.

    Without a query nothing is more relevant than anything else. In memory are a window and the
    choices. A connection that is lost is tried again for `watching.give_up_s`; `say` is told. The
    clock goes on meanwhile, and what was missed is a gap.

    With `head`, a trained localisation head, each window has the moments that it finds for every
    query among the tokens chosen for it so far.

    With an `answerer`, or one that `options.answer` names, the queries are questions. A question
    is asked about the tokens chosen for it so far, and asked anew if they have changed and
    `watching.answer_every_s` of the source has gone by; where the model has failed, unchanged
    tokens are asked about again. When the source ends, the last choice is asked about. A file
    waits for the answers; those about a live source come with a later window.

    With `state`, a file, all that is remembered is saved after each window. If it is there, its
    queries go on standing beside `queries`, which then come late, and a file is read on from where
    it was left. A window may come twice if the process is killed while it is being saved.

    Raises VideoError if the source cannot be read, or is gone for good; OptionError for wrong
    queries, and for a state of another source or other options; StoreError if the state cannot be
    read or written; BackendError if a back end cannot be loaded.
    """
    answerer = answerer or load(options.answer)
    models = Models.load(options)
    encoder, subtitles = models.encoder, _subtitles(source, options, models)
    for note in subtitles.notes:
        say(note)
    keys = models.keys(options, subtitles)
    spoken = sentences(subtitles.cues, options.speech)
    words = {text: searched_by(text, options.answer) if answerer else text for text in queries}
    asked = {text: embed_query(encoder, words[text]) for text in words}
    attention = replace(options.attention, budget=watching.budget)
    options = replace(options, attention=attention)
    name = shown(source, options.video.address_query == "identity")
    fixed: dict[str, Any] = {"source": name, "encoder": encoder.fingerprint}
    # Some options of the video may change, and the others are compared by themselves.
    stages = models.keys(options.replace("video", VideoOptions()), subtitles)
    fixed |= {"options": _deciding(options, watching), "stages": stages}
    stream = Stream(encoder.dimension, attention, encoder.calibration)
    notes: dict[str, Any] = {}
    if state is not None and state.exists():
        stream, notes = Stream.load(state, attention, encoder.calibration)
        _check_notes(state, notes)
        _check_same(state, notes, fixed)
    stream.language = subtitles.language
    known = {query.text for query in stream.queries}
    found = _found_by(head, encoder.fingerprint)
    late = [stream.ask(text, asked[text], words[text]) for text in asked if text not in known]
    if not stream.queries:
        stream.ask("", None)
    if answerer is not None and not any(query.text for query in stream.queries):
        raise OptionError(f"{answerer.name} has nothing to answer: give a question as a query")
    feed = _Feed(source, options.video, watching.give_up_s, say, notes)
    answers = StandingAnswers(answerer, options, encoder, watching.answer_every_s, name)
    last: tuple[int, float, float] | None = None
    # Sentences before this time have been given.
    said_s = notes.get("said_s", notes.get("reached_s", -math.inf))
    with closing(answers):
        for number, frames in groupby(
            feed.frames(), lambda seen: feed.window(seen, watching.window_s)
        ):
            seen, parts, pictures = _Seen(frames), list[Tokens](), dict[str, list[bytes]]()
            window = Span(*(feed.origin_s + (number + i) * watching.window_s for i in (0, 1)))
            until_s = min(window.end_s, feed.origin_s + (options.video.max_duration_s or math.inf))
            heard = [cue for cue in spoken if said_s <= cue.start_s < until_s]
            said_s = max(said_s, until_s)
            for connection, part in groupby(seen, lambda seen: seen[0]):
                for batch in decompose(
                    (frame for _, frame in part),
                    keys,
                    options,
                    models,
                    connection.info,
                    start_s=window.start_s,
                    video_id=name,
                    heard=heard,
                ):
                    parts.append(batch.tokens)
                    pictures |= answers.pictures_of(batch)
            tokens = Tokens.concatenate(parts)
            tokens = tokens.take(np.argsort(tokens.start_s, kind="stable"))
            stream.push(tokens, pictures)
            brought = {kind: int((tokens.kinds == kind).sum()) for kind in keys}
            gaps, feed.gaps = feed.gaps, []
            noted, feed.notes = feed.notes, []
            end_s = max(seen.end_s, min(seen.connection.until_s, window.end_s))
            last = number, seen.start_s, end_s
            reached = Reached(end_s, end_s - feed.origin_s)
            came = answers.after(stream, reached, wait=not seen.connection.info.is_live)
            chosen, moments = stream.queries, found(stream.queries)
            matches = window_matches(stream, encoder, options)
            yield Window(name, *last, brought, gaps, noted, chosen, matches, moments, came)
            if state is not None:
                notes = {"last": [*last[:2]], "reached_s": end_s}
                notes |= {"origin_s": feed.origin_s, "at": time.time(), "said_s": said_s}
                stream.save(state, fixed | notes)
        if late and last is None and notes and feed.failure is None:
            # All of it was seen before these were asked.
            (number, start_s), end_s = notes["last"], notes["reached_s"]
            chosen, reached = stream.queries, Reached(end_s, end_s - feed.origin_s)
            came = answers.after(stream, reached, wait=True)
            matches = window_matches(stream, encoder, options)
            yield Window(
                name, number, start_s, end_s, {}, [], [], chosen, matches, found(chosen), came
            )
            if state is not None:
                stream.save(state, fixed | notes)
        elif last is not None:
            for came in answers.rest(stream, reached):
                yield Window(name, *last, {}, [], [], chosen, matches, moments, came)
    if feed.failure is not None:
        raise feed.failure


def _subtitles(source: str, options: Options, models: Models) -> Transcript:
    """The subtitles of a file. A stream has none.

    Raises OptionError for a file of subtitles that is named for a stream.
    """
    if os.path.isfile(source) and not is_pipe(source):
        return find(
            source, options.subtitles, None, reader=models.reader, video_options=options.video
        )
    if options.subtitles.file is not None:
        raise OptionError(f"{shown(source)} is not a file: subtitles.file has no effect on it")
    return Transcript(())


def _found_by(
    head: str | None, encoder: str
) -> Callable[[list[Standing]], list[list[Moment]] | None]:
    """What finds the moments of standing queries; nothing without a head."""
    if head is None:
        return lambda queries: None
    require("torch")
    from seal.ground.standing import StandingHead

    return StandingHead(head, encoder)


def _deciding(options: Options, watching: WatchOptions) -> dict[str, Any]:
    """Key -> value of the options that decide what is remembered."""
    values = {
        f"{stage}.{key}": value
        for stage in (*INDEX_STAGES, "attention")
        for key, value in deciding(getattr(options, stage)).items()
    }
    values = {key: value for key, value in values.items() if key not in _MAY_CHANGE}
    return values | {"window_s": watching.window_s}


def _check_notes(state: Path, notes: Mapping[str, Any]) -> None:
    """Raises StoreError unless notes are what `watch` wrote."""
    last = notes.get("last")
    numbers = [notes.get(key) for key in ("reached_s", "origin_s", "at")]
    numbers += [notes.get("said_s", 0.0)]
    numbers += last if isinstance(last, list) else [None]
    texts = [notes.get(key) for key in ("source", "encoder")]
    groups = [notes.get(key) for key in ("options", "stages")]
    valid = all(map(is_real, numbers)) and all(isinstance(text, str) for text in texts)
    if not valid or len(numbers) != 6 or not all(isinstance(group, dict) for group in groups):
        raise StoreError(
            f"{state} is not the state of `seal watch`, or damaged; remove it, or use another"
            " --state"
        )


def _check_same(state: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if (before := shown(then["source"])) != now["source"]:
        raise OptionError(f"{state} is the state of watching {before}; use another")
    if then["encoder"] != now["encoder"]:
        raise StoreError(
            f"{state} has tokens of another encoder ({then['encoder']}) than is used now"
            f" ({now['encoder']}); remove it, or use another --state"
        )
    kept, after = then.get("options", {}), now["options"]
    # An option that is younger than the state had its default.
    changed = [key for key, value in after.items() if kept.get(key, value) != value]
    if changed:
        was = ", ".join(f"{key}={kept.get(key)}, now {after[key]}" for key in changed)
        raise OptionError(f"{state} was written with {was}: use the same, or another --state")
    stages = then.get("stages", {})
    if stages.get(SPEECH.name) != now["stages"].get(SPEECH.name):
        raise OptionError(
            f"{state} was written with other subtitles than are there now; use another --state"
        )
    if stages != now["stages"]:
        raise StoreError(
            f"{state} has tokens of other versions of the stages than are installed now; remove it,"
            " or use another --state"
        )


@dataclass(frozen=True, eq=False)
class _Connection:
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


_Timed = tuple[_Connection, Frame]


class _Seen(Iterator[_Timed]):
    """The frames of a window, from when to when they were, and the latest one's connection."""

    connection: _Connection

    def __init__(self, frames: Iterator[_Timed]) -> None:
        self._frames = frames
        self.start_s = self.end_s = np.inf

    def __next__(self) -> _Timed:
        self.connection, frame = next(self._frames)
        self.start_s = min(self.start_s, frame.time_s)
        self.end_s = float(frame.end_pts * frame.time_base)
        return self.connection, frame


class _Feed:
    """The frames of a source on one clock, over as many connections as it takes."""

    def __init__(
        self,
        source: str,
        options: VideoOptions,
        give_up_s: float,
        say: Say,
        notes: Mapping[str, Any],
    ) -> None:
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

    def window(self, seen: _Timed, window_s: float) -> int:
        """The number of the window that a frame is in."""
        return int((seen[1].time_s - self.origin_s) // window_s)

    def frames(self) -> Iterator[_Timed]:
        """All frames from where the notes were taken, until the source ends or `failure` is set.

        Raises VideoError if it cannot be opened at first.
        """
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

    def _connected(self, video: VideoReader, why: str) -> Iterator[_Timed]:
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
        connection = _Connection(info, video, float(offset), limit_s)
        if shift:
            self.gaps.append(Gap(Span(self._reached_s, info.start_s), why))
        try:
            for frame in video.frames(None if info.is_live else self._reached_s - _ROUNDING_S):
                self._seen_at = time.time()
                timed = replace(frame, pts=frame.pts + shift, end_pts=frame.end_pts + shift)
                self._take_findings(video, float(offset))
                if timed.time_s >= limit_s:
                    return
                yield connection, timed
            self._take_findings(video, float(offset))
        finally:
            self._reached_s = connection.until_s

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
