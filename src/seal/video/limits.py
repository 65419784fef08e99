"""Which streams are read: whole pictures, whose size does not take all memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from av.stream import Disposition
from av.video.stream import VideoStream

from seal.errors import VideoError

MAX_PIXELS: Final = 100_000_000
"""Three times a picture of 8K. FFmpeg refuses larger ones before it takes memory for them."""
PIXEL_LIMIT: Final = {"max_pixels": str(MAX_PIXELS)}
"""The limit as an option of FFmpeg."""
SIZE_WANTED: Final = f"at most {MAX_PIXELS // 1_000_000} million pixels a picture"


def admit(source: str | Path, stream: VideoStream) -> None:
    """Have the decoder of a stream, before its first use, refuse pictures that are too large.

    Raises VideoError if all are said to be, or if the stream is one tile of a larger picture.
    """
    if stream.disposition & Disposition.dependent:
        raise VideoError(
            f"{source}: it is stored in tiles, as phones store HEIC, which FFmpeg gives one by one;"
            " convert it to JPEG"
        )
    codec = stream.codec_context
    codec.options = {**codec.options, **PIXEL_LIMIT}
    if codec.width * codec.height > MAX_PIXELS:
        size = f"{codec.width} x {codec.height}"
        raise VideoError(
            f"{source}: its pictures have {size} pixels; expected {SIZE_WANTED}: scale them down"
        )
