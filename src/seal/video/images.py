"""A folder of images, read as a video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from seal.video.opening import open_image
from seal.video.source import image_files
from seal.video.stream import DecodedPicture, PictureStream, Tail


class ImageStream(PictureStream):
    """The images of a folder, one every 1 / rate_hz seconds, the first at 0."""

    def __init__(self, source: str | Path, rate_hz: float) -> None:
        self._files = image_files(Path(source))
        self._source = source
        self.time_base = 1 / Fraction(str(rate_hz))
        self.codec = "images"
        self.pixel_aspect = Fraction(1)
        self.rate_hz = rate_hz
        self.end = len(self._files)
        self.size_bytes = sum(path.stat().st_size for path in self._files)

    def pictures(self, pts: int | None = None) -> Iterator[DecodedPicture]:
        lost = None
        for i in range(pts or 0, len(self._files)):
            try:
                with open_image(self._files[i]) as container:
                    frame = next(container.decode(video=0))
            except (av.FFmpegError, IndexError, StopIteration) as error:
                lost = f"{self._files[i].name} cannot be read: {error}"
                continue
            yield DecodedPicture(frame, i, i + 1, lost)
            lost = None
        self.tail = Tail(self.end, lost) if lost else None

    def keyframe(self, pts: int) -> int | None:
        return max(0, pts)

    def close(self) -> None:
        pass
