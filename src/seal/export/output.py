"""MP4 and Matroska files, written to a path at once or to a stream as they grow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, Final

import av
from av.container import OutputContainer

from seal.errors import DataError
from seal.files import replacing
from seal.video.opening import local_name

ROUNDING: Final = Fraction(1, 2000)
"""Seconds: times as floating point and times that containers round differ by less."""

_FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
# With its index in front, so that a browser can begin before it has the end.
_WHOLE = {"movflags": "+faststart"}
# Fragments can be played as they come. The header waits for the first of them, because only then
# the delays of the encoders are known, by which sound and pictures would be apart.
_STREAMED = {"movflags": "+frag_keyframe+empty_moov+default_base_moof+delay_moov"}


@contextmanager
def opened(output: str | Path | IO[bytes]) -> Iterator[OutputContainer]:
    """An MP4 file, or a Matroska file where the path ends in .mkv.

    A path is replaced once the file is whole. Anything else has to have a method `write`, and gets
    fragmented MP4. Raises DataError if a path cannot be written, and what `write` raises.
    """
    if not isinstance(output, (str, Path)):
        stream = _Stream(output)
        try:
            with av.open(stream, "w", format="mp4", options=_STREAMED) as container:
                yield container
        except av.FFmpegError as error:
            raise stream.error or error from None
        return
    form = _FORMATS[suffix_of(output)]
    with replacing(output) as draft:
        options = _WHOLE if form == "mp4" else {}
        with av.open(local_name(draft), "w", format=form, options=options) as container:
            yield container


def suffix_of(output: str | Path) -> str:
    """The suffix of a file to write. Raises DataError for an unknown suffix."""
    suffix = Path(output).suffix.lower()
    if suffix not in _FORMATS:
        raise DataError(f"{output}: the name of a clip must end in one of {', '.join(_FORMATS)}")
    return suffix


class _Stream:
    """A file that can be written to and nothing else, with what it has raised: PyAV may hide it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: Exception | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except Exception as error:
            self.error = error
            raise
