"""Multiple-choice questions about videos: what readers of benchmarks give, how answers are scored.

A benchmark is a reader, which turns its published files into `Question`s, and the official rule by
which it takes an answer out of what a model wrote. Everything else is common.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal.errors import DataError
from seal.evaluate.bootstrap import bootstrap


@dataclass(frozen=True)
class Question:
    """A question about a video, with options of which one is right."""

    id: str
    video: str
    text: str
    """Without its options."""
    options: dict[str, str]
    """Letter -> text, in order."""
    answer: str
    """The letter of the right one."""
    types: tuple[str, ...] = ()
    """What the question is about: it counts in each of these categories."""


# What may stand before the letter of an answer: brackets, quotes, mark-up.
_OPEN = r"""(?:[\s(\[{<"'`*_$]|\\(?:boxed|text|mathrm)\{)*"""


def extract(output: str, question: Question) -> str:
    """The letter that an output means, however it is put, or "" where it does not say.

    The first of these that there is: what it last calls the answer; the letter that it begins with;
    the only letter in brackets or called an option; the only option whose text is there; the only
    letter that stands alone. What comes before "</think>" does not count, nor does "A" as a word.
    """
    text = output.rpartition("</think>")[2].strip()
    letter = _letter(question)
    stated = re.findall(rf"(?i:answer(?:\s+(?:is|would\s+be))?)\W*?{_OPEN}{letter}", text)
    whole = re.fullmatch(r"\W*([a-z])\W*", text)
    if stated:
        return str(stated[-1])
    if whole and whole[1].upper() in question.options:
        return whole[1].upper()
    begins = re.match(_OPEN + letter, text)
    if begins:
        return begins[1]
    marked = re.findall(rf"(?:[(\[{{*]|(?i:option|choice)\s+){letter}", text)
    alone = re.findall(rf"\b{letter}", text)
    return _only(marked) or _only(_quoted(text, question)) or _only(alone)


def _letter(question: Question) -> str:
    """A pattern for one of the letters, but not for an article: "A" before another word, unless
    that word begins the option."""
    letters = "".join(map(re.escape, question.options)) or "A-D"
    option = re.escape(question.options.get("A", ""))
    not_article = rf"(?:(?<!A)|(?=\s+{option}\b)|(?!\s+\w))" if option else r"(?:(?<!A)|(?!\s+\w))"
    return rf"([{letters}])(?![\w'’]){not_article}"


def _quoted(text: str, question: Question) -> list[str]:
    """The options whose words are in `text`, but for those that are part of another one there."""
    there = {letter: _words(option) for letter, option in question.options.items()}
    there = {
        letter: words for letter, words in there.items() if words.strip() and words in _words(text)
    }
    return [
        letter
        for letter, words in there.items()
        if not any(words != other and words in other for other in there.values())
    ]


def _words(text: str) -> str:
    """Lower case, without punctuation, a space around each word."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "


def _only(letters: Iterable[str]) -> str:
    found = set(letters)
    return found.pop() if len(found) == 1 else ""


def score(
    questions: Sequence[Question], answers: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, Any]:
    """The share of right answers, of each type and overall: `accuracy` of the questions that are
    answered, and `strict`, of all.

    `answers` are letters by the id of the question; `names` the types in order, and how to call
    them; others follow under their own name. A type without questions is left out. Intervals are
    over videos, whose questions are not independent.

    Raises DataError if none of the questions is answered.
    """
    answered = [question for question in questions if question.id in answers]
    if not answered:
        raise DataError("none of the questions is answered: do these outputs belong to them?")
    return {
        "accuracy": _accuracy(answered, answers, names),
        "strict": _accuracy(questions, answers, names),
    }


def _accuracy(
    questions: Sequence[Question], answers: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    figures = {}
    for kind, asked in by_type(questions, names).items():
        right = [answers.get(question.id) == question.answer for question in asked]
        figures[kind] = bootstrap(right, [question.video for question in asked])._asdict()
    return figures


def by_type(
    questions: Sequence[Question], names: Mapping[str, str]
) -> dict[str, Sequence[Question]]:
    """The questions of each type, by its name and in the order of `names`; last, all: "overall"."""
    groups: dict[str, list[Question]] = {kind: [] for kind in names}
    for question in questions:
        for kind in question.types:
            groups.setdefault(kind, []).append(question)
    named = {names.get(kind, kind): group for kind, group in groups.items() if group}
    return {**named, "overall": questions}
