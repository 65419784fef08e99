"""A folder of images, read as a video."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from seal.errors import VideoError
from seal.video.limits import SIZE_WANTED, admit
from seal.video.numbering import places
from seal.video.opening import open_image
from seal.video.source import image_files, is_animated_webp
from seal.video.stream import DecodedPicture, PictureStream, Tail

_WANTED = f"expected an image that FFmpeg can decode, {SIZE_WANTED}: convert it to JPEG or PNG"


class ImageStream(PictureStream):
    """The images of a folder, one every 1 / rate_hz seconds, the first at 0.

    An image whose number is missing leaves a gap of its length.
    """

    def __init__(self, source: str | Path, rate_hz: float) -> None:
        self._files = image_files(Path(source))
        self._places = places([path.name for path in self._files])
        self.source = source
        self.time_base = 1 / Fraction(str(rate_hz))
        self.codec = "images"
        self.pixel_aspect = Fraction(1)
        self.rate_hz = rate_hz
        self.end = self._places[-1] + 1
        self.begin = 0
        self.notes = []
        self.size_bytes = sum(path.stat().st_size for path in self._files)

    def pictures(self, pts: int | None = None) -> Iterator[DecodedPicture]:
        lost: list[str] = []
        first = self._at(pts or 0)
        end = self._places[first]
        for path, place in zip(self._files[first:], self._places[first:], strict=True):
            if place > end:
                lost.append(_missing(place - end, path))
            end = place + 1
            try:
                frame = _decoded(path)
            except VideoError as error:
                lost.append(str(error))
                continue
            yield DecodedPicture(frame, place, end, _told(lost))
            lost = []
        why = _told(lost)
        self.tail = Tail(end, why) if why else None

    def _at(self, pts: int) -> int:
        """The last file at or before a place."""
        return max(0, bisect_right(self._places, pts) - 1)

    def survey(self) -> bool:
        return True

    def keyframe(self, pts: int) -> int | None:
        return self._places[self._at(pts)]

    def close(self) -> None:
        pass


def _decoded(path: Path) -> av.VideoFrame:
    """Raises VideoError, with the name of the file, if there is no whole picture in it."""
    try:
        with open_image(path) as container:
            stream: Any = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError(
                    f"{path.name}: this build of FFmpeg has no codec for it; {_WANTED}"
                )
            admit(path.name, stream)
            frame: av.VideoFrame = next(container.decode(stream))
            return frame
    except (av.FFmpegError, IndexError, StopIteration) as error:
        reason = getattr(error, "strerror", None) or "there is no picture in it"
        if is_animated_webp(path):
            reason = "FFmpeg does not decode animated WebP"
        raise VideoError(f"{path.name}: it cannot be read ({reason}); {_WANTED}") from error


def _missing(count: int, following: Path) -> str:
    images = "1 image is" if count == 1 else f"{count} images are"
    return f"{images} missing before {following.name}"


def _told(reasons: list[str]) -> str | None:
    """The first reason, and how many there are besides."""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return reasons[0] + more if reasons else None
