"""Opening a source with FFmpeg, and what to tell where that fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from errno import EIO
from pathlib import Path
from typing import Any, TypeVar

import av
from av.container import InputContainer

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.video.limits import PIXEL_LIMIT
from seal.video.playlist import is_playlist
from seal.video.source import is_address, is_device, scheme, shown

# FFmpeg takes any text for "ANSI art"; a page or a list is not what was meant.
_NOT_VIDEO = frozenset({"tty"})

# The protocols that an address may lead to, for example by a playlist or a redirection, by its own.
# `file` is not among them.
_WEB = "http,https,httpproxy,tls,tcp,crypto,data"
_RTMP = "rtmp,rtmpe,rtmps,rtmpt,rtmpte,rtmpts,ffrtmpcrypt,ffrtmphttp,http,https,tls,tcp"
_PROTOCOLS = (
    dict.fromkeys(("http", "https"), _WEB)
    | dict.fromkeys(("rtsp", "rtsps"), "rtp,srtp,udp,tcp,tls,http,https,httpproxy")
    | dict.fromkeys(("rtmp", "rtmpe", "rtmps", "rtmpt", "rtmpte", "rtmpts"), _RTMP)
    | dict.fromkeys(("mmsh", "mmst"), "mmsh,mmst,http,tcp")
    | {"ftp": "ftp,tcp", "sftp": "sftp", "srt": "srt", "rist": "rist"}
    | {"rtp": "rtp,udp", "srtp": "srtp,rtp,udp", "udp": "udp", "tcp": "tcp", "tls": "tls,tcp"}
)


# An encoder that restarts may number its streams anew: they stay the streams that they were.
_ONE_VIDEO = {"merge_pmt_versions": "1", "seg_format_options": "merge_pmt_versions=1"}


_Open = TypeVar("_Open", bound="Closing")


class Closing(ABC):
    """What is open until it is closed: a context manager that closes it."""

    @abstractmethod
    def close(self) -> None:
        """Release the source."""

    def __enter__(self: _Open) -> _Open:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_container(
    source: str | Path, options: VideoOptions, first_byte: int = 0
) -> InputContainer:
    """Open a file, an address or a capture device; `timeout_s` holds for the latter two.

    A file is read as if it began with `first_byte`.

    Raises VideoError if FFmpeg cannot open it.
    """
    remote = is_address(source) or is_device(source)
    name = str(source) if remote else local_name(source)
    if first_byte:
        name = f"subfile,,start,{first_byte},end,0,,:{name}"
    settings = _remote(source) if remote else _local(source, options)
    try:
        return av.open(
            name,
            format="v4l2" if is_device(source) else None,
            options=settings | PIXEL_LIMIT,
            timeout=options.timeout_s if remote else None,
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError) as error:
        raise unreadable_container(source, error, options.timeout_s) from error


def open_image(path: Path) -> InputContainer:
    """Open one picture. Raises the errors of PyAV."""
    settings = _FILE_ALONE | PIXEL_LIMIT
    return av.open(local_name(path), options=settings, metadata_errors="replace")


def local_name(path: str | Path) -> str:
    """How to tell FFmpeg a path, so that it takes the name for nothing else, such as an address
    or a list."""
    return f"file:{Path(path).absolute()}"


# A name with %03d in it is a name, not a pattern.
_FILE_ALONE = {"protocol_whitelist": "file,subfile", "pattern_type": "none"}


def _local(path: str | Path, options: VideoOptions) -> dict[str, str]:
    """The options of FFmpeg for a file. What a playlist names has been looked at
    (`seal.video.playlist`), so FFmpeg's own rules about names do not apply."""
    if not (Path(path).is_file() and is_playlist(path)):
        return _FILE_ALONE
    extensions = ("allowed_extensions", "allowed_segment_extensions")
    anywhere = f",{_WEB}" if options.playlist == "anywhere" else ""
    return {
        "protocol_whitelist": f"file,crypto,data{anywhere}",
        "extension_picky": "0",
        **_ONE_VIDEO,
        "safe": "0",
        **dict.fromkeys(extensions, "ALL"),
    }


def _remote(source: str | Path) -> dict[str, str]:
    """The options of FFmpeg for an address or a capture device. Raises VideoError."""
    protocol = scheme(source)
    if protocol is None:
        return {}
    if protocol not in _PROTOCOLS:
        raise VideoError(
            f"{shown(source)}: SEAL does not read addresses of {protocol}://; expected a path, or"
            f" an address of {', '.join(_PROTOCOLS)}"
        )
    transport = {"rtsp_transport": "tcp"} if protocol.startswith("rtsp") else {}
    return {"protocol_whitelist": _PROTOCOLS[protocol], **_ONE_VIDEO, **transport}


def pick_stream(source: str | Path, container: InputContainer, number: int | None) -> Any:
    """The video stream of a container that is read as its video.

    By default it is one that the container marks as default, or else the one with the largest
    picture. A still or attached picture, such as a cover, only where there is nothing else.
    `number` names another, counted from 0 among the video streams.

    Raises VideoError if there is none that can be decoded, and OptionError if there is no stream
    `number`.
    """
    if number is not None and number >= len(container.streams.video):
        listed = "; ".join(map(_described, enumerate(container.streams.video)))
        raise OptionError(
            f"{shown(source)}: no video stream {number} (video.stream); it has: {listed or 'none'}"
        )
    videos = [
        stream
        for index, stream in enumerate(container.streams.video)
        if index == number or (number is None and not _has(stream, "attached_pic"))
    ]
    if container.format.name in _NOT_VIDEO or not videos:
        kinds = {stream.type for stream in container.streams} - {"video"}
        what = f"only {', '.join(sorted(kinds))}" if kinds else "no video"
        raise VideoError(
            f"{shown(source)}: {what} in it; expected a video (`ffprobe` shows what it is)"
        )
    decoded = [stream for stream in videos if stream.codec_context is not None]
    if decoded:
        return max(decoded, key=_rank)
    raise VideoError(
        f"{shown(source)}: its codec is not supported by this build of FFmpeg; convert it, for"
        " example with `ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4`"
    )


def _rank(stream: Any) -> tuple[bool, bool, int]:
    """Greater for a stream that is rather the film: moving, the default, and large."""
    return stream.frames != 1, _has(stream, "default"), stream.width * stream.height


def _has(stream: Any, disposition: str) -> bool:
    return bool(stream.disposition & av.stream.Disposition[disposition])


def _described(numbered: tuple[int, Any]) -> str:
    number, stream = numbered
    codec = "unknown codec"
    if stream.codec_context is not None:
        codec = f"{stream.codec_context.name} {stream.width}x{stream.height}"
    kinds = [kind for kind in ("default", "attached_pic") if _has(stream, kind)]
    return f"{number}: {codec}" + (f" ({', '.join(kinds)})" if kinds else "")


def unreadable_container(source: str | Path, error: Exception, timeout_s: float) -> VideoError:
    """What to tell of a source that FFmpeg cannot open, or cannot go on reading."""
    # FFmpeg's own error names the address, and it is shown as the cause of the one made here.
    error.args = error.args[:2]
    source = shown(source) if (is_remote := is_address(source)) else source
    if isinstance(error, av.error.ExitError):
        return VideoError(
            f"{source}: no answer within {timeout_s:g} s; check the address, or raise"
            " video.timeout_s"
        )
    # FFmpeg calls it an I/O error when a server closes the line before it has seen a video.
    is_nothing = isinstance(error, av.error.InvalidDataError) or (
        getattr(error, "errno", None) == EIO
    )
    if is_remote and is_nothing:
        return VideoError(
            f"{source}: the server sends something that is not a video, perhaps a web page;"
            " expected the address of the video file or stream itself"
        )
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
        return VideoError(
            f"{source}: not a video, or cut off, or damaged at its beginning or in its index"
            f" ({error.strerror}); expected a file that FFmpeg can read (`ffprobe` shows more)"
        )
    reason = getattr(error, "strerror", None) or str(error)
    return VideoError(f"{source}: cannot be opened as video: {reason}")
