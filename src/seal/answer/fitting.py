"""Prompts and pictures as a model takes them that lacks something, or has a limit."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from seal.answer.prompt import Message, Prompt, PromptPicture

_JPEG_QUALITY = 88
"""As that of the pictures in prompts."""
_STRETCH = 8
"""A picture grows by this factor at most; what is still missing is filled up around it."""


def without_system(prompt: Prompt) -> list[Message]:
    """The prompt with its system message at the front of the first turn of the user.

    For models whose chat template has turns of users and assistants alone.
    """
    told = [part for message in prompt if message.role == "system" for part in message.parts]
    turns = [message for message in prompt if message.role != "system"]
    if not told or not turns:
        return turns or [Message("user", tuple(told))]
    first = turns[0]
    return [replace(first, parts=(*told, "\n\n", *first.parts)), *turns[1:]]


def sized(image: Image.Image, least_px: int, most_px: float = math.inf) -> Image.Image:
    """The picture with both sides in a range; it is returned as it is if they are.

    A picture keeps its shape: one that is too long for its width gets white borders.
    """
    scale = min(max(1.0, least_px / min(image.size)), _STRETCH, most_px / max(image.size))
    if scale != 1.0:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if min(image.size) >= least_px:
        return image
    width, height = (max(side, least_px) for side in image.size)
    framed = Image.new("RGB", (width, height), "white")
    framed.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return framed


def sized_jpeg(picture: PromptPicture, least_px: int, most_px: float = math.inf) -> bytes:
    """The JPEG of a picture with both sides in a range, as `sized` makes it."""
    if least_px <= min(picture.size) and max(picture.size) <= most_px:
        return picture.jpeg
    buffer = io.BytesIO()
    sized(picture.image(), least_px, most_px).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def longest_px(prompts: Sequence[Prompt]) -> int:
    """The longest side of all pictures; 0 where there are none."""
    sizes = [picture.size for prompt in prompts for turn in prompt for picture in turn.pictures]
    return max((max(size) for size in sizes), default=0)
