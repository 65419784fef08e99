"""What browsers play, and what has to be done to a video that they do not play."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from seal.config import VideoOptions
from seal.video.opening import open_container, pick_stream
from seal.video.sound import pick_sound

Way = Literal["original", "remux", "transcode"]
"""How a browser comes to play a video: as it is, with its packets in another container, or encoded
anew."""

_TYPES: Final = {
    "mov": "video/mp4",
    "matroska": "video/matroska",
    "mpegts": "video/mp2t",
    "avi": "video/x-msvideo",
    "mpeg": "video/mpeg",
    "mpegvideo": "video/mpeg",
    "flv": "video/x-flv",
    "asf": "video/x-ms-asf",
    "ogg": "video/ogg",
    "mxf": "application/mxf",
    "gif": "image/gif",
}
"""By FFmpeg's first name of a format."""
_OTHER_TYPE = "application/octet-stream"
_MP4, _WEBM, _QUICKTIME = "video/mp4", "video/webm", "video/quicktime"
_QUICKTIME_BRAND = "qt  "
_WEBM_MARK = b"\x42\x82\x84webm"
"""The element of a Matroska header that says that it is WebM, within so many bytes:"""
_HEADER_BYTES = 64

MEDIA_TYPES: Final = tuple(dict.fromkeys((*_TYPES.values(), _WEBM, _QUICKTIME, _OTHER_TYPE)))
"""All that there are."""

_SILENT = ""
_PIXELS = frozenset({"yuv420p", "yuvj420p"})
"""8 bits a sample, colours at half the resolution: what all browsers decode."""
_PICTURES = {_MP4: {"h264", "vp9", "av1"}, _WEBM: {"vp8", "vp9", "av1"}}
_SOUNDS = {_MP4: {"aac", "mp3", "opus", _SILENT}, _WEBM: {"opus", "vorbis", _SILENT}}


@dataclass(frozen=True)
class Makeup:
    """What a file is made of, as far as players care."""

    media_type: str
    picture_codec: str
    pixel_format: str
    sound_codec: str
    """Empty where there is no sound."""

    def way(self) -> tuple[Way, str]:
        """How a browser comes to play it, and why."""
        codecs = " and ".join(filter(None, (self.picture_codec, self.sound_codec)))
        if self.pixel_format not in _PIXELS:
            return "transcode", f"browsers do not play pictures of the format {self.pixel_format}"
        if self._fits(self.media_type):
            return "original", f"browsers play {codecs} in {self.media_type}"
        if self._fits(_MP4):
            return "remux", f"browsers play {codecs}, but not in {self.media_type}"
        return "transcode", f"browsers do not play {codecs} in {self.media_type}"

    def _fits(self, media_type: str) -> bool:
        pictures, sounds = _PICTURES.get(media_type, ()), _SOUNDS.get(media_type, ())
        return self.picture_codec in pictures and self.sound_codec in sounds


def makeup_of(path: Path, options: VideoOptions) -> Makeup:
    """What a file is made of, of the stream that the options name. Raises VideoError."""
    state = path.stat()
    return _makeup(path, options, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(4096)
def _makeup(path: Path, options: VideoOptions, *state: int) -> Makeup:
    container: Any = open_container(path, options)
    try:
        picture = pick_stream(path, container, options.stream).codec_context
        sound = pick_sound(container)
        return Makeup(
            _media_type(path, container),
            picture.codec.canonical_name,
            picture.pix_fmt or "",
            _SILENT if sound is None else sound.codec_context.codec.canonical_name,
        )
    finally:
        container.close()


def _media_type(path: Path, container: Any) -> str:
    name = container.format.name.split(",")[0]
    if (
        name == "mov"
        and container.metadata.get("major_brand", _QUICKTIME_BRAND) == _QUICKTIME_BRAND
    ):
        return _QUICKTIME
    if name == "matroska":
        with path.open("rb") as file:
            if _WEBM_MARK in file.read(_HEADER_BYTES):
                return _WEBM
    return _TYPES.get(name, _OTHER_TYPE)
