"""The steps that `seal.library.LocalLibrary` and `seal.indexed.LocalVideo` share.

They load an answerer, and make results of a `Scope`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal import backends
from seal.arguments import Settings, asking, merged
from seal.config import Options, WatchOptions
from seal.errors import OptionError
from seal.files import writing
from seal.front import PutExport, PutQuestion
from seal.inventory import Indexed
from seal.lookup import given_subtitles
from seal.results import Answer, Found, Selection, Shown
from seal.scope import Scope
from seal.show import Storyboard
from seal.show import write as write_storyboard
from seal.store import VideoRecord
from seal.words.beside import check_no_subtitles

if TYPE_CHECKING:
    from seal.answer import Answerer
    from seal.export import Exported


def describe(record: VideoRecord, counts: Mapping[str, int]) -> Indexed:
    """A video as a whole; `counts` is kind -> number of its tokens."""
    return Indexed(
        video=record.id,
        path=record.path,
        duration_s=record.duration_s,
        tokens=counts,
        gaps=record.gaps,
        notes=record.notes,
        profile=record.profile,
        seconds=record.seconds,
        is_quick=record.is_quick,
    )


def watching(
    profile: str,
    options: Settings,
    answerer: str | Answerer | None,
    answer_every_s: float | None,
    defaults: Iterable[str] = (),
    **values: Any,
) -> tuple[Options, WatchOptions]:
    """The options of watching: `values` are those of `WatchOptions` that have arguments.

    Raises OptionError for what only an answerer reads where there is none.
    """
    check_answerer(answerer)
    settings = merged(options, asking(None, answerer))
    chosen = Options.load(profile, settings, "watch", defaults)
    if answer_every_s is not None:
        values["answer_every_s"] = answer_every_s
    if chosen.answer.backend == "none" and (answerer is None or isinstance(answerer, str)):
        unread = [each for each in settings if each.startswith("answer.")]
        unread = [each for each in unread if not each.startswith("answer.backend=")]
        unread += [] if answer_every_s is None else [f"answer_every_s={answer_every_s:g}"]
        if unread:
            raise OptionError(
                f"{unread[0]} has no effect without an answerer, such as openai:MODEL"
            )
    return chosen, WatchOptions(**values)


def load_answerer(scope: Scope, answerer: str | Answerer | None) -> Answerer | None:
    """The model that answers: an object as it is, or the one that the options name."""
    from seal.answer import load

    check_answerer(answerer)
    if answerer is None or isinstance(answerer, str):
        return load(scope.options.answer)
    return answerer


def check_answerer(answerer: object) -> None:
    """Raise BackendError for an object that is no answerer."""
    from seal.answer import Answerer

    if answerer is not None and not isinstance(answerer, str):
        backends.complete_object("answerer", answerer, Answerer)


def answer(scope: Scope, put: PutQuestion) -> Answer:
    """The answer to a question about a scope."""
    from seal.answer import ask

    model = load_answerer(scope, put.answerer)
    return ask(
        scope, put.question, model, choices=put.choices, verify=put.verify, on_text=put.on_text
    )


def prompt(scope: Scope, put: PutQuestion) -> str:
    """What would be sent to ask a question about a scope, as a person reads it."""
    from seal.answer import Conversation
    from seal.answer import describe as read

    return read(Conversation(scope).put(put.question, put.choices).prompt)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A storyboard, and what it is made of."""

    storyboard: Storyboard
    selection: Selection
    found: Found

    @property
    def videos(self) -> list[str]:
        """The ids of the videos that it is about."""
        return [reel.video for reel in self.storyboard.reels]


def draw(
    scope: Scope, found: Found, include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> Drawn:
    """A storyboard of what was found and what is selected."""
    began = time.monotonic()
    choice = scope.choose(found.query, include, exclude)
    selection = scope.selection(found.query, choice, began)
    return Drawn(Storyboard.of(scope, selection, choice, found), selection, found)


def show(drawn: Drawn, path: str | Path) -> Shown:
    """Write a storyboard."""
    write_storyboard(drawn.storyboard, path)
    return Shown(Path(path), drawn.selection, drawn.found, drawn.videos)


def export(scope: Scope, found: Found, put: PutExport) -> Exported:
    """Write what was found: moments, clips, or a storyboard with them."""
    from seal.export import STORYBOARD, Exported, form_of, write

    named = [each for record in scope.content.records for each in given_subtitles(record)]
    check_no_subtitles(put.path, named)
    if form_of(put.path) == STORYBOARD:
        with writing(put.path):
            shown = show(draw(scope, found), put.path)
        return Exported(shown.output, found, shown.videos)
    return write(found, scope.content.records, put.path, copy=put.copy, say=put.say)


def exporting(put: PutExport) -> str:
    """The task of an export: a storyboard reads more options. Raises OptionError for a path whose
    suffix is none, and where `copy` has no effect."""
    from seal.export import STORYBOARD, check_copy, form_of

    check_copy(put.path, put.copy)
    return "show" if form_of(put.path) == STORYBOARD else "find"
