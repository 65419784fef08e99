"""What a question is about, when to look, and whether it asks why: read from its words alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Literal

Relation = Literal["", "before", "after", "during"]
Place = Literal["", "start", "end", "first", "last"]


@dataclass(frozen=True)
class Intent:
    """A question, taken apart."""

    query: str
    """What to look for; "" where the question says only when to look."""
    why: bool = False
    """Whether it asks for the cause of that."""
    relation: Relation = ""
    anchor: str = ""
    """The question asks for what was before, after or during this."""
    place: Place = ""
    """The question asks for the start or the end of the video, or for the first or last time of
    `query`."""


_WHY = re.compile(
    r"\b(why|how come|what (?:\w+ )?(?:caused?|causes|makes?|made|leads? to|led to)|because of what"
    r"|(?:the|what) (?:cause|reason)s?(?: is| was)?(?: of| for| that| behind)?)\b",
    re.I,
)
_RELATION = re.compile(r"\b(before|after|while|during|when|until|since)\b(?! time)", re.I)
_RELATIONS: dict[str, Relation] = {"before": "before", "until": "before", "after": "after"}
_PLACES: tuple[tuple[Place, str], ...] = (
    ("first", r"(?:for )?the first time|first (?=appear|seen|see|show|happen|come)|\bfirst$"),
    ("last", r"(?:for )?the last time|last (?=appear|seen|see|show|happen)|\blast$"),
    ("end", r"(?:at|in|near|towards?) the (?:very )?end(?: of the (?:video|film|movie|clip))?"),
    (
        "start",
        r"(?:at|in|near) the (?:very )?(?:beginning|start|opening)"
        r"(?: of the (?:video|film|movie|clip))?",
    ),
)
# Words that say nothing of what a picture shows.
_EMPTY = frozenset((resources.files("seal.answer") / "empty_words.txt").read_text("utf-8").split())


def read(question: str) -> Intent:
    """The intent of a question in English; any other text is its own query."""
    text = question.strip().rstrip("?!. ")
    why = bool(_WHY.search(text))
    text = _WHY.sub(" ", text)
    place: Place = ""
    for name, pattern in _PLACES:
        if re.search(pattern, text, re.I):
            place, text = name, re.sub(pattern, " ", text, flags=re.I)
            break
    main, relation, anchor = _related(text)
    query, anchor = phrase(main), phrase(anchor)
    # "Why does it fall when ..." and "when does ..." have one subject, not two.
    if why or not anchor:
        return Intent(phrase(text), why, place=place)
    return Intent(query, why, relation, anchor, place)


def subject(question: str) -> str:
    """What to look for to answer a question."""
    intent = read(question)
    return intent.query or intent.anchor or question


def _related(text: str) -> tuple[str, Relation, str]:
    """A question in its main clause, its conjunction, and the clause that this begins."""
    match = _RELATION.search(text)
    if match is None:
        return text, "", ""
    main, clause = text[: match.start()], text[match.end() :]
    if not phrase(main):
        clause, comma, main = clause.partition(",")
        # "When does it rain?" asks for a time; "after the rain?" for what was then.
        if not comma and match[1].lower() in ("when", "while", "since"):
            return text, "", ""
    return main, _RELATIONS.get(match[1].lower(), "during"), clause


def phrase(text: str) -> str:
    """A text without the words at its ends that say nothing of a picture: "the dog" of "what does
    the dog do". What stands between stays, as encoders have learned from sentences."""
    words = re.findall(r"[\w'’-]+", text)
    told = [i for i, word in enumerate(words) if word.lower() not in _EMPTY]
    if not told:
        return ""
    first = told[0]
    if first and words[first - 1].lower() in ("a", "an", "the"):
        first -= 1
    return " ".join(words[first : told[-1] + 1])


_POINTS_BACK = re.compile(
    r"\b(it|its|that|this|those|these|he|him|his|she|her|hers|they|them|their|then|there|same|one"
    r"|ones|else)\b",
    re.I,
)


def points_back(question: str) -> bool:
    """Whether a question cannot be understood without the one before it."""
    return bool(_POINTS_BACK.search(question)) or not phrase(question)


def complete(question: str, before: str) -> str:
    """A question that points back, with what the one before it is about in the place of that.

    "And before that?" becomes "And before the dog jumps?"; other words are added to.
    """
    about = subject(before)
    in_place = re.compile(r"\b(before|after|during|since|until) (?:that|this|then|it)\b", re.I)
    if in_place.search(question):
        return in_place.sub(lambda match: f"{match[1]} {about}", question)
    return f"{question.rstrip('?!. ')}, {about}?"
