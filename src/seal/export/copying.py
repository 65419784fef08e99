"""A stretch of a video as a file with the very packets of the video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import IO, Any

from av.container import InputContainer

from seal.config import VideoOptions
from seal.errors import VideoError
from seal.export.output import ROUNDING, opened, suffix_of
from seal.types import Span
from seal.video import SourceFiles, shown
from seal.video.container import ContainerStream
from seal.video.damage import FAULTS, reason_of
from seal.video.opening import open_container, pick_stream
from seal.video.sound import pick_sound
from seal.video.timeline import Piece

# What players expect in MP4; Matroska takes everything else.
_IN_MP4 = frozenset(
    {"h264", "hevc", "av1", "vp9", "mpeg4", "aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
)
# How much later than the pictures a file may have the sound of the same time.
_SOUND_BEHIND_S = 2
_INSTEAD = "leave out --copy, and it is encoded anew"


def copy_suffix(source: str | Path, options: VideoOptions) -> str:
    """What the name of a copy ends in: .mp4, or .mkv where MP4 has no place for the codecs.

    Raises VideoError if the source cannot be read.
    """
    SourceFiles.of(source, options)
    container = open_container(source, options)
    try:
        return ".mkv" if _odd(_picked(source, container, options)) else ".mp4"
    finally:
        container.close()


def copy_packets(
    stream: ContainerStream,
    start_s: float,
    end_s: float,
    output: str | Path | IO[bytes],
    options: VideoOptions,
    on_progress: Callable[[float], None],
) -> Span:
    """Write the packets from the keyframe at or before `start_s` on: see `seal.export.cut.cut`.

    `stream` is the video, whose clock runs through. Raises VideoError if packets are missing or do
    not say when they are shown, or if MP4 is wanted and has no place for a codec.
    """
    source = shown(stream.source)
    packets = stream.packets(floor((Fraction(start_s) + ROUNDING) / stream.time_base))
    try:
        tracks = _picked(stream.source, stream.container, options)
        is_mp4 = not isinstance(output, (str, Path)) or suffix_of(output) == ".mp4"
        if is_mp4 and (odd := _odd(tracks)):
            raise VideoError(f"{source}: MP4 has no place for {', '.join(odd)}; {_INSTEAD}")
        if stream.lacks_order or tracks[0].time_base != stream.time_base:
            raise VideoError(f"{source}: its packets do not say when they are shown; {_INSTEAD}")
        with opened(output) as written:
            copies = {each: written.add_stream_from_template(each) for each in tracks}
            written.start_encoding()
            begin: Fraction | None = None
            end = Fraction(end_s)
            for packet in _between(_decodable(packets, tracks), tracks[0], Fraction(end_s)):
                at = packet.pts * packet.time_base
                if begin is None:
                    begin = end = at
                if packet.stream is tracks[0]:
                    end = max(end, at + (packet.duration or 0) * packet.time_base)
                offset = round(begin / packet.time_base)
                packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
                packet.stream = copies[packet.stream]
                written.mux(packet)
                on_progress(float(end - begin))
            if begin is None:
                raise VideoError(f"{source}: it shows no picture from {start_s:.3f} s on")
        return Span(float(begin), float(end))
    except FAULTS as error:
        raise VideoError(
            f"{source}: its packets cannot be copied: {reason_of(error)}; {_INSTEAD}"
        ) from error


def _picked(source: str | Path, container: InputContainer, options: VideoOptions) -> list[Any]:
    """The video stream, and the audio stream where there is one."""
    sound = pick_sound(container)
    return [pick_stream(source, container, options.stream), *([] if sound is None else [sound])]


def _odd(tracks: list[Any]) -> list[str]:
    """The codecs for which MP4 has no place."""
    return sorted({each.codec_context.codec.canonical_name for each in tracks} - _IN_MP4)


def _decodable(pieces: Iterator[Piece], tracks: list[Any]) -> Iterator[Any]:
    """The packets of the tracks, each with the time at which it is decoded.

    Matroska leaves that open for the first packets after a seek, which then have what is left
    before the next one. Raises ValueError where packets are missing.
    """
    waiting = list[Any]()
    for packet in pieces:
        if isinstance(packet, str):
            raise ValueError(packet)
        if packet.stream not in tracks or not packet.size:
            continue
        if packet.stream is not tracks[0] or (packet.dts is not None and not waiting):
            yield packet
            continue
        waiting.append(packet)
        if packet.dts is None:
            continue
        for place, early in enumerate(waiting):
            early.dts = packet.dts - (len(waiting) - 1 - place) * (early.duration or 1)
        yield from waiting
        waiting = []


def _between(packets: Iterator[Any], video: Any, end: Fraction) -> Iterator[Any]:
    """The packets of a stretch in the order of the file, from the first keyframe of the video on.

    Raises ValueError for a packet that does not say when it is shown.
    """
    begin = latest = None
    is_over = False
    for packet in packets:
        if packet.pts is None or packet.dts is None:
            raise ValueError("they do not say when they are shown")
        shown_at, decoded_at = packet.pts * packet.time_base, packet.dts * packet.time_base
        if packet.stream is not video:
            if begin is not None and begin <= shown_at < end:
                yield packet
            if is_over and shown_at >= end:
                return
            continue
        if begin is None or latest is None:
            if packet.is_keyframe:
                begin = latest = shown_at
                yield packet
            continue
        # Pictures that are shown until the latest one may be decoded after it.
        is_over = is_over or decoded_at >= max(end, latest)
        if decoded_at >= max(end, latest) + _SOUND_BEHIND_S:
            return
        is_later = decoded_at >= end and shown_at > latest
        # Pictures before a keyframe that are stored after it are made from what is not copied.
        if not is_over and not is_later and shown_at >= begin:
            latest = max(latest, shown_at)
            yield packet
