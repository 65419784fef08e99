"""The times that an answer cites, and the tokens shown at these times."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from seal.clock import span_clock
from seal.types import Int64, Tokens

_CLOCK = r"(?:(\d+):)?(\d{1,3}):(\d{2}(?:\.\d+)?)"
# A time or a span of times, in brackets of any kind, after the number of the video where there are
# several. Without brackets, "3:15" may mean anything, such as a score; models seldom forget them.
_CITATION = re.compile(
    rf"[\[(【]\s*(?:#(\d+)\s+)?{_CLOCK}(?:\s*(?:-|–|—|to)\s*{_CLOCK})?(?=\s*[\])】,;])"
)
# Prompts give times to a tenth of a second; models round them to whole ones.
_TOLERANCE_S = 1.0


class Citation(NamedTuple):
    """A time that an answer cites."""

    start_s: float
    end_s: float
    """Equal to `start_s` where an instant is cited."""
    number: int = 0
    """The number of the video; 0 where none is cited."""

    def __str__(self) -> str:
        video = f"#{self.number} " if self.number else ""
        return f"{video}{span_clock(self.start_s, self.end_s)}"


def cited_times(text: str) -> list[Citation]:
    """What an answer cites, in order, each once."""
    # So that each of "[0:12.0, 0:14.0]" stands behind a bracket.
    text = re.sub(r"([,;])\s*(?=(?:#\d+ )?\d+:\d)", r"\1[", text)
    cited = []
    for match in _CITATION.finditer(text):
        start_s = _seconds(*match.groups()[1:4])
        end_s = start_s if match[6] is None else _seconds(*match.groups()[4:])
        cited.append(Citation(start_s, end_s, int(match[1] or 0)))
    return list(dict.fromkeys(cited))


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


def resolve(
    text: str, tokens: Tokens, numbers: Int64 | None = None
) -> tuple[Int64, list[Citation]]:
    """The rows of the tokens that an answer cites, and the cited times at which there is none.

    A time stands for the tokens it falls into, or for the nearest ones within a second of it.
    `numbers` [n] is the number of each token's video, where there are several; a citation without
    a number means any of them.
    """
    rows: set[int] = set()
    nothing = []
    for cited in cited_times(text):
        off_s = np.maximum(tokens.start_s - cited.end_s, cited.start_s - tokens.end_s)
        off_s = np.maximum(off_s, 0)
        if cited.number and numbers is not None:
            off_s = np.where(numbers == cited.number, off_s, np.inf)
        nearest = off_s.min(initial=np.inf)
        if nearest > _TOLERANCE_S:
            nothing.append(cited)
        else:
            # A tenth of a second is what writing a time down takes off it.
            rows.update(np.flatnonzero(off_s <= max(nearest, 0.05)).tolist())
    return np.array(sorted(rows), np.int64), nothing
