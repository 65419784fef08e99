"""Prompts: the evidence in order of time, each piece with its time, kind and picture.

The words stand in `templates/`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np
from PIL import Image

from seal.clock import clock, span_clock
from seal.config import NoAnswer
from seal.query import IndexedVideo
from seal.types import Box, Tokens

# Enough that an eye sees no difference; the stored frames have been compressed like this.
_JPEG_QUALITY = 88
_GAP_PX = 4
"""Between the frames of an action, so that their edges cannot be taken for the scene's."""


@dataclass(frozen=True)
class Picture:
    """What a prompt shows of a token."""

    jpeg: bytes
    token: str
    """The token's id."""
    size: tuple[int, int]
    """Width and height, in pixels."""

    def __str__(self) -> str:
        width, height = self.size
        return f"<picture of {self.token}, {width}x{height}>"

    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.jpeg)).convert("RGB")


@dataclass(frozen=True)
class Message:
    """What one side says: text and pictures as they follow each other."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]

    @property
    def pictures(self) -> list[Picture]:
        return [part for part in self.parts if isinstance(part, Picture)]


Prompt = Sequence[Message]


def describe(prompt: Prompt) -> str:
    """The prompt as a person reads it: all of its text, and what its pictures show."""
    said = ["".join(str(part) for part in message.parts) for message in prompt]
    return "\n\n".join(
        f"--- {message.role}\n{text.rstrip()}" for message, text in zip(prompt, said, strict=True)
    )


def system(video: IndexedVideo) -> Message:
    """What the model is told first."""
    duration = clock(video.record.duration_s, tenths=False)
    return Message("system", (_template("system").format(duration=duration),))


def evidence(video: IndexedVideo, tokens: Tokens) -> tuple[str | Picture, ...]:
    """The parts that show these tokens, which are in order of time."""
    parts: list[str | Picture] = []
    for i, picture in enumerate(draw(video, tokens)):
        label = _template("evidence").format(time=time_of(tokens, i), kind=tokens.kinds[i])
        parts += [label, picture, "\n"]
    return tuple(parts)


def time_of(tokens: Tokens, i: int) -> str:
    """A token's time, as prompts write it and answers cite it."""
    start_s, end_s = float(tokens.start_s[i]), float(tokens.end_s[i])
    return span_clock(start_s, end_s) if tokens.kinds[i] == "action" else clock(start_s)


def ask(question: str, options: Mapping[str, str] | None = None, by: str = "letter") -> str:
    """How a question is put: freely, or for the letter of an option, or for nothing but that."""
    if not options:
        return _template("question").format(question=question)
    listed = "\n".join(f"({letter}) {text}" for letter, text in options.items())
    template = _template("choice" if by == "letter" else "likelihood")
    return template.format(question=question, options=listed, first=next(iter(options)))


def rewrite(questions: Sequence[str]) -> Message:
    """Asks for the last of the questions so that it can be understood without the others."""
    history = "".join(f"- {question}\n" for question in questions)
    return Message("user", (_template("rewrite").format(history=history),))


def draw(video: IndexedVideo, tokens: Tokens) -> list[Picture]:
    """A picture for each token: a scene's frame; an object and a little around it; an action as
    `answer.strip` frames of where it happens, side by side."""
    options = video.options.answer
    counts = np.where(tokens.kinds == "action", options.strip, 1)
    rows = np.repeat(np.arange(len(tokens)), counts)
    at = np.concatenate([(np.arange(n) + 0.5) / n for n in counts]) if len(tokens) else 0.5
    frames = iter(video.pictures(tokens.take(rows), at))
    return [
        _draw(tokens, i, [next(frames) for _ in range(count)], options)
        for i, count in enumerate(counts)
    ]


def _draw(tokens: Tokens, i: int, frames: list[bytes], options: NoAnswer) -> Picture:
    token = str(tokens.ids[i])
    if tokens.kinds[i] == "scene":
        with Image.open(io.BytesIO(frames[0])) as image:
            return Picture(frames[0], token, image.size)
    crops = [_crop(frame, Box(*tokens.boxes[i].tolist()), options.margin) for frame in frames]
    width, height = crops[0].size
    strip = Image.new("RGB", (len(crops) * (width + _GAP_PX) - _GAP_PX, height), "white")
    for n, crop in enumerate(crops):
        strip.paste(crop, (n * (width + _GAP_PX), 0))
    jpeg = io.BytesIO()
    strip.save(jpeg, "JPEG", quality=_JPEG_QUALITY)
    return Picture(jpeg.getvalue(), token, strip.size)


def _crop(jpeg: bytes, box: Box, margin: float) -> Image.Image:
    """The box, wider by `margin` of its size on each side, as far as the frame goes."""
    with Image.open(io.BytesIO(jpeg)) as frame:
        wide, high = margin * (box.x1 - box.x0), margin * (box.y1 - box.y0)
        left = int(max(0.0, box.x0 - wide) * frame.width)
        upper = int(max(0.0, box.y0 - high) * frame.height)
        right = max(left + 1, round(min(1.0, box.x1 + wide) * frame.width))
        lower = max(upper + 1, round(min(1.0, box.y1 + high) * frame.height))
        return frame.convert("RGB").crop((left, upper, right, lower))


@cache
def _template(name: str) -> str:
    return (resources.files("seal.answer") / "templates" / f"{name}.txt").read_text("utf-8")
