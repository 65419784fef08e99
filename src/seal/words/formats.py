"""Subtitle files to raw cues: SubRip, WebVTT, SubViewer, ASS, SAMI; the others by `pysubs2`.

The first five are read here because `pysubs2` loses what SEAL needs. It loses the times inside
WebVTT cues and the voices, numbers that end a cue, and times of 100 hours. It also loses a whole
ASS file for one bad line, and the ends and the languages of SAMI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seal.words.charset import UnreadableSubtitlesError
from seal.words.markup import VOICE, Dialect, Mark, plain, seconds, solid

if TYPE_CHECKING:
    import pysubs2

# hh:mm:ss,mmm with all that is found in its place: no hours, points, one digit, a sign.
_TIME = r"-?\s*(?:\d{1,4}\s*:\s*)?\d{1,3}\s*:\s*\d{1,2}(?:\s*[.,]\s*\d{1,9}|:\d{3}(?!\d))?"
_TIMES = re.compile(
    rf"[\s\ufeff]*(?P<start>{_TIME})\s*(?:-{{2,3}}\s*>|(?P<odd>->|[\u2013\u2014]>?|\u2192|=>))"
    rf"\s*(?P<end>{_TIME})(?P<rest>.*)"
)
# SubViewer, and what YouTube gave out as SBV.
_COMMA_TIMES = re.compile(
    r"\s*(?P<start>\d{1,5}:\d\d:\d\d\.\d{1,9}),(?P<end>\d{1,5}:\d\d:\d\d\.\d{1,9})(?P<rest>\s*)"
)
# What WebVTT and SubRip put behind the times: align:start position:0%, X1:10 X2:20.
_SETTINGS = re.compile(r"(?:\s+[\w-]+:[^\s]+)*\s*")
_NUMBER = re.compile(r"\s*(\d{1,9})\s*")
_WEBVTT_BLOCK = re.compile(r"(?<=\n\n)(?:NOTE|STYLE|REGION)\b.*?(?=\n\n|\Z)", re.DOTALL)
_ASS_TIME = re.compile(r"\s*(-?)\s*(\d{1,5}):(\d{1,2}):(\d{1,2})(?:[.:,](\d{1,3}))?\s*")
_ASS_FIELDS = [
    *("layer", "start", "end", "style", "name"),
    *("marginl", "marginr", "marginv", "effect", "text"),
]
_SYNC = re.compile(r"<sync\s+start\s*=\s*[\"']?(-?\d{1,12})[^>]*>", re.IGNORECASE)
_PARAGRAPH = re.compile(r"<p\b([^>]*)>(.*?)(?=<p\b|\Z)", re.IGNORECASE | re.DOTALL)
_CLASS = re.compile(r"class\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_BREAK, _ANY_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE), re.compile(r"</?[A-Za-z][^<>]*>")
_BY_PYSUBS2 = (
    ("ttml", re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?tt[\s>]", re.DOTALL)),
    ("microdvd", re.compile(r"\s*\{\d+\}\{\d*\}")),
    ("mpl2", re.compile(r"\s*\[-?\d+\]\[-?\d*\]")),
    ("tmp", re.compile(r"\s*\d{1,2}:\d{2}:\d{2}[:=]\S")),
)


@dataclass(slots=True)
class RawCue:
    """A cue as its file has it; nothing is checked."""

    start_s: float
    end_s: float | None
    """None where the source does not say."""
    text: str
    """Plain text with its line ends."""
    marks: list[Mark]
    """Times inside the cue: see `seal.words.markup`."""


def raw_cues(start_s: float, end_s: float | None, text: str, dialect: Dialect) -> list[RawCue]:
    """The cue of a marked-up text; where several voices share it, one for each."""
    shown, marks = plain(text.strip(), dialect, start_s)
    if VOICE not in shown:
        return [RawCue(start_s, end_s, shown, marks)]
    cues, count = [], 0
    for part in shown.split(VOICE):
        length = solid(part)
        own = [(at - count, time_s) for at, time_s in marks if count <= at <= count + length]
        if length:
            cues.append(RawCue(start_s, end_s, part, own))
        count += length
    return cues


def parse(text: str, rate_hz: float | None = None) -> tuple[list[RawCue], int]:
    """The cues of a subtitle file, and how many lines of its format could not be read.

    `rate_hz` is for formats whose times are pictures. Raises UnreadableSubtitlesError.
    """
    text = re.sub(r"\r+\n|\r", "\n", text)
    head = text.lstrip()[:400]
    if re.search(r"^\s*\[(?:Script Info|V4\+? Styles|Events)\]", text[:4000], re.I | re.M):
        return _ass(text)
    if head.startswith("WEBVTT"):
        return list(_timed(_WEBVTT_BLOCK.sub("", text), is_webvtt=True)), 0
    if head.upper().startswith(("#EXTM3U", "[PLAYLIST]")):
        raise UnreadableSubtitlesError("a playlist, not subtitles")
    if head[:5].upper() == "<SAMI":
        return _sami(text), 0
    for name, pattern in _BY_PYSUBS2:
        if pattern.match(text):
            return _by_pysubs2(text, name, rate_hz), 0
    found = list(_timed(text, is_webvtt=False))
    if not found:
        empty = not text.strip()
        raise UnreadableSubtitlesError("the file is empty" if empty else "no subtitles in it")
    return found, 0


def _timed(text: str, is_webvtt: bool) -> Iterator[RawCue]:
    """The cues of SubRip, WebVTT and SubViewer: two times, and the lines up to the next two."""
    heading: re.Match[str] | None = None
    body: list[str] = []
    number: int | None = None
    count = 0
    for line in text.split("\n"):
        found = _heading(line)
        if found is None:
            body.append(line)
            continue
        expected = (count + 1, count + 1 if number is None else number + 1)
        following = _number(body, heading is not None, expected)
        if heading is not None:
            yield from _cues(heading, body, is_webvtt)
        count += 1
        number = following
        heading, body = found, []
    if heading is not None:
        yield from _cues(heading, body, is_webvtt)


def _heading(line: str) -> re.Match[str] | None:
    """The two times of a line that begins a cue."""
    # Most lines have no times.
    if ":" not in line:
        return None
    found = _TIMES.match(line)
    if found is None:
        return _COMMA_TIMES.fullmatch(line)
    # "12:30 -> 13:00 lunch" is text.
    return None if found["odd"] and found["rest"].strip() else found


def _number(body: list[str], has_cue: bool, expected: Sequence[int]) -> int | None:
    """The number of the cue that follows `body`, which is then no text and is taken out.

    Where blank lines do not tell it from text, it has to be `expected`.
    """
    last = len(body) - 1
    while last >= 0 and not body[last].strip():
        last -= 1
    found = _NUMBER.fullmatch(body[last]) if last >= 0 else None
    if found is None:
        return None
    number = int(found[1])
    counts = number in expected
    stands_apart = not body[last - 1].strip() if last else not has_cue
    is_next_to_times = last == len(body) - 1
    if not (counts or stands_apart if is_next_to_times else counts and stands_apart):
        return None
    del body[last:]
    return number


def _cues(heading: re.Match[str], body: list[str], is_webvtt: bool) -> list[RawCue]:
    rest = heading["rest"]
    if rest.strip() and _SETTINGS.fullmatch(rest) is None:
        body = [rest.strip(), *body]
    if is_webvtt:
        body = _until_blank(body)
    text = "\n".join(body).strip()
    if heading.re is _COMMA_TIMES:
        text = re.sub(r"\[br\]", "\n", text, flags=re.IGNORECASE)
    start_s = _seconds(heading["start"])
    return raw_cues(start_s, _seconds(heading["end"]), text, "srt")


def _until_blank(body: list[str]) -> list[str]:
    """The text of a WebVTT cue: a blank line ends it, unless nothing was there yet."""
    for index, line in enumerate(body):
        # The captions of YouTube have a line with one blank, which is none.
        if not line and any(each.strip() for each in body[:index]):
            return body[:index]
        if not line and index == 0:
            return []
    return body


def _seconds(time: str) -> float:
    time = "".join(time.split())
    # A colon before the milliseconds, where a comma belongs.
    if time.count(":") == 3:
        time = ".".join(time.rsplit(":", 1))
    return seconds(time)


def _ass(text: str) -> tuple[list[RawCue], int]:
    cues, bad, fields = [], 0, _ASS_FIELDS
    for line in text.split("\n"):
        key, _, rest = line.partition(":")
        key = key.strip().lower()
        if key == "format" and "text" in rest.lower():
            fields = [field.strip().lower() for field in rest.split(",")]
        elif key == "dialogue":
            values = dict(zip(fields, rest.split(",", len(fields) - 1), strict=False))
            start_s, end_s = (_ass_seconds(values.get(name, "")) for name in ("start", "end"))
            if start_s is None or "text" not in values:
                bad += 1
                continue
            cues += raw_cues(start_s, end_s, values["text"], "ass")
    if not cues and not bad:
        raise UnreadableSubtitlesError("no subtitles in it")
    return cues, bad


def _ass_seconds(time: str) -> float | None:
    found = _ASS_TIME.fullmatch(time)
    if found is None:
        return None
    sign, hours, minutes, whole, fraction = found.groups()
    return seconds(f"{sign}{hours}:{minutes}:{whole}.{fraction or 0}")


def _sami(text: str) -> list[RawCue]:
    """The cues of the first language of a SAMI file. Each is shown until the next of its own."""
    _, *parts = _SYNC.split(text)
    shown: dict[str, list[tuple[float, str]]] = {}
    for ms, body in zip(parts[::2], parts[1::2], strict=True):
        for attributes, told in _PARAGRAPH.findall(body) or [("", body)]:
            found = _CLASS.search(attributes)
            line, _ = plain(_ANY_TAG.sub("", _BREAK.sub("\n", told)), "srt")
            language = found[1].lower() if found else next(iter(shown), "")
            shown.setdefault(language, []).append((int(ms) / 1000, line.strip()))
    if not shown:
        raise UnreadableSubtitlesError("no subtitles in it")
    lines = next(iter(shown.values()))
    ends_s = [*(start_s for start_s, _ in lines[1:]), None]
    return [
        RawCue(start_s, end_s, line, [])
        for (start_s, line), end_s in zip(lines, ends_s, strict=True)
    ]


def _by_pysubs2(text: str, name: str, rate_hz: float | None) -> list[RawCue]:
    if "<!ENTITY" in text:
        raise UnreadableSubtitlesError("XML with entities of its own, which SEAL does not read")
    # Not at the top: few files need it, and each command would load it.
    import pysubs2

    try:
        subtitles = pysubs2.SSAFile.from_string(text, format_=name, fps=rate_hz)
    except pysubs2.exceptions.UnknownFPSError as error:
        raise UnreadableSubtitlesError(
            "its times are pictures, and neither the file nor the video states a rate"
        ) from error
    except Exception as error:  # Which errors pysubs2 raises for damage is stated nowhere.
        raise UnreadableSubtitlesError(f"damaged ({name}: {error})") from error
    if not subtitles.events:
        raise UnreadableSubtitlesError("no subtitles in it")
    return list(_events(subtitles.events))


def _events(events: Iterable[pysubs2.SSAEvent]) -> Iterator[RawCue]:
    for event in events:
        if not event.is_comment:
            yield from raw_cues(event.start / 1000, event.end / 1000, event.text, "ass")
