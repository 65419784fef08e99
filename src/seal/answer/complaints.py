"""What a server says when it does not answer: its reason, and what kind of reason that is.

Servers agree neither on the form of an error nor on its words. Patterns here describe what is
complained of, in the words of OpenAI, Azure, Anthropic, Gemini, Mistral, Groq, DeepSeek, Together,
OpenRouter and DashScope. Or they are the words of vLLM, SGLang, TGI, LMDeploy, TensorRT-LLM,
llama.cpp, LM Studio and Ollama.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_SHOWN = 300
"""Characters of a reason that are shown."""
_SHORTEST = 16
"""Tokens: smaller numbers in a reason are no length of an answer."""
# Where the reason stands, in the order in which it is told.
_KEYS = ("error", "errors", "message", "detail", "details", "msg", "error_message", "raw")
_DEEPER = ("metadata",)
_NEVER_LONG = (401, 402, 403, 404, 408)
"""Statuses that have nothing to do with how long a prompt is."""

_ASKED = r"(?:prompts?|inputs?|requests?|messages?|contents?|payload|body|entity|conversation)"
_OVER = r"(?:too (?:long|large|big)|exceed|(?:longer|greater|larger|more) than)"
_TOO_LONG = re.compile(
    r"context.{0,3}(?:length|size|window|limit)|max\w*[ _](?:model|input|prompt|session|sequence)"
    r"[ _]?len|session_len|fit into the model|model token limit|token count exceed"
    rf"|\b{_ASKED}\b[^.\n]{{0,80}}{_OVER}|{_OVER}[^.\n]{{0,60}}\btokens?\b"
    r"|too many (?:\w+ )?tokens|\btokens?\b[^.\n]{0,60}(?:exceed|must be <=|too large|too long)"
    r"|must have less than \d+ tokens|range of input length|reduce (?:the|your) (?:length|message"
    r"|input|prompt|number of)|shorter (?:input|prompt)|decrease input|too much media"
    # "Too long" and "exceeds the limit" in Chinese.
    r"|超长|长度[^。\n]{0,12}超|超[过出][^。\n]{0,12}(?:长度|上限|限制)",
    re.IGNORECASE,
)
_PICTURES = r"(?:image|picture|photo|media)(?:\(s\)|s)?\b"
_COUNT = r"(\d+|one|a single)"
_TOO_MANY = re.compile(
    rf"too many {_PICTURES}|multiple {_PICTURES}|number of {_PICTURES}|{_PICTURES} count"
    rf"|(?:at most|up to|fewer than|no more than|maximum(?: of)?|only|limit(?:ed)?(?: of| to)?"
    rf"|supports?) {_COUNT} (?:\w+ )?{_PICTURES}|\b\d+ {_PICTURES}[^.\n]{{0,20}}(?:limit|max|> \d)",
    re.IGNORECASE,
)
_MOST = re.compile(
    r"(at most|up to|fewer than|no more than|max(?:imum)?(?: allowed)?(?: of| is|:)?|only"
    rf"|supports?|limit(?:ed)?(?: of| to| is|:)?|exceeds|>) {_COUNT}\b"
    r"(?! ?(?:tokens|%|[km]?b\b|bytes))",
    re.IGNORECASE,
)
_TOO_BIG = re.compile(
    r"image[^.\n]{0,80}(?:dimensions?|resolution|pixels|[km]i?b\b|bytes)[^.\n]{0,60}(?:exceed|large"
    r"|big|limit|max)|image[^.\n]{0,80}(?:exceed|too (?:large|big)|larger than|max)[^.\n]{0,60}"
    r"(?:dimensions?|resolution|pixels|px\b|[km]i?b\b|bytes)"
    r"|(?:exceed|limit)[^.\n]{0,40}data-uri item|encoder cache size",
    re.IGNORECASE,
)
_PIXELS = re.compile(r"(\d{3,5})\s*(?:px|pixels?\b|[x×]\s*\d{3,5})|pixels?\D{1,3}(\d{3,5})\b", re.I)
_NO_PICTURES = re.compile(
    rf"at most 0 {_PICTURES}|not a multimodal|(?:not|n't) support (?!multiple)(?:\w+ )?{_PICTURES}"
    rf"|{_PICTURES}(?: inputs?| content)? (?:is|are) (?:not |un)support",
    re.IGNORECASE,
)
_NO_SYSTEM = re.compile(
    r"\bsystem\b[^.\n]{0,60}(?:not|n't|un|in)[- ]?(?:support|valid|allow|expect|permit|enabl)"
    r"|(?:un(?:expected|supported|known|recognized)|invalid|(?:not|n't) (?:support|allow)\w*)"
    r"[^.\n]{0,40}\bsystem\b|roles must alternate|only user and assistant|developer instruction",
    re.IGNORECASE,
)
_UNKNOWN = (
    r"(?:(?:not|n't|un)[- ]?(?:support|know|recogni|expect|permit|allow|accept|avail|valid)\w*"
    r"|invalid|extra (?:inputs|fields)|deprecated|verified to|disabled|instead)"
)
_RANGE = (
    r"(?:only the default|must be|should be|positive|range|too (?:large|high|low)|than|maximum)"
)
_ANSWER = r"\bmax_(?:completion_|new_|output_)?tokens\b|\bin the completion\b|completion tokens"
_ANSWER_TOO_LONG = re.compile(
    rf"(?:{_ANSWER})[^\n]{{0,120}}(?:{_RANGE}|at most|exceed|cannot|[<>]|reduce)", re.IGNORECASE
)


class Complaint(NamedTuple):
    """Why a server does not answer."""

    status: int | None
    """Of HTTP; None where the error came in place of an answer."""
    said: str
    """The server's reason, on one line."""
    hints: str = ""
    """Names and codes that the server gives besides."""

    @staticmethod
    def of(status: int | None, body: str) -> Complaint:
        """What the body of a reply, or of an event, complains of."""
        value = _parsed(body)
        said = " ".join(reason(value).split())
        code = status or next((n for n in _codes(value) if 400 <= n < 600), None)
        return Complaint(code, said[:_SHOWN] or "no reason is given", _hints(value))

    @property
    def too_many_pictures(self) -> bool:
        """Whether the server says that it takes fewer pictures than it was sent."""
        return self._may_be_long and bool(_TOO_MANY.search(self.said)) and not self.no_pictures

    @property
    def too_long(self) -> bool:
        """Whether the model could answer a shorter prompt, or one with fewer pictures."""
        if self.status == 413 or self.too_many_pictures:
            return True
        # A rate limit counts tokens as well, but of a minute.
        busy = self.status == 429 and not re.search("too large|reduce", self.said, re.IGNORECASE)
        return self._may_be_long and not busy and bool(_TOO_LONG.search(self.said))

    @property
    def most_pictures(self) -> int | None:
        """How many pictures the model takes, where the reason says so."""
        if not self.too_many_pictures:
            return None
        for words, count in _MOST.findall(self.said):
            number = int(count) if count.isdigit() else 1
            return number - 1 if words.lower() == "fewer than" else number
        return None

    @property
    def no_pictures(self) -> bool:
        """Whether the model takes no pictures at all."""
        return bool(_NO_PICTURES.search(self.said))

    @property
    def too_big(self) -> bool:
        """Whether single pictures are too large for the model."""
        return self._may_be_long and self.status != 413 and bool(_TOO_BIG.search(self.said))

    @property
    def most_px(self) -> int | None:
        """The longest side of a picture that the model takes, where the reason says so."""
        found = [int(a or b) for a, b in _PIXELS.findall(self.said)]
        return min(found, default=None)

    @property
    def no_system(self) -> bool:
        """Whether the model takes no instructions beside the turns of the dialogue."""
        return bool(_NO_SYSTEM.search(self.said))

    def unknown(self, name: str) -> bool:
        """Whether the server takes no parameter of this name (a pattern)."""
        return self._near(name, _UNKNOWN)

    def refuses(self, name: str) -> bool:
        """Whether the server does not take the parameter of this name, or not its value."""
        return self._near(name, f"{_UNKNOWN}|{_RANGE}")

    def longest_answer(self, asked: int) -> int | None:
        """How many tokens an answer may have, where the `asked` ones are too many."""
        if not self._may_be_long or not _ANSWER_TOO_LONG.search(self.said):
            return None
        found = re.findall(r"(?<![\w.-])\d[\d,_]*(?![\w-])", self.said)
        numbers = [int(re.sub("[,_]", "", number)) for number in found]
        return max((n for n in numbers if _SHORTEST <= n < asked), default=None)

    def _near(self, name: str, words: str) -> bool:
        near = rf"\b{name}\b[^{{}}\n]{{0,80}}(?:{words})|(?:{words})[^{{}}\n]{{0,60}}\b{name}\b"
        if re.search(near, self.said, re.IGNORECASE):
            return True
        return self._may_be_long and bool(re.search(rf"\b{name}\b", self.hints))

    @property
    def _may_be_long(self) -> bool:
        return self.status not in _NEVER_LONG


def reason(value: Any) -> str:
    """The reason in an error, whatever its form; "" if there is none."""
    if isinstance(value, str):
        inner = _parsed(value)
        return value if isinstance(inner, str) else reason(inner) or value
    if isinstance(value, list):
        return "; ".join(dict.fromkeys(filter(None, map(reason, value))))
    if not isinstance(value, dict):
        return ""
    told = [reason(value[key]) for key in (*_KEYS, *_DEEPER) if value.get(key)]
    text = ": ".join(dict.fromkeys(filter(None, told)))
    place = value.get("loc")
    if text and isinstance(place, list):
        return f"{'.'.join(map(str, place))}: {text}"
    return text


def _hints(value: Any) -> str:
    """The parameters that an error names in a field of their own, at any depth."""
    return " ".join(str(name) for name in _fields(value, "param") if name)


def _codes(value: Any) -> list[int]:
    return [code for code in _fields(value, "code") if isinstance(code, int)]


def _fields(value: Any, name: str) -> list[Any]:
    """The values of all fields of a name, at any depth."""
    if isinstance(value, list):
        return [found for part in value for found in _fields(part, name)]
    if not isinstance(value, dict):
        return []
    own = [value[name]] if name in value else []
    return [*own, *(found for part in value.values() for found in _fields(part, name))]


def _parsed(text: str) -> Any:
    """What a text holds as JSON; the text itself if it holds none, without the tags of HTML."""
    text = text.lstrip("\ufeff").strip()
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    if re.match(r"<(?:!doctype|html|head|\?xml)", text, re.IGNORECASE):
        text = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.I | re.S)
    return text
