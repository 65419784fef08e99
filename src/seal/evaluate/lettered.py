"""Options by letter, and which of them is right, in the forms in which annotation files have them.

An option can be an entry of a list, the value of a letter, or a part of the question. A right
answer can be a letter, a letter in brackets or before the text of the option, or that text alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from string import ascii_uppercase
from typing import Any

from seal.datacheck import EntryError

# How an option begins: "(A)", "[a]", or "A.", "a)", "A:", in the signs of Chinese text as well.
_BRACKETED = r"[(（\[]\s*(?P<bracketed>[A-Za-z])\s*[)）\]]"
_DOTTED = r"(?P<dotted>[A-Za-z])\s?[.．:：)）、]"
_MARK = rf"(?:{_BRACKETED}|{_DOTTED})"
_AT_A_LINE = re.compile(rf"^[^\S\n]*{_MARK}", re.MULTILINE)
_ANYWHERE = re.compile(rf"{_BRACKETED}|(?<![A-Za-z0-9]){_DOTTED}")
# A letter, perhaps marked, and perhaps the option's text after the mark.
_ANSWER = re.compile(r"[(（\[]?\s*([A-Za-z])\s*(?:[)）\].．:：、]+\s*(.*))?", re.DOTALL)


def lettered(texts: Any) -> dict[str, str]:
    """Options as published, by letter from A: a list of texts, or a mapping from letters to texts.

    A letter that each option begins with is no part of its text. Raises EntryError.
    """
    if isinstance(texts, Mapping):
        if [*texts] != [*ascii_uppercase[: len(texts)]]:
            raise EntryError("options whose letters are not A, B, C, ...", dict(texts))
        texts = [*texts.values()]
    if not isinstance(texts, list):
        raise EntryError("options that are no list", texts)
    if not 2 <= len(texts) <= len(ascii_uppercase):
        raise EntryError("options that are not 2 to 26", texts)
    if not all(isinstance(text, str) or _is_number(text) for text in texts):
        raise EntryError("an option that is no text", texts)
    options = dict(zip(ascii_uppercase, map(str, texts), strict=False))
    marks = {letter: _AT_A_LINE.match(text) for letter, text in options.items()}
    if all(mark and _letter(mark) == letter for letter, mark in marks.items()):
        options = {
            letter: text[mark.end() :].strip()
            for (letter, text), mark in zip(options.items(), marks.values(), strict=True)
            if mark
        }
    return options


def right(answer: Any, options: Mapping[str, str]) -> str:
    """The letter of the right option; `answer` is a letter, marked or not, or the option's text.

    Raises EntryError if it is neither, or if its letter and its text are of two options.
    """
    if not isinstance(answer, str):
        raise EntryError("an answer that is no text", answer)
    if answer.strip() in options:
        return answer.strip()
    same = [letter for letter, text in options.items() if _words(text) == _words(answer)]
    if len(same) == 1 and _words(answer):
        return same[0]
    found = _ANSWER.fullmatch(answer.strip())
    letter = found[1].upper() if found else ""
    if found is None or letter not in options:
        raise EntryError("an answer that is none of the options", answer)
    if found[2] and _words(found[2]) != _words(options[letter]):
        raise EntryError("an answer whose letter and text are of two options", answer)
    return letter


def split(text: str) -> tuple[str, dict[str, str]]:
    """A question and its options by letter, which stand in one text.

    The options follow the question, one a line or one after the other; each begins with its letter,
    such as "(A)", "(a)", "A." or "A)". As published they are lines that begin with "(A)", and then
    there may be one alone. Raises EntryError if there are no options.
    """
    marks = _options(_AT_A_LINE.finditer(text), in_lines=True)
    marks = marks or _options(_ANYWHERE.finditer(text), in_lines=False)
    if not marks:
        raise EntryError("a question without options", text)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = {
        _letter(mark): text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)
    }
    return text[: marks[0].start()].strip(), options


def _options(found: Iterable[re.Match[str]], *, in_lines: bool) -> list[re.Match[str]]:
    """The marks of options among all that look like some.

    All marks of options are of one style. At the beginnings of lines they may skip a letter.
    Elsewhere, and where a letter comes twice, they are the longest run A, B, C, ..., the last one
    if there are several: options come after the question.
    """
    styles: dict[tuple[str, bool], list[re.Match[str]]] = {
        (group, upper): [] for group in ("bracketed", "dotted") for upper in (True, False)
    }
    for mark in found:
        group = str(mark.lastgroup)
        styles[group, mark[group].isupper()].append(mark)
    for style, marks in styles.items():
        least = 1 if style == ("bracketed", True) else 2
        if in_lines and least <= len(marks) == len({_letter(mark) for mark in marks}):
            return marks
        run = max(map(_run, _starts(marks)), key=len, default=[])
        if len(run) > 1:
            return run
    return []


def _starts(marks: list[re.Match[str]]) -> list[list[re.Match[str]]]:
    """The marks from each A on, from the last one to the first."""
    return [marks[i:] for i in reversed(range(len(marks))) if _letter(marks[i]) == "A"]


def _run(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """The first of the marks, the next B after it, the next C after that, and so on."""
    run: list[re.Match[str]] = []
    for mark in marks:
        if len(run) < len(ascii_uppercase) and _letter(mark) == ascii_uppercase[len(run)]:
            run.append(mark)
    return run


def _letter(mark: re.Match[str]) -> str:
    return str(mark[str(mark.lastgroup)]).upper()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _words(text: str) -> str:
    """As texts are compared: without case, spaces at the ends or between words, and a last dot."""
    return " ".join(text.casefold().split()).rstrip(".").rstrip()
