"""Keyword arguments as settings: what the methods of a library and of a video have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase

from seal.config import as_settings
from seal.errors import OptionError
from seal.settings import split

Settings = Iterable[str] | Mapping[str, object]
"""Options by key, such as {"attention.alpha": 0.8} or ["attention.alpha=0.8"]."""
Choices = Mapping[str, str] | Sequence[str]
"""Of a multiple choice: the texts by letter, or a list of texts, which get A, B and so on."""


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


def asking(budget: int | None, answerer: object) -> dict[str, object]:
    """The options of a question that have arguments of their own, by key.

    An answerer that is an object has none.
    """
    if not isinstance(answerer, str):
        return {"attention.budget": budget}
    backend, _, model = answerer.partition(":")
    return {
        "attention.budget": budget,
        "answer.backend": backend,
        "answer.model": model or None,
    }


def lettered(choices: Choices | None) -> dict[str, str]:
    """The texts of a multiple choice by letter; empty where there is none.

    Raises OptionError for anything else than a mapping from letters to texts or a list of texts.
    """
    if choices is None:
        return {}
    if isinstance(choices, Mapping):
        texts = dict(choices)
    elif isinstance(choices, Sequence) and not isinstance(choices, (str, bytes)):
        if len(choices) > len(ascii_uppercase):
            raise OptionError(
                f"{len(choices)} choices are given: at most {len(ascii_uppercase)} have letters"
            )
        texts = dict(zip(ascii_uppercase, choices, strict=False))
    else:
        raise _no_choices(choices)
    for letter, text in texts.items():
        if not (isinstance(letter, str) and letter.strip() and isinstance(text, str)):
            raise _no_choices({letter: text})
    return texts


def _no_choices(got: object) -> OptionError:
    return OptionError(
        'choices must be texts by letter, such as {"A": "red", "B": "blue"}, or a list of texts,'
        f" got {got!r}"
    )
