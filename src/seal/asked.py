"""The steps that `seal.library.Library` and `seal.indexed.Video` share.

They turn keyword arguments into settings, load an answerer, and make results of a `Scope`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal.config import Options, WatchOptions, as_settings
from seal.errors import OptionError
from seal.files import writing
from seal.inventory import Indexed
from seal.results import Answer, Found, Selection, Shown
from seal.scope import Scope
from seal.settings import split
from seal.show import Storyboard
from seal.show import write as write_storyboard
from seal.store import VideoRecord

if TYPE_CHECKING:
    from seal.answer import Answerer, OnText
    from seal.export import Exported

Settings = Iterable[str] | Mapping[str, object]
"""Options by key, such as {"attention.alpha": 0.8} or ["attention.alpha=0.8"]."""


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


def merged(options: Settings, keywords: Mapping[str, object]) -> list[str]:
    """`options` as settings, with the keyword arguments that were given on top.

    Raises OptionError if one is given in both ways.
    """
    settings = as_settings(options)
    given = {key: value for key, value in keywords.items() if value is not None}
    twice = [key for key in given if key in {split(one)[0] for one in settings}]
    if twice:
        raise OptionError(f"{', '.join(twice)} is given twice, as an argument and as an option")
    return [*settings, *as_settings(given)]


def selecting(
    budget: int | None, objective: str | None, solver: str | None, alpha: float | None
) -> dict[str, object]:
    """The options of a selection that have arguments of their own, by key."""
    return {
        "attention.budget": budget,
        "attention.objective": objective,
        "attention.solver": solver,
        "attention.alpha": alpha,
    }


def asking(budget: int | None, answerer: str | Answerer | None) -> dict[str, object]:
    """The options of a question that have arguments of their own, by key."""
    if not isinstance(answerer, str):
        return {"attention.budget": budget}
    backend, _, model = answerer.partition(":")
    return {
        "attention.budget": budget,
        "answer.backend": backend,
        "answer.model": model or None,
    }


def watching(
    profile: str,
    options: Settings,
    answerer: str | Answerer | None,
    answer_every_s: float | None,
    **values: Any,
) -> tuple[Options, WatchOptions]:
    """The options of watching: `values` are those of `WatchOptions` that have arguments.

    Raises OptionError for what only an answerer reads where there is none.
    """
    settings = merged(options, asking(None, answerer))
    chosen = Options.load(profile, settings, "watch")
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

    if answerer is None or isinstance(answerer, str):
        return load(scope.options.answer)
    return answerer


def answer(
    scope: Scope,
    question: str,
    answerer: str | Answerer | None,
    choices: Mapping[str, str] | None,
    verify: bool,
    on_text: OnText | None,
) -> Answer:
    """The answer to a question about a scope."""
    from seal.answer import ask

    model = load_answerer(scope, answerer)
    began = time.monotonic()
    found = ask(scope, question, model, options=choices, verify=verify, on_text=on_text)
    name = None if model is None else model.name
    return replace(found, model=name, seconds=time.monotonic() - began)


def prompt(scope: Scope, question: str, choices: Mapping[str, str] | None) -> str:
    """What would be sent to ask a question about a scope, as a person reads it."""
    from seal.answer import Conversation
    from seal.answer import describe as read

    return read(Conversation(scope).put(question, choices).prompt)


def export(
    scope: Scope,
    found: Found,
    path: str | Path,
    copy: bool,
    say: Callable[[str], None],
) -> Exported:
    """Write what was found: moments, clips, or a storyboard with them."""
    from seal.export import STORYBOARD, Exported, form_of, write

    if form_of(path) == STORYBOARD:
        with writing(path):
            shown = show(scope, found, path)
        return Exported(shown.output, found, shown.videos)
    return write(found, scope.content.records, path, copy=copy, say=say)


def exporting(path: str | Path, copy: bool) -> str:
    """The task of an export: a storyboard reads more options. Raises OptionError for a path whose
    suffix is none, and where `copy` has no effect."""
    from seal.export import STORYBOARD, check_copy, form_of

    check_copy(path, copy)
    return "show" if form_of(path) == STORYBOARD else "find"


def show(
    scope: Scope,
    found: Found,
    path: str | Path,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> Shown:
    """Write a storyboard of what was found and what is selected."""
    board, selection = storyboard(scope, found, include, exclude)
    write_storyboard(board, path)
    videos = [record.id for record in scope.content.records]
    return Shown(Path(path), selection, found, videos)


def storyboard(
    scope: Scope, found: Found, include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> tuple[Storyboard, Selection]:
    """A storyboard of what was found and what is selected, and the selection."""
    began = time.monotonic()
    choice = scope.choose(found.query, include, exclude)
    selection = scope.selection(found.query, choice, began)
    return Storyboard.of(scope, selection, choice, found), selection
