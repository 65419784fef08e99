"""A stretch of a video as a file with the very packets of the video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import IO, Any

from av.container import InputContainer, OutputContainer

from seal.config import VideoOptions
from seal.errors import VideoError
from seal.export.output import ROUNDING, opened, suffix_of
from seal.types import Span
from seal.video import shown
from seal.video.audio import pick_sound
from seal.video.container import ContainerStream
from seal.video.damage import FAULTS, reason_of
from seal.video.opening import open_container, pick_stream

# What players expect in MP4; Matroska takes everything else.
_IN_MP4 = frozenset(
    {"h264", "hevc", "av1", "vp9", "mpeg4", "aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
)
# How much later than the pictures a file may have the sound of the same time.
_SOUND_BEHIND_S = 2
_INSTEAD = "leave out --copy, and it is encoded anew"


def copy_suffix(source: str | Path, options: VideoOptions) -> str:
    """What the name of a copy ends in: .mp4, or .mkv where MP4 has no place for the codecs."""
    container = open_container(source, options)
    try:
        tracks = _picked(source, container, options)
        return ".mp4" if all(each.codec_context.name in _IN_MP4 for each in tracks) else ".mkv"
    finally:
        container.close()


def copy_packets(
    stream: ContainerStream,
    start_s: float,
    end_s: float,
    output: str | Path | IO[bytes],
    options: VideoOptions,
) -> Span:
    """Write the packets from the keyframe at or before `start_s` on: see `seal.export.cut.cut`.

    `stream` is the video, surveyed. Raises VideoError if its packets do not say when they are
    shown, or if MP4 is wanted and has no place for a codec.
    """
    source = stream.source
    key = stream.keyframe(floor((Fraction(start_s) + ROUNDING) / stream.time_base))
    begin = (stream.begin if key is None else key) * stream.time_base
    container = open_container(source, options)
    try:
        tracks = _picked(source, container, options)
        codecs = {each.codec_context.name for each in tracks}
        is_mp4 = not isinstance(output, (str, Path)) or suffix_of(output) == ".mp4"
        if is_mp4 and not codecs <= _IN_MP4:
            odd = ", ".join(sorted(codecs - _IN_MP4))
            raise VideoError(f"{shown(source)}: MP4 has no place for {odd}; {_INSTEAD}")
        if tracks[0].time_base != stream.time_base:
            raise VideoError(f"{shown(source)}: its stated frame rate is wrong; {_INSTEAD}")
        try:
            if key is not None:
                container.seek(key, stream=tracks[0])
            with opened(output) as written:
                end = _copy(
                    _between(container, tracks, begin, Fraction(end_s)), written, tracks, begin
                )
        except FAULTS as error:
            raise VideoError(
                f"{shown(source)}: its packets cannot be copied: {reason_of(error)}; {_INSTEAD}"
            ) from error
        return Span(float(begin), float(end))
    finally:
        container.close()


def _copy(
    packets: Iterator[Any], written: OutputContainer, tracks: list[Any], begin: Fraction
) -> Fraction:
    """Write packets, on a clock on which `begin` is 0; gives when the last picture ends."""
    copies = {each.index: written.add_stream_from_template(each) for each in tracks}
    written.start_encoding()
    end = begin
    for packet in packets:
        if packet.stream is tracks[0]:
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        offset = round(begin / packet.time_base)
        packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
        packet.stream = copies[packet.stream.index]
        written.mux(packet)
    return end


def _picked(source: str | Path, container: InputContainer, options: VideoOptions) -> list[Any]:
    """The video stream, and the audio stream where there is one."""
    sound = pick_sound(container)
    return [pick_stream(source, container, options.stream), *([] if sound is None else [sound])]


def _between(
    container: InputContainer, tracks: list[Any], begin: Fraction, end: Fraction
) -> Iterator[Any]:
    """The packets of a stretch in the order of the file, the video's from its keyframe on."""
    video = tracks[0]
    has_begun, is_over, latest = False, False, begin
    for packet in container.demux(tracks):
        if packet.dts is None:
            continue
        if packet.pts is None:
            raise ValueError("they do not say when they are shown")
        shown_at, decoded_at = packet.pts * packet.time_base, packet.dts * packet.time_base
        if packet.stream is not video:
            if begin <= shown_at < end:
                yield packet
            if is_over and shown_at >= end:
                return
            continue
        has_begun = has_begun or (packet.is_keyframe and shown_at == begin)
        # Pictures that are shown until the latest one may be decoded after it.
        is_over = is_over or decoded_at >= max(end, latest)
        if is_over and (len(tracks) == 1 or decoded_at >= end + _SOUND_BEHIND_S):
            return
        is_last = decoded_at >= end and shown_at > latest
        # Pictures before a keyframe that are stored after it are made from what is not copied.
        if has_begun and not is_over and not is_last and shown_at >= begin:
            latest = max(latest, shown_at)
            yield packet
