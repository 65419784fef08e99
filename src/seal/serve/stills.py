"""Stored pictures of a video: of one token, as a poster, and as thumbnails along the time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from seal import kinds
from seal.indexed import LocalVideo
from seal.serve.originals import version_of
from seal.serve.problems import MissingError
from seal.types import Tokens
from seal.words import Cue
from seal.words.export import render

_QUALITY = 80
_THUMBNAIL_PX: Final = 160
"""The longer side of a thumbnail."""
_COLUMNS = 10
_PER_SHEET = 100
_MOST = 400
"""A player shows some hundred places along its time; more thumbnails of a long video cost bytes."""


def picture(video: LocalVideo, name: str, width_px: int | None = None) -> bytes:
    """The stored frame of a token as JPEG, at most `width_px` wide.

    Raises MissingError for a token that the video does not have, or that has no picture.
    """
    tokens = video.tokens
    rows = np.flatnonzero(tokens.ids == name)
    if not len(rows):
        raise MissingError(f"{video.id} has no token {name!r}")
    token = tokens.take(rows)
    if not token.where(lambda kind: kind.has_picture)[0]:
        raise MissingError(f"{name} has no picture: it is of the kind {token.kinds[0]}")
    return _shrunk(video.pictures(token)[0], width_px)


def pictures(
    video: LocalVideo, names: Sequence[str], width_px: int, most_bytes: int
) -> dict[str, bytes]:
    """The stored frames of tokens as JPEG, each at most `width_px` wide: token -> JPEG.

    They end before the first picture with which they would have more than `most_bytes` together.
    Raises as `picture` does.
    """
    found, room = dict[str, bytes](), most_bytes
    for name in names:
        jpeg = picture(video, name, width_px)
        room -= len(jpeg)
        if room < 0:
            break
        found[name] = jpeg
    return found


def poster(video: LocalVideo, width_px: int | None = None) -> bytes:
    """The frame that is most like all others of a video, as JPEG, at most `width_px` wide.

    Raises MissingError for a video without frames at even steps.
    """
    tokens = _even(video)
    nearest = int(np.argmax(tokens.embeddings @ tokens.embeddings.sum(0)))
    return _shrunk(video.pictures(tokens.take(np.array([nearest])))[0], width_px)


def _even(video: LocalVideo) -> Tokens:
    """The tokens at even steps, in order of time. Raises MissingError if there are none."""
    names = [kind.name for kind in kinds.known().values() if kind.uniform and kind.has_picture]
    tokens = video.content.store.tokens(video.id, kinds=names)
    if not len(tokens):
        raise MissingError(f"{video.id} has no pictures at even steps")
    return tokens.take(np.argsort(tokens.start_s, kind="stable"))


def _shrunk(jpeg: bytes, width_px: int | None) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as image:
        if width_px is None or image.width <= width_px:
            return jpeg
        return _jpeg(_fitted(image, (width_px, image.height)))


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image in its shape, no larger than `size`."""
    image.draft("RGB", size)
    image.thumbnail(size)
    return image.convert("RGB")


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Small pictures of a video at even steps, in sheets of `_PER_SHEET`."""

    video: LocalVideo
    tokens: Tokens
    """Those at even steps, in order of time."""

    @staticmethod
    def of(video: LocalVideo) -> Thumbnails:
        """Raises MissingError for a video without frames at even steps."""
        return Thumbnails(video, _even(video))

    @property
    def count(self) -> int:
        """How many there are."""
        return min(len(self.tokens), _MOST)

    @property
    def step_s(self) -> float:
        """How long each of them stands for the video."""
        return self.video.record.duration_s / self.count

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of a thumbnail, in pixels."""
        width, height = self.video.record.width, self.video.record.height
        scale = _THUMBNAIL_PX / max(width, height)
        return max(round(width * scale), 1), max(round(height * scale), 1)

    def cues(self) -> str:
        """WebVTT: for each stretch of the video the sheet and the rectangle that shows it.

        Times count from the first picture.
        """
        width, height = self.tile
        version = version_of(self.video.record)
        cues = []
        for number in range(self.count):
            sheet, place = divmod(number, _PER_SHEET)
            x, y = place % _COLUMNS * width, place // _COLUMNS * height
            name = f"thumbnails/{sheet}.jpg?v={version}#xywh={x},{y},{width},{height}"
            cues.append(Cue(number * self.step_s, (number + 1) * self.step_s, name))
        return render(cues, "vtt")

    def sheet(self, number: int) -> bytes:
        """A sheet of thumbnails as JPEG. Raises MissingError for a number beyond the last."""
        places = np.arange(number * _PER_SHEET, min((number + 1) * _PER_SHEET, self.count))
        if not len(places):
            raise MissingError(f"{self.video.id} has no thumbnails in a sheet {number}")
        middle_s = (self.tokens.start_s + self.tokens.end_s) / 2 - self.video.record.start_s
        wanted_s = (places + 0.5) * self.step_s
        rows = np.abs(middle_s[None, :] - wanted_s[:, None]).argmin(1)
        width, height = self.tile
        lines = -(-len(places) // _COLUMNS)
        paper = Image.new("RGB", (min(len(places), _COLUMNS) * width, lines * height))
        for place, jpeg in enumerate(self.video.pictures(self.tokens.take(rows))):
            with Image.open(io.BytesIO(jpeg)) as image:
                small = _fitted(image, self.tile).resize(self.tile)
            paper.paste(small, (place % _COLUMNS * width, place // _COLUMNS * height))
        return _jpeg(paper)
