"""What a server sends as the answer to a chat completion, in every form that servers give it.

Most send server-sent events, each with a piece of the answer. Others send all at once as JSON,
although pieces were asked for, or report an error inside an answer that began well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from seal.answer.complaints import Complaint, reason

_DONE = "[DONE]"
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_TEXTS = ("text", "output_text", None)
"""The types of the parts that are answers."""
# By a part of the reason, in lower case. Every other reason is that of a whole answer.
_CUT = {
    "length": "the answer reached its longest length",
    "max_tokens": "the answer reached its longest length",
    "filter": "a filter for content stopped it",
    "safety": "a filter for content stopped it",
    "recitation": "a filter for content stopped it",
    "blocklist": "a filter for content stopped it",
    "prohibited": "a filter for content stopped it",
    "refus": "the model refused",
    "error": "the server failed",
    "abort": "the server gave up",
    "cancel": "the server gave up",
    "resource": "the server ran out of resources",
}


class ServerError(Exception):
    """An error that came in place of an answer, or in the middle of it."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.said)
        self.complaint = complaint


@dataclass
class Received:
    """What came besides the text of an answer."""

    answered: bool = False
    """Whether anything came that is part of a chat completion."""
    done: bool = False
    """Whether the server said that nothing more will come."""
    finish: str = ""
    """Why the model stopped, in the words of the server."""
    refusal: str = ""
    """Why the model does not answer, in its own words."""
    tools: list[str] = field(default_factory=list)
    """The names of functions that the model calls in place of an answer."""
    other: str = ""
    """The beginning of what came and is no answer in any known form."""
    thought: bool = False
    """Whether thoughts came in a field of their own."""

    @property
    def at_length(self) -> bool:
        """Whether the answer ended because it reached its longest length."""
        return any(part in self.finish.lower() for part in ("length", "max_tokens"))

    @property
    def cut(self) -> str:
        """Why the text ends before it is whole; "" where it is whole."""
        if self.refusal:
            return f"the model refused: {self.refusal}"
        if not self.finish:
            return "" if self.done else "it ended without a word that it is whole"
        for part, meaning in _CUT.items():
            if part in self.finish.lower():
                return f"{meaning} (finish reason: {self.finish})"
        return ""

    @property
    def why_empty(self) -> str:
        """Why there is no text."""
        finish = f"finish reason: {self.finish or 'none'}"
        if self.tools:
            called = ", ".join(filter(None, self.tools)) or "without a name"
            return f"the model calls a function ({called}), and SEAL offers none ({finish})"
        if self.cut:
            return self.cut if finish in self.cut else f"{self.cut} ({finish})"
        return finish


class Reading:
    """The pieces of an answer; afterwards, `received` holds what came besides.

    Iterating raises ServerError for an error of the server, and ValueError for what is no JSON.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.received = Received()
        self._chunks = chunks

    def __iter__(self) -> Iterator[str]:
        wrote = False
        for value in _values(self._chunks, self.received):
            for piece in _pieces(value, self.received, wrote):
                wrote = True
                yield piece


def _pieces(value: Any, received: Received, wrote: bool) -> Iterator[str]:
    """The text in one event."""
    if not isinstance(value, dict):
        return
    choices = value.get("choices")
    if value.get("error") or value.get("object") == "error" or (choices is None and reason(value)):
        raise ServerError(Complaint.of(None, json.dumps(value)))
    if not isinstance(choices, list):
        return
    received.answered = True
    # Others are alternatives, which nobody asked for.
    for choice in choices:
        if not isinstance(choice, dict) or choice.get("index") not in (0, None):
            continue
        if choice.get("error"):
            raise ServerError(Complaint.of(None, json.dumps(choice["error"])))
        finish = choice.get("finish_reason")
        received.finish = str(finish) if finish else received.finish
        said = choice.get("delta")
        if not isinstance(said, dict):
            # A whole message after its pieces would say all of it twice.
            said = None if wrote else choice.get("message")
        if isinstance(said, dict):
            yield from filter(None, [_text(said.get("content"), received)])
            _besides(said, received)
        elif isinstance(choice.get("text"), str):
            yield from filter(None, [choice["text"]])


def _besides(said: dict[str, Any], received: Received) -> None:
    received.thought |= any(said.get(key) for key in _THOUGHTS)
    received.refusal += _text(said.get("refusal"), received)
    calls = [*(said.get("tool_calls") or []), *filter(None, [said.get("function_call")])]
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else {}
        # Later pieces of a call have its arguments alone.
        if not received.tools or function.get("name"):
            received.tools.append(str(function.get("name") or ""))


def _text(content: Any, received: Received) -> str:
    """The answer in the content of a message: a text, or parts of several types."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text(part, received) for part in content)
    if not isinstance(content, dict):
        raise ValueError(f"the content of a message is a {type(content).__name__}")
    kind = content.get("type")
    if kind in _TEXTS:
        return _text(content.get("text"), received)
    if kind == "refusal":
        received.refusal += _text(content.get("refusal"), received)
    received.thought |= "think" in str(kind) or "reason" in str(kind)
    return ""


def _values(chunks: Iterable[bytes], received: Received) -> Iterator[Any]:
    """The JSON of each event, or of each value where there are no events."""
    lines = _lines(chunks)
    first = next((line for line in lines if line.strip("\ufeff \t")), "").lstrip("\ufeff")
    if first.lstrip()[:1] in ("{", "["):
        received.done = True
        yield from _json("\n".join([first, *lines]))
        return
    event, data = "", ""
    for line in _chain(first, lines):
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield json.loads(data)
            event, data = "", ""
        elif name == "event":
            event = value
        elif colon and (name == "error" or (name == "data" and event == "error")):
            # llama.cpp once had a field "error"; others name the event so.
            raise ServerError(Complaint.of(None, value))
        elif name == "data":
            if value.strip() == _DONE:
                received.done = True
                return
            # Some servers leave out the empty line between two events.
            data = f"{data}\n{value}" if data else value
            if (parsed := _whole(data)) is not None:
                yield parsed
                data = ""
        elif name and not received.other:
            received.other = line.strip()
    if data:
        yield json.loads(data)


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _whole(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _json(text: str) -> Iterator[Any]:
    """The values in a text, one after the other; those of a list where it holds one."""
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield from value if isinstance(value, list) else [value]
        text = text[end:].lstrip()


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines as server-sent events have them: a text may hold the line ends of other standards."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
    if rest:
        yield rest.removesuffix(b"\r").decode("utf-8", "replace")
