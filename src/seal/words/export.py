"""Cues as a file: SubRip, WebVTT, plain text, JSON.

SubRip and WebVTT are written here and not by `pysubs2`, which takes `{...}` and `\\N` in a text for
markup, cuts times at 100 hours and has no times of words.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from seal.errors import OptionError
from seal.words.cue import Cue

# What would be read as a tag, as an entity or as the times of a cue.
_TAG_LIKE = re.compile(r"<(?=[/\s]*[A-Za-z\d])|&(?=#?\w+;)|-->")
# What would be read as a mark of ASS or of MicroDVD, which other programs put into such files.
_MARK_LIKE = re.compile(r"\\(?=[Nh])|(?<=\{)\\|\{(?=[cCfFsSyYpPoOhH]:)")


def render(cues: Sequence[Cue], form: str) -> str:
    """A file of the format `form`, one of `FORMATS`, with the cues in their order.

    Times are rounded to milliseconds; SubRip and plain text have no times of words. Raises
    OptionError for another format.
    """
    if form not in FORMATS:
        raise OptionError(f"no format {form!r}; expected one of {', '.join(FORMATS)}")
    return FORMATS[form](cues)


def write(cues: Sequence[Cue], path: str | Path) -> None:
    """Write the cues in the format that the suffix of `path` names.

    Raises OptionError for another suffix, and OSError.
    """
    path = Path(path)
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        expected = ", ".join(f".{name}" for name in FORMATS)
        raise OptionError(f"{path}: no format for {path.suffix!r}; expected {expected}")
    text = render(cues, form).encode("utf-8", "replace")
    path.write_bytes(text)


def _srt(cues: Iterable[Cue]) -> str:
    return "".join(
        f"{number}\n{_times(cue, ',')}\n{_marked(_TAG_LIKE.sub(_escaped, cue.text))}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def _escaped(found: re.Match[str]) -> str:
    return html.escape(found[0], quote=False)


def _marked(text: str) -> str:
    return _MARK_LIKE.sub(lambda found: f"&#{ord(found[0])};", text)


def _vtt(cues: Iterable[Cue]) -> str:
    blocks = [f"{_times(cue, '.')}\n{_vtt_text(cue)}\n\n" for cue in cues]
    return "WEBVTT\n\n" + "".join(blocks)


def _vtt_text(cue: Cue) -> str:
    """The text, with the start of each word that begins after the one before it."""
    if not cue.words:
        return _marked(html.escape(cue.text, quote=False))
    words, latest_ms = [], _ms(cue.start_s)
    for word in cue.words:
        at_ms = _ms(word.start_s)
        mark = f"<{_clock(at_ms, '.')}>" if latest_ms < at_ms < _ms(cue.end_s) else ""
        latest_ms = max(at_ms, latest_ms)
        words.append(mark + _marked(html.escape(word.text, quote=False)))
    return " ".join(words)


def _txt(cues: Iterable[Cue]) -> str:
    return "".join(f"{cue.text}\n" for cue in cues)


def _json(cues: Iterable[Cue]) -> str:
    return json.dumps([_values(cue) for cue in cues], ensure_ascii=False, indent=1) + "\n"


def _values(cue: Cue) -> dict[str, Any]:
    values: dict[str, Any] = {
        "start_s": round(cue.start_s, 3),
        "end_s": round(cue.end_s, 3),
        "text": cue.text,
    }
    if cue.words:
        values["words"] = [
            {"start_s": round(word.start_s, 3), "end_s": round(word.end_s, 3), "text": word.text}
            for word in cue.words
        ]
    return values


def _times(cue: Cue, point: str) -> str:
    return f"{_clock(_ms(cue.start_s), point)} --> {_clock(_ms(cue.end_s), point)}"


def _ms(time_s: float) -> int:
    """Neither format can say a time before 0."""
    return max(0, round(time_s * 1000))


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{ms:03d}"


FORMATS: Final[dict[str, Callable[[Sequence[Cue]], str]]] = {
    "srt": _srt,
    "vtt": _vtt,
    "txt": _txt,
    "json": _json,
}
"""By the suffix of a file."""
