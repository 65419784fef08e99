"""Subtitle text to plain text: tags, entities and marks of position removed, word times read.

A time inside a cue (a WebVTT time, a karaoke syllable) is kept as a mark: how many characters that
are no white space come before it, and the seconds. So a mark stays right whatever becomes of line
ends and blanks.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from seal.words.cue import Word

Dialect = Literal["srt", "ass"]
Mark = tuple[int, float]

VOICE: Final = "\x1e"
"""Another speaker begins behind it. It counts as white space."""

# Tags of SubRip and WebVTT. Others stay: "<sigh>" is how some write what is heard.
_NAMES = "i|b|u|s|em|strong|strike|font|span|p|br|c|v|lang|ruby|rt|rp|rb|tt|small|big|center|div"
_TAG = rf"<\s*(?P<close>/?)\s*(?P<name>{_NAMES})(?P<rest>[\s.=/][^<>]*)?>|</>"
_TIME_TAG = r"<(?P<time>(?:\d{1,5}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})>"
_SRT = re.compile(
    # ASS overrides are found in SubRip files as well, and the marks of MicroDVD.
    rf"{_TAG}|{_TIME_TAG}|\{{(?P<override>\\[^{{}}]*)\}}"
    r"|\{[cCfFsSyYpPoOhH]:[^{}]*\}|(?P<line>(?<!:)(?-i:\\N))|(?P<blank>(?<!:)(?-i:\\h))",
    re.IGNORECASE,
)
_ASS = re.compile(
    # FFmpeg puts a word joiner after a backslash that is one.
    r"\\(?P<literal>[{}]|\u2060)|\{(?P<override>[^}]*)\}|(?P<line>\\N)|(?P<blank>\\[nh])"
)
_KARAOKE = re.compile(
    r"\\(?:kt(?P<at>\d{1,9})|[kK][fo]?(?P<lasting>\d{1,9})|p(?P<draw>\d{1,2})(?![\d.(]))"
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
# Control characters, marks of reading direction and byte order marks are no text.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_MARKED = frozenset("<{&\\")
_STYLE = re.compile(r"</?[biuBIU]>")
_USUAL_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)[,.](\d\d\d)")


def plain(text: str, dialect: Dialect, start_s: float = 0.0) -> tuple[str, list[Mark]]:
    """The text of a cue that starts at `start_s`, with its line ends, and the marks in it.

    Where WebVTT says who speaks, the text has `VOICE` and the name.
    """
    marks: list[Mark] = []
    if dialect == "srt" and "<" in text:
        # Most tags are these, and they are quick.
        text = _STYLE.sub("", text)
    if _MARKED.isdisjoint(text):
        return _visible(text), marks
    pattern = _ASS if dialect == "ass" else _SRT
    out: list[str] = []
    count = position = 0
    syllable_s, drawing, hidden = start_s, False, False

    def add(piece: str) -> None:
        nonlocal count
        if drawing or hidden or not piece:
            return
        if dialect == "srt" and "&" in piece:
            piece = _ENTITY.sub(lambda found: html.unescape(found[0]), piece)
        piece = _visible(piece)
        count += solid(piece)
        out.append(piece)

    for found in pattern.finditer(text):
        add(text[position : found.start()])
        position = found.end()
        groups = found.groupdict()
        if groups["line"]:
            add("\n")
        elif groups["blank"]:
            add(" ")
        elif groups.get("literal"):
            add("\\" if groups["literal"] == "\u2060" else groups["literal"])
        elif (override := groups["override"]) is not None:
            for tag in _KARAOKE.finditer(override):
                if tag["draw"]:
                    drawing = int(tag["draw"]) > 0
                elif tag["at"]:
                    syllable_s = start_s + int(tag["at"]) / 100
                else:
                    marks.append((count, syllable_s))
                    syllable_s += int(tag["lasting"]) / 100
        elif groups.get("time"):
            marks.append((count, seconds(groups["time"])))
        elif name := (groups.get("name") or "").lower():
            if name in ("rt", "rp"):
                # How a character is pronounced: the same word once more.
                hidden = not groups["close"]
            elif name == "v" and not groups["close"]:
                voice = (groups["rest"] or "").partition(" ")[2].strip()
                out.append(VOICE)
                add(f"{voice}: " if voice else "")
            elif name in ("br", "p", "div"):
                add("\n")
    add(text[position:])
    if syllable_s > start_s:
        marks.append((count, syllable_s))
    return "".join(out), marks


def _visible(text: str) -> str:
    is_clean = text.replace("\n", "").isprintable()
    return text if is_clean else _INVISIBLE.sub("", text)


def seconds(time: str) -> float:
    """Seconds of a time such as 1:02:03.5, 02:03,500 or -0:01."""
    usual = _USUAL_TIME.fullmatch(time)
    if usual is not None:
        hours, minutes, whole, ms = map(int, usual.groups())
        return hours * 3600 + minutes * 60 + whole + ms / 1000
    sign = -1.0 if time.startswith("-") else 1.0
    total = 0
    clock, _, fraction = time.lstrip("-").replace(",", ".").partition(".")
    for part in clock.split(":"):
        total = total * 60 + int(part)
    return sign * (total + (int(fraction) / 10 ** len(fraction) if fraction else 0.0))


def one_line(text: str) -> str:
    """The text with each stretch of white space as one blank."""
    return " ".join(text.split())


def timed_words(text: str, marks: Iterable[Mark], start_s: float, end_s: float) -> tuple[Word, ...]:
    """The words of `text` with their times; none without marks.

    Where several words stand between two marks, they share the time by their lengths.
    """
    offsets, times_s = [0], [start_s]
    for offset, time_s in marks:
        time_s = min(max(time_s, times_s[-1]), end_s)
        if offset > offsets[-1]:
            offsets.append(offset)
            times_s.append(time_s)
        else:
            times_s[-1] = time_s
    if len(offsets) == 1 and times_s[0] == start_s:
        return ()
    words, offset, total = [], 0, solid(text)
    if offsets[-1] < total:
        offsets.append(total)
        times_s.append(end_s)
    for word in text.split():
        begin_s = interpolated(offsets, times_s, offset)
        offset += len(word)
        words.append(Word(begin_s, interpolated(offsets, times_s, offset), word))
    return tuple(words)


def interpolated(offsets: Sequence[int], times_s: Sequence[float], offset: int) -> float:
    """The time at `offset` on the line through ascending `offsets` and their `times_s`."""
    after = bisect_right(offsets, offset)
    if after == 0:
        return times_s[0]
    if after == len(offsets):
        return times_s[-1]
    before = after - 1
    share = (offset - offsets[before]) / (offsets[after] - offsets[before])
    return times_s[before] + share * (times_s[after] - times_s[before])


def solid(text: str) -> int:
    """How many characters are no white space."""
    return sum(map(len, text.split()))
