"""Prompts: the evidence in order of time, each piece with its time, kind and picture.

The words stand in `templates/`.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import Literal

import numpy as np
from PIL import Image

from seal import kinds
from seal.clock import clock, span_clock
from seal.config import NoAnswer
from seal.ground.strips import Pictures, crop, frames
from seal.scope import Scope
from seal.types import Box, Tokens

# Enough that an eye sees no difference; the stored frames have been compressed like this.
_JPEG_QUALITY = 88
_GAP_PX = 4
"""Between the frames of an action, so that their edges cannot be taken for the scene's."""


@dataclass(frozen=True)
class PromptPicture:
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
        """The picture, decoded, RGB."""
        return Image.open(io.BytesIO(self.jpeg)).convert("RGB")


@dataclass(frozen=True)
class Message:
    """What one side says: text and pictures as they follow each other."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | PromptPicture, ...]

    @property
    def pictures(self) -> list[PromptPicture]:
        """The parts that are pictures, in order."""
        return [part for part in self.parts if isinstance(part, PromptPicture)]


Prompt = Sequence[Message]


def describe(prompt: Prompt) -> str:
    """The prompt as a person reads it: all of its text, and what its pictures show."""
    said = ["".join(str(part) for part in message.parts) for message in prompt]
    return "\n\n".join(
        f"--- {message.role}\n{text.rstrip()}" for message, text in zip(prompt, said, strict=True)
    )


def system(scope: Scope, videos: Collection[str]) -> Message:
    """What the model is told first, if it is shown evidence from the videos of these ids."""
    if scope.is_one:
        subject = f"a video that lasts {clock(scope.record.duration_s, tenths=False)}"
        noun, example = "video itself but evidence from it", "0:12.0"
    else:
        listed = [
            f"#{scope.number(record.id)} {PurePath(record.path).name}, which lasts"
            f" {clock(record.duration_s, tenths=False)}"
            for record in scope.content.records
            if record.id in videos
        ]
        subject = f"{len(listed)} videos: {'; '.join(listed)}"
        noun, example = "videos themselves but evidence from them", "#1 0:12.0"
    there = set(scope.tokens.kinds.tolist())
    explained = [
        f"- {kind.word}: {kind.meaning}" for name, kind in kinds.known().items() if name in there
    ]
    text = _template("system").format(
        subject=subject, noun=noun, example=example, kinds="\n".join(explained)
    )
    return Message("system", (text,))


def evidence(scope: Scope, tokens: Tokens) -> tuple[str | PromptPicture, ...]:
    """The parts that show these tokens, which are in order of time."""
    parts: list[str | PromptPicture] = []
    for i, picture in enumerate(draw(scope, tokens)):
        number = scope.number(str(tokens.video_ids[i]))
        time = f"#{number} {time_of(tokens, i)}" if number else time_of(tokens, i)
        parts.append(_template("evidence").format(time=time, kind=tokens.kind(i).word))
        if tokens.text[i]:
            parts.append(f'"{tokens.text[i]}" ')
        if picture is not None:
            parts.append(picture)
        parts.append("\n")
    return tuple(parts)


def time_of(tokens: Tokens, i: int) -> str:
    """A token's time, as prompts write it and answers cite it."""
    start_s, end_s = float(tokens.start_s[i]), float(tokens.end_s[i])
    return clock(start_s) if tokens.kind(i).instant else span_clock(start_s, end_s)


def ask(question: str, choices: Mapping[str, str] | None = None, by: str = "letter") -> str:
    """How a question is put: freely, or for the letter of an option, or for nothing but that."""
    if not choices:
        return _template("question").format(question=question)
    listed = "\n".join(f"({letter}) {text}" for letter, text in choices.items())
    template = _template("choice" if by == "letter" else "likelihood")
    return template.format(question=question, options=listed, first=next(iter(choices)))


def rewrite(questions: Sequence[str]) -> Message:
    """Asks for the last of the questions so that it can be understood without the others."""
    history = "".join(f"- {question}\n" for question in questions)
    return Message("user", (_template("rewrite").format(history=history),))


def draw(scope: Scope, tokens: Tokens) -> list[PromptPicture | None]:
    """A picture for each token whose kind is drawn in prompts. The picture is the frame where its
    box is the whole frame, otherwise what is in its box and a little around that. Of a token with a
    track `answer.strip` frames stand side by side."""
    options = scope.options.answer
    shown = frames_of(scope.pictures, tokens, options)
    return [_draw(tokens, i, of_token, options) for i, of_token in enumerate(shown)]


def crops(pictures: Pictures, tokens: Tokens, options: NoAnswer) -> list[bytes]:
    """A JPEG of each token, as `draw` makes it; also of kinds that prompts show by words alone."""
    counts = tokens.per_kind(lambda kind: options.strip if kind.is_drawn and kind.has_track else 1)
    shown = frames(pictures, tokens, counts.astype(np.int64))
    drawn = [_draw(tokens, i, of_token, options) for i, of_token in enumerate(shown)]
    return [picture.jpeg for picture in drawn if picture is not None]


def frames_of(pictures: Pictures, tokens: Tokens, options: NoAnswer) -> list[list[bytes]]:
    """The frames, as JPEG, that `draw` makes each token's picture of; none for some kinds."""
    counts = tokens.per_kind(lambda kind: (options.strip if kind.has_track else 1) * kind.is_drawn)
    return frames(pictures, tokens, counts.astype(np.int64))


def _draw(tokens: Tokens, i: int, shown: list[bytes], options: NoAnswer) -> PromptPicture | None:
    if not shown:
        return None
    token = str(tokens.ids[i])
    if tokens.kind(i).whole_frame:
        with Image.open(io.BytesIO(shown[0])) as image:
            return PromptPicture(shown[0], token, image.size)
    box = Box(*tokens.boxes[i].tolist())
    crops = [crop(Image.open(io.BytesIO(jpeg)), box, options.margin) for jpeg in shown]
    width, height = crops[0].size
    strip = Image.new("RGB", (len(crops) * (width + _GAP_PX) - _GAP_PX, height), "white")
    for n, part in enumerate(crops):
        strip.paste(part, (n * (width + _GAP_PX), 0))
    jpeg = io.BytesIO()
    strip.save(jpeg, "JPEG", quality=_JPEG_QUALITY)
    return PromptPicture(jpeg.getvalue(), token, strip.size)


@cache
def _template(name: str) -> str:
    return (resources.files("seal.answer") / "templates" / f"{name}.txt").read_text("utf-8")
