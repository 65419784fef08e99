"""Streaming: a file, a camera or a stream is watched window by window, in fixed memory."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from seal import kinds
from seal.answer import Answerer, load
from seal.answer.evidence import searched_by
from seal.answer.standing import Reached, StandingAnswers
from seal.attention.streaming import Standing, Stream
from seal.config import Options, VideoOptions, WatchOptions, deciding
from seal.config.tasks import INDEX_STAGES
from seal.connections import Connections, Say, Seen
from seal.content import embed_query
from seal.decompose import Instances, Models, decompose
from seal.errors import OptionError, SealError, StoreError
from seal.scope import window_matches
from seal.types import Moment, Span, Tokens, is_real
from seal.video import Gap, shown
from seal.weights import require
from seal.windows import Window
from seal.words import Transcript
from seal.words.listening import SpokenWindows
from seal.words.subtitles import find

_MAY_CHANGE = {"video.max_duration_s", "attention.certify_s"}
"""Options that may differ between the runs of one state: the length of the watched part, and the
tightness of the bound."""


def watch(
    source: str,
    options: Options,
    watching: WatchOptions,
    queries: Iterable[str] = (),
    *,
    state: Path | None = None,
    head: str | None = None,
    answerer: Answerer | None = None,
    instances: Instances | None = None,
    say: Say = lambda text: None,
) -> Iterator[Window]:
    """The windows of a source as they end, each with a choice of tokens for every query.

    Without a query nothing is more relevant than anything else. In memory are a window and the
    choices. A connection that is lost is tried again for `watching.give_up_s`; `say` is told. The
    clock goes on meanwhile, and what was missed is a gap. `instances` are models that stand in for
    those that the options name.

    With `head`, a trained localisation head, each window has the moments that it finds for every
    query among the tokens chosen for it so far.

    With an `answerer`, or one that `options.answer` names, the queries are questions. A question
    is asked about the tokens chosen for it so far, and asked anew if they have changed and
    `watching.answer_every_s` of the source has gone by. Where the model has failed, unchanged
    tokens are asked about again. When the source ends, the last choice is asked about. A file
    waits for the answers; those about a live source come with a later window.

    With `state`, a file, all that is remembered is saved after each window. If it is there, its
    queries go on standing beside `queries`, which then come late, and a file is read on from where
    it was left. A window may come twice if the process is killed while it is being saved.

    Raises VideoError if the source cannot be read, or is gone for good, and OptionError for wrong
    queries, and for a state of another source or other options. Raises StoreError if the state
    cannot be read or written, and BackendError if a back end cannot be loaded.
    """
    answerer = answerer or load(options.answer)
    instances = instances or Instances()
    options = instances.named_in(options)
    models = Models.load(options, instances)
    encoder = models.encoder
    subtitles = find(
        source,
        options.subtitles,
        None,
        reader=models.reader,
        video_options=options.video,
        is_read_once=not (os.path.isfile(source) or os.path.isdir(source)),
    )
    for note in subtitles.notes:
        say(note)
    keys = models.keys(options, subtitles)
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
    said = _spoken(state, options, subtitles, models, notes)
    stream.language = said.language
    known = {query.text for query in stream.queries}
    found = _found_by(head, encoder.fingerprint)
    late = [stream.ask(text, asked[text], words[text]) for text in asked if text not in known]
    if not stream.queries:
        stream.ask("", None)
    if answerer is not None and not any(query.text for query in stream.queries):
        raise OptionError(f"{answerer.name} has nothing to answer: give a question as a query")
    feed = Connections(source, options.video, watching.give_up_s, say, notes, said.listener)
    answers = StandingAnswers(answerer, options, encoder, watching.answer_every_s, name)
    last: tuple[int, float, float] | None = None
    with closing(answers):
        for number, frames in groupby(
            feed.frames(), lambda seen: feed.window(seen, watching.window_s)
        ):
            seen, parts, pictures = Seen(frames), list[Tokens](), dict[str, list[bytes]]()
            window = Span(*(feed.origin_s + (number + i) * watching.window_s for i in (0, 1)))
            until_s = min(window.end_s, feed.origin_s + (options.video.max_duration_s or math.inf))
            for connection, part in groupby(seen, lambda seen: seen[0]):
                for batch in decompose(
                    (frame for _, frame in part),
                    keys,
                    options,
                    models,
                    connection.info,
                    start_s=window.start_s,
                    video_id=name,
                    heard=partial(said.before, until_s),
                ):
                    parts.append(batch.tokens)
                    pictures |= answers.pictures_of(batch)
            tokens = Tokens.concatenate(parts)
            tokens = tokens.take(np.argsort(tokens.start_s, kind="stable"))
            stream.language = said.language
            stream.push(tokens, pictures)
            brought = {kind: int((tokens.kinds == kind).sum()) for kind in keys}
            lost = [Gap(Span(at.start_s, at.end_s), at.reason) for at in said.lost]
            gaps, feed.gaps, said.lost = [*feed.gaps, *lost], [], []
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
                notes |= {"origin_s": feed.origin_s, "at": time.time()}
                notes |= said.save(end_s)
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
        elif notes and feed.failure is None:
            say(f"{state} has all of {name}: nothing is left to watch")
    if feed.failure is not None:
        raise feed.failure


def _spoken(
    state: Path | None,
    options: Options,
    subtitles: Transcript,
    models: Models,
    notes: Mapping[str, Any],
) -> SpokenWindows:
    """What is said, from where the `notes` of a state were taken on.

    Raises StoreError if they are damaged.
    """
    try:
        return SpokenWindows(options.speech, subtitles, models.transcriber, notes)
    except (TypeError, ValueError, LookupError, SealError) as error:
        raise StoreError(
            f"{state} has damaged words ({error}); remove it, or use another"
        ) from error


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
    if any(stages.get(name) != now["stages"].get(name) for name in kinds.heard()):
        raise OptionError(
            f"{state} was written with other subtitles, or another speech recogniser, than are"
            " there now; use another --state"
        )
    if stages != now["stages"]:
        raise StoreError(
            f"{state} has tokens of other versions of the stages than are installed now; remove it,"
            " or use another --state"
        )
