"""The times that an answer cites, and the tokens shown at these times."""

from __future__ import annotations

import re

import numpy as np

from seal.types import Int64, Tokens

_CLOCK = r"(?:(\d+):)?(\d{1,3}):(\d{2}(?:\.\d+)?)"
# Alone or as a span, in brackets of any kind; models forget neither digits nor brackets often, but
# a bare "3:15" may be said of anything.
_CITATION = re.compile(rf"[\[(【]\s*{_CLOCK}(?:\s*(?:-|–|—|to)\s*{_CLOCK})?(?=\s*[\])】,;])")
# Prompts give times to a tenth of a second; models round them to whole ones.
_TOLERANCE_S = 1.0


def cited_times(text: str) -> list[tuple[float, float]]:
    """The spans (start_s, end_s) that an answer cites, in order, each once; [0:12.0] is both."""
    # So that each of "[0:12.0, 0:14.0]" stands behind a bracket.
    text = re.sub(r"([,;])\s*(?=\d+:\d)", r"\1[", text)
    spans = []
    for match in _CITATION.finditer(text):
        start_s = _seconds(*match.groups()[:3])
        spans.append((start_s, start_s if match[5] is None else _seconds(*match.groups()[3:])))
    return list(dict.fromkeys(spans))


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


def resolve(text: str, tokens: Tokens) -> tuple[Int64, list[tuple[float, float]]]:
    """The rows of the tokens that an answer cites, and the cited times at which there is none.

    A time stands for the tokens it falls into, or for the nearest ones within a second of it.
    """
    rows: set[int] = set()
    nothing = []
    for start_s, end_s in cited_times(text):
        off_s = np.maximum(np.maximum(tokens.start_s - end_s, start_s - tokens.end_s), 0)
        nearest = off_s.min(initial=np.inf)
        if nearest > _TOLERANCE_S:
            nothing.append((start_s, end_s))
        else:
            # A tenth of a second is what writing a time down takes off it.
            rows.update(np.flatnonzero(off_s <= max(nearest, 0.05)).tolist())
    return np.array(sorted(rows), np.int64), nothing
