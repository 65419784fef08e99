"""What a query asks for that `mini` was not taught: its verdict is then worth little.

The kinds are those at which it does no better than by chance in `benchmarks/mini_failures.py`, and
those that nothing in its training speaks of.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_QUOTED = re.compile(r"[\"“”„«»]")
_SMALL = "two three four five six seven eight nine ten eleven twelve dozen both pair"
_ORDER = "before after first last then finally again twice"
_KINDS = {
    "numbers": frozenset(_SMALL.split()),
    "counting": frozenset(("many", "count", "number")),
    "the order of events": frozenset(_ORDER.split()),
    "negation": frozenset(("no", "not", "without", "nobody", "nothing", "never")),
    "left and right": frozenset(("left", "right")),
    "writing": frozenset(("written", "caption", "captions", "subtitle", "subtitles", "logo")),
}
_FOREIGN = frozenset(
    (
        *("el", "los", "las", "una", "del", "con", "por", "para", "que", "donde", "cuando"),
        *("der", "das", "ein", "eine", "einen", "und", "ist", "nicht", "mit", "auf", "wie", "wird"),
        *("ich", "wir", "warum", "les", "des", "une", "dans", "avec", "sur", "qui", "pourquoi"),
        *("gli", "nel", "della", "che", "uma", "het", "een", "niet", "ikke", "och", "som", "nie"),
    )
)
"""Short words that other languages cannot do without, and English does not have."""


def foreign(query: str) -> str:
    """A word of the query that is not English; empty if none is known to be.

    It tells by other letters than those of English, and by a few common words. A short query in
    plain letters may pass for English.
    """
    words = _WORD.findall(query)
    return next((word for word in words if not word.isascii() or word.lower() in _FOREIGN), "")


def limits(query: str) -> list[str]:
    """The kinds of word in the query that mean nothing to `mini`, each with an example."""
    words = _WORD.findall(query)
    found = {}
    for kind, known in _KINDS.items():
        found[kind] = [word for word in words if word.lower() in known]
    found["numbers"] += [word for word in words if word.isdigit()]
    found["writing"] += _QUOTED.findall(query)
    found["names"] = [word for word in words[1:] if word[0].isupper() and not word.isupper()]
    found["other languages than English"] = [word] if (word := foreign(query)) else []
    return [f"{kind} ({examples[0]})" for kind, examples in found.items() if examples]
