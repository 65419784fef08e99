"""Strips: what happens in a token's time, as pictures cut from the stored frames of it."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from seal.types import Box, Float64, Tokens, UInt8

Pictures = Callable[[Tokens, Float64], list[bytes]]
"""`Store.pictures` of one video."""


def frames(pictures: Pictures, tokens: Tokens, counts: ArrayLike) -> list[list[bytes]]:
    """For each token so many stored frames, as JPEG, evenly spread over its time."""
    counts = np.broadcast_to(np.asarray(counts), len(tokens))
    rows = np.repeat(np.arange(len(tokens)), counts)
    at = np.concatenate([np.empty(0), *((np.arange(n) + 0.5) / n for n in counts)])
    found = iter(pictures(tokens.take(rows), at))
    return [list(islice(found, int(n))) for n in counts]


def crop(frame: Image.Image, box: Box, margin: float = 0.0) -> Image.Image:
    """The box, wider by `margin` of its size on each side, as far as the frame goes; RGB."""
    wide, high = margin * (box.x1 - box.x0), margin * (box.y1 - box.y0)
    left = int(max(0.0, box.x0 - wide) * frame.width)
    upper = int(max(0.0, box.y0 - high) * frame.height)
    right = max(left + 1, round(min(1.0, box.x1 + wide) * frame.width))
    lower = max(upper + 1, round(min(1.0, box.y1 + high) * frame.height))
    return frame.crop((left, upper, right, lower)).convert("RGB")


def strips(pictures: Pictures, tokens: Tokens, count: int, side_px: int) -> UInt8:
    """[n, count, side_px, side_px, 3] RGB: 49 kB a token for 4 pictures of 64 pixels.

    All pictures of a token are of one box, which for an action is the union of its track's: what
    moves then moves in them.
    """
    cut = np.empty((len(tokens), count, side_px, side_px, 3), np.uint8)
    places: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for i, shown in enumerate(frames(pictures, tokens, count)):
        for k, jpeg in enumerate(shown):
            places[jpeg].append((i, k))
    # What happens at once is seen in the same frames.
    for jpeg, of_frame in places.items():
        with Image.open(io.BytesIO(jpeg)) as frame:
            for i, k in of_frame:
                part = crop(frame, Box(*tokens.boxes[i].tolist()))
                cut[i, k] = np.asarray(part.resize((side_px, side_px)))
    return cut
