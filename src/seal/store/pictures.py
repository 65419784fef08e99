"""Which stored frames show a token."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seal.errors import OptionError, StoreError
from seal.store import columns
from seal.types import Int64, Tokens

_MOST_PIXELS = 2**26
"""A stored picture has at most so many; those of 8K have half of that. A file of some bytes can
claim any number, for which a decoder would find the memory."""


def check_pictures(store: Path | str, names: Iterable[str], pictures: Iterable[bytes]) -> None:
    """Raises StoreError, which names the token, unless all can be decoded in reasonable memory.

    `names` are the ids of the tokens that the pictures show.
    """
    name = ""
    try:
        for name, picture in zip(names, pictures, strict=True):  # noqa: B007
            check_picture(picture)
    except ValueError as error:
        raise StoreError(
            f"the token store {store} is damaged: the picture of {name} cannot be shown ({error});"
            " remove the video and index it again"
        ) from error


def check_picture(picture: bytes) -> None:
    """Raises ValueError unless a picture can be decoded in reasonable memory."""
    from PIL import Image

    broken = (OSError, SyntaxError, Image.DecompressionBombError, Warning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(f"it claims {image.width:,} x {image.height:,} pixels")
                # A JPEG is read to its end, and at an eighth of its size.
                image.draft("L", (1, 1))
                image.load()
    except broken as error:
        raise ValueError(error) from error


def shown(tokens: Tokens, pts: Int64, at: ArrayLike = 0.5) -> Int64:
    """For each token the index into the sorted `pts` of the frame that lies in its time, nearest to
    the share `at` of that time. Raises OptionError if there is no such frame."""
    start, end = tokens.pts[:, 0], tokens.pts[:, 1]
    first, last = np.searchsorted(pts, start), np.searchsorted(pts, end) - 1
    # A token that starts and ends with one tick is shown by the frame of that tick.
    last = np.maximum(last, np.searchsorted(pts, start, side="right") - 1)
    if (last < first).any():
        row = int(np.argmax(last < first))
        raise OptionError(f"no picture between the ticks {start[row]} and {end[row]} of a token")
    wanted = start + (end - start) * np.asarray(at)
    after = np.clip(np.searchsorted(pts, wanted), first, last)
    before = np.maximum(after - 1, first)
    nearest: Int64 = np.where(wanted - pts[before] <= pts[after] - wanted, before, after)
    return nearest


def frames(table: Any, where: str, tokens: Tokens, at: ArrayLike) -> list[bytes]:
    """The frame that shows each token, among those rows of the table `pictures` that meet an SQL
    condition. Raises as `shown`."""
    query = table.search().where(where).select(["pts"]).limit(None).with_row_id(True)
    rows = query.to_arrow().sort_by("pts")
    row_ids = columns.numbers(rows["_rowid"])
    wanted = row_ids[shown(tokens, columns.numbers(rows["pts"]), at)].tolist()
    # Lance returns each row once and in its own order.
    found = table.take_row_ids(wanted).select(["jpeg"]).with_row_id().to_arrow().to_pydict()
    jpegs = dict(zip(found["_rowid"], found["jpeg"], strict=True))
    return [jpegs[row_id] for row_id in wanted]
