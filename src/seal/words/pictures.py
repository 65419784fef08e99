"""Subtitles that are pictures: drawn in grey on black, and read by what reads text in pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import av
import numpy as np

from seal.types import UInt8
from seal.words.cue import TextReader
from seal.words.formats import RawCue

FAULTS: Final = (av.FFmpegError, IndexError, ValueError, OverflowError)
"""What PyAV raises for damaged input; some of it without a class of its own."""
UNKNOWN_MS: Final = 2**32 - 1
"""FFmpeg's `end_display_time` where the next subtitle ends the one before."""
# A picture lasts until the next one. Where none follows, it lasts as its packet says, which is
# wrong for others, or so long.
_LAST_PICTURE_S = 5.0
# Segments of Blu-ray subtitles (PGS).
_PALETTE, _COMPOSITION = 0x14, 0x16


def reason_of(error: Exception) -> str:
    """What an error says, in as few words as it can be said."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def pictured(
    packets: Iterable[Any], stream: Any, reader: TextReader, faults: list[str]
) -> list[RawCue]:
    """The cues of pictures, each of which is shown until the next packet with a picture or none."""
    is_pgs = stream.codec_context.codec.canonical_name == "hdmv_pgs_subtitle"
    palettes: dict[int, UInt8] = {}
    cues: list[RawCue] = []
    texts: dict[bytes, str] = {}
    is_open, lasting_s = False, _LAST_PICTURE_S
    for packet in packets:
        start_s = float(packet.pts * packet.time_base)
        try:
            greys = _pgs_greys(bytes(packet), palettes) if is_pgs else None
            shown = stream.decode2(packet)
        except FAULTS as error:
            faults.append(f"at {start_s:.1f} s, {reason_of(error)}")
            continue
        if shown is None:
            continue
        if is_open:
            cues[-1].end_s = min(cues[-1].end_s or start_s, start_s)
        image = drawn(shown, greys)
        is_open = image is not None
        if image is None:
            continue
        key = blake2b(repr(image.shape).encode() + image.tobytes()).digest()
        if key not in texts:
            texts[key] = "\n".join(line.text for line in reader.read(image))
        end_ms = shown.end_display_time
        end_s = None if end_ms in (0, UNKNOWN_MS) else start_s + end_ms / 1000
        lasting_s = float((packet.duration or 0) * packet.time_base) or _LAST_PICTURE_S
        cues.append(RawCue(start_s + shown.start_display_time / 1000, end_s, texts[key], []))
    if cues and cues[-1].end_s is None:
        cues[-1].end_s = cues[-1].start_s + lasting_s
    return cues


def drawn(shown: Any, greys: UInt8 | None) -> UInt8 | None:
    """The pictures of one subtitle, RGB [height, width, 3]; None where it shows none.

    `greys` [256] are the brightnesses of the colours by number; None if they are not known, for
    PyAV does not give them.
    """
    parts = [rect for rect in shown if rect.type == b"bitmap" and rect.width and rect.height]
    if not parts:
        return None
    left, top = min(part.x for part in parts), min(part.y for part in parts)
    right = max(part.x + part.width for part in parts)
    bottom = max(part.y + part.height for part in parts)
    canvas = np.zeros((bottom - top, right - left), np.uint8)
    for part in parts:
        numbers = np.frombuffer(part.planes[0], np.uint8).reshape(part.height, -1)
        numbers = numbers[:, : part.width]
        y, x = part.y - top, part.x - left
        brightness = _likely_greys(numbers) if greys is None else greys
        canvas[y : y + part.height, x : x + part.width] = brightness[numbers]
    return np.repeat(canvas[:, :, None], 3, axis=2)


def _pgs_greys(data: bytes, palettes: dict[int, UInt8]) -> UInt8:
    """The brightnesses in a packet of PGS; `palettes` keeps those of earlier packets."""
    chosen = 0
    for kind, body in _segments(data):
        if kind == _COMPOSITION and len(body) > 9:
            chosen = body[9]
        elif kind == _PALETTE and len(body) > 2:
            entries = np.frombuffer(body[2 : 2 + (len(body) - 2) // 5 * 5], np.uint8)
            number, luma, _, _, alpha = entries.reshape(-1, 5).T.astype(np.int32)
            palette = palettes.setdefault(body[0], np.zeros(256, np.uint8))
            # Black is 16 and white 235.
            level = np.clip((luma - 16) * 255 // 219, 0, 255)
            palette[number] = level * alpha // 255
    return palettes.get(chosen, np.zeros(256, np.uint8))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 3 <= len(data):
        size = int.from_bytes(data[position + 1 : position + 3], "big")
        yield data[position], data[position + 3 : position + 3 + size]
        position += 3 + size


def _likely_greys(numbers: UInt8) -> UInt8:
    """Brightnesses for colours that nobody states: black for the ground, which fills the border.
    The others are the brighter the rarer a colour touches it, as the outline does and the letters
    do not."""
    greys = np.zeros(256, np.uint8)
    edge = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    ground = np.bincount(edge, minlength=256).argmax()
    padded = np.pad(numbers == ground, 1, constant_values=True)
    touches = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    total = np.bincount(numbers.ravel(), minlength=256)
    outer = np.bincount(numbers[touches], minlength=256)
    used = (total > 0) & (np.arange(256) != ground)
    inner = np.where(used, 1 - outer / np.maximum(total, 1), 0.0)
    most = inner.max()
    if most > 0:
        greys[used] = (255 * inner[used] / most).astype(np.uint8)
    else:
        greys[used] = 255
    return greys
