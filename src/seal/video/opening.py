"""Opening a source with FFmpeg, and what to tell where that fails."""

from __future__ import annotations

from errno import EIO
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from seal.errors import VideoError
from seal.video.limits import PIXEL_LIMIT
from seal.video.source import is_address, is_device

# FFmpeg takes any text for "ANSI art"; a page or a list is not what was meant.
_NOT_VIDEO = frozenset({"tty"})


def open_container(source: str | Path, timeout_s: float, first_byte: int = 0) -> InputContainer:
    """Open a file, an address or a capture device; `timeout_s` holds for the latter two.

    A file is read as if it began with `first_byte`.

    Raises VideoError if FFmpeg cannot open it.
    """
    remote = is_address(source) or is_device(source)
    options = {"rtsp_transport": "tcp"} if str(source).startswith("rtsp") else {}
    options |= PIXEL_LIMIT
    name = str(source) if is_address(source) else str(Path(source))
    if first_byte:
        name = f"subfile,,start,{first_byte},end,0,,:file:{name}"
    try:
        return av.open(
            name,
            format="v4l2" if is_device(source) else None,
            options=options,
            timeout=timeout_s if remote else None,
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError) as error:
        raise unreadable_container(source, error, timeout_s) from error


def pick_stream(source: str | Path, container: InputContainer) -> Any:
    """The video stream of a container that is read as its video.

    Raises VideoError if there is none that can be decoded.
    """
    videos = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if container.format.name in _NOT_VIDEO or not videos:
        kinds = {stream.type for stream in container.streams} - {"video"}
        what = f"only {', '.join(sorted(kinds))}" if kinds else "no video"
        raise VideoError(f"{source}: {what} in it; expected a video (`ffprobe` shows what it is)")
    for stream in videos:
        if stream.codec_context is not None:
            return stream
    raise VideoError(
        f"{source}: its codec is not supported by this build of FFmpeg; convert it, for"
        " example with `ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4`"
    )


def unreadable_container(source: str | Path, error: Exception, timeout_s: float) -> VideoError:
    """What to tell of a source that FFmpeg cannot open, or cannot go on reading."""
    if isinstance(error, av.error.ExitError):
        return VideoError(
            f"{source}: no answer within {timeout_s:g} s; check the address, or raise"
            " video.timeout_s"
        )
    # FFmpeg calls it an I/O error when a server closes the line before it has seen a video.
    is_nothing = isinstance(error, av.error.InvalidDataError) or (
        getattr(error, "errno", None) == EIO
    )
    if is_address(source) and is_nothing:
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
