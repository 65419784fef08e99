"""Videos with known contents: every frame shows its number, at exactly the time it is given.

The number stands in the picture as a row of eight black or white bars, the most significant bit on
the left; above the bars the picture is red on the left and blue on the right, so that turning or
mirroring it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8


def numbered(number: int, width: int = 320, height: int = 240) -> np.ndarray:
    """[height, width, 3] RGB."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2, 0] = 220
    image[: height // 2, width // 2 :, 2] = 220
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        if number >> (BITS - 1 - bit) & 1:
            image[height // 2 :, edges[bit] : edges[bit + 1]] = 235
    return image


def number_of(image: np.ndarray) -> int:
    """The number that a picture shows, whatever its size."""
    height, width = image.shape[:2]
    bars = image[round(height * 0.65) : round(height * 0.9)].mean((0, 2))
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return int("".join("1" if bars[x] > 110 else "0" for x in centres), 2)


def write_video(
    path: Path,
    pts: Sequence[int],
    *,
    time_base: Fraction = Fraction(1, 1000),
    size: tuple[int, int] = (320, 240),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    pixel_aspect: Fraction | None = None,
    audio_s: float = 0.0,
    container_options: dict[str, str] | None = None,
    noise: bool = False,
) -> Path:
    """A file whose frame i shows i at pts[i] ticks; the container may use a finer time base.

    With `noise` every packet has some size, so that damage anywhere hits a picture.
    """
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.time_base = time_base
        stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        if pixel_aspect is not None:
            stream.sample_aspect_ratio = pixel_aspect
        sound = container.add_stream("aac", rate=16000, layout="mono") if audio_s else None
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, round(audio_s * 16000)), np.float32), "fltp", "mono"
            )
            silence.sample_rate = 16000
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
        container.start_encoding()
        for number, at in enumerate(pts):
            image = numbered(number % 2**BITS, *size)
            if noise:
                image += rng.integers(0, 20, image.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = at, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """A file with a second of silence and nothing else."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        silence.sample_rate = 16000
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix a b c d (in whole units) into the track header of an mp4 file."""
    data = bytearray(path.read_bytes())
    box = data.index(b"tkhd") + 4
    # Version, flags, times, id, duration, reserved, layer, group and volume come before it.
    version = data[box]
    start = box + (52 if version == 1 else 40)
    a, b, c, d = (value << 16 for value in matrix)
    rows = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
    data[start : start + 36] = np.array(rows, ">i4").tobytes()
    path.write_bytes(data)
    return path
