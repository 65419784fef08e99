"""Raw cues to cues: times put right, captions that roll unrolled, and a note for all of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seal.words.cue import Cue
from seal.words.formats import RawCue
from seal.words.markup import one_line, timed_words

# The length that a file states may be this much short of its last picture.
_TOLERANCE_S = 1.0
# A cue without an end is shown for as long as reading takes, at 15 characters a second.
_READ_HZ = 15.0
_SHORTEST_S = 1.0
# The captions roll where at least this share of the cues that follow another at once begin with the
# line that the other ended with. At least so many must also go on.
_ROLLING_SHARE = 0.5
_ROLLING_COUNT = 2
_AT_ONCE_S = 0.5
# Animated titles are many events with one text, some of them a few pictures long.
_FLASH_S = 0.3
_TOUCHING_S = 0.05


@dataclass(frozen=True)
class Extent:
    """When the video is, on the clock of its cues."""

    start_s: float
    end_s: float | None
    """None if nobody knows."""


def tidy(raw: Sequence[RawCue], video: Extent) -> tuple[tuple[Cue, ...], list[str]]:
    """The cues that lie in the video, in order of their start, and what was done to them.

    There are none and one note if there is text, but none of it in the video.
    """
    texted = [cue for cue in raw if cue.text and not cue.text.isspace()]
    within, notes = _within(texted, video)
    if texted and not within:
        length = "" if video.end_s is None else f" the {video.end_s - video.start_s:.0f} s of"
        return (), [
            f"none of its {len(texted)} cues lies in{length} the video: they are for another film"
        ]
    within.sort(key=lambda cue: cue.start_s)
    backwards = _ends(within)
    if backwards:
        notes.append(f"{_cues(backwards)} ended before the start: the end is estimated")
    if _rolls(within):
        within = _unrolled(within)
    cues = _unanimated(within)
    if video.end_s is not None:
        cues = [_cut(cue, video.end_s) for cue in cues]
    return tuple(map(_cue, cues)), notes


def _cues(count: int) -> str:
    return "1 cue" if count == 1 else f"{count} cues"


def _within(raw: Iterable[RawCue], video: Extent) -> tuple[list[RawCue], list[str]]:
    """Those that are shown while the video is; begins before the video are its begin."""
    last_s = math.inf if video.end_s is None else video.end_s + _TOLERANCE_S
    within, early, late = [], 0, 0
    for cue in raw:
        if cue.start_s >= last_s:
            late += 1
        elif cue.start_s < video.start_s and (cue.end_s is None or cue.end_s <= video.start_s):
            early += 1
        else:
            if cue.start_s < video.start_s:
                cue.start_s = video.start_s
            within.append(cue)
    notes = []
    if early:
        notes.append(f"{_cues(early)} before the beginning of the video left out")
    if late:
        notes.append(f"{_cues(late)} after the end of the video left out")
    return within, notes


def _ends(cues: Sequence[RawCue]) -> int:
    """Give each cue an end after its start; how many ended before it."""
    backwards = 0
    next_start_s = math.inf
    for cue in reversed(cues):
        if cue.end_s is None or cue.end_s <= cue.start_s:
            backwards += cue.end_s is not None and cue.end_s < cue.start_s
            shown_s = max(_SHORTEST_S, len(cue.text) / _READ_HZ)
            cue.end_s = cue.start_s + shown_s
            if next_start_s > cue.start_s:
                cue.end_s = min(cue.end_s, next_start_s)
        next_start_s = cue.start_s
    return backwards


def _end_s(cue: RawCue) -> float:
    assert cue.end_s is not None
    return cue.end_s


def _lines(cue: RawCue) -> list[str]:
    return [line for line in map(one_line, cue.text.split("\n")) if line]


def _rolls(cues: Sequence[RawCue]) -> bool:
    followed = repeated = going_on = 0
    before: RawCue | None = None
    for cue in cues:
        if before is not None and cue.start_s <= _end_s(before) + _AT_ONCE_S:
            followed += 1
            # Cheap for the many files that do not roll.
            last, first = before.text.rstrip().rpartition("\n")[2], cue.text.lstrip()
            if first.startswith(last.strip()):
                ahead = _ahead(_lines(before), _lines(cue))
                repeated += ahead > 0
                going_on += 0 < ahead < len("".join(_lines(cue)).replace(" ", ""))
        before = cue
    return going_on >= _ROLLING_COUNT and repeated >= _ROLLING_SHARE * followed


def _ahead(shown: Sequence[str], lines: Sequence[str]) -> int:
    """How many characters, without blanks, at the beginning of `lines` are what `shown` ends with:
    whole lines, the last of which may have grown."""
    for count in range(min(len(shown), len(lines)), 0, -1):
        tail, head = shown[-count:], lines[:count]
        grown = head[-1] == tail[-1] or head[-1].startswith(f"{tail[-1]} ")
        if tail[:-1] == head[:-1] and grown:
            return len("".join(tail).replace(" ", ""))
    return 0


def _unrolled(cues: Iterable[RawCue]) -> list[RawCue]:
    """Each line once, when it appears."""
    kept: list[RawCue] = []
    shown: list[str] = []
    shown_until_s = -math.inf
    for cue in cues:
        lines = _lines(cue)
        ahead = _ahead(shown, lines) if cue.start_s <= shown_until_s + _AT_ONCE_S else 0
        shown, shown_until_s = lines, _end_s(cue)
        text = _without(cue.text, ahead)
        if text:
            marks = [(offset - ahead, time_s) for offset, time_s in cue.marks if offset >= ahead]
            kept.append(RawCue(cue.start_s, cue.end_s, text, marks))
    return kept


def _without(text: str, count: int) -> str:
    """The text after so many characters that are no white space."""
    position = 0
    while count:
        count -= not text[position].isspace()
        position += 1
    return text[position:].strip()


def _unanimated(cues: Iterable[RawCue]) -> list[RawCue]:
    """One cue for events that show one text at once or, as pictures of an animation, in turn."""
    kept: list[RawCue] = []
    latest: dict[str, RawCue] = {}
    for cue in cues:
        before = latest.get(cue.text)
        if before is not None:
            start_s, end_s = before.start_s, _end_s(before)
            is_layer = cue.start_s == start_s and _end_s(cue) == end_s
            shortest_s = min(_end_s(cue) - cue.start_s, end_s - start_s)
            touches = cue.start_s <= end_s + _TOUCHING_S
            if is_layer or (touches and shortest_s < _FLASH_S):
                before.end_s = max(end_s, _end_s(cue))
                continue
        latest[cue.text] = cue
        kept.append(cue)
    return kept


def _cut(cue: RawCue, end_s: float) -> RawCue:
    if _end_s(cue) > end_s + _TOLERANCE_S:
        cue.end_s = max(cue.start_s + _SHORTEST_S, end_s)
    return cue


def _cue(cue: RawCue) -> Cue:
    text, end_s = one_line(cue.text), _end_s(cue)
    words = timed_words(text, cue.marks, cue.start_s, end_s) if cue.marks else ()
    return Cue(cue.start_s, end_s, text, words)
