"""Films of written text, with the exact time of each line: slides, captions, credits, tickers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = (  # noqa: SIM905
    "river mountain window garden market planet copper silver castle bridge winter summer orange"
    " letter number doctor engine forest island jacket kitchen ladder mirror needle office pencil"
    " rabbit saddle temple valley wagon yellow anchor basket candle desert eagle feather guitar"
    " hammer insect jungle kettle lemon magnet napkin ocean parrot quartz ribbon sailor tunnel"
    " umbrella violin walnut zebra archive balance climate decade energy fabric gallery harvest"
).split()


@dataclass(frozen=True)
class Written:
    """One line of text and when it is on the screen."""

    text: str
    x: float
    """Of its left edge, in px."""
    y: float
    """Of its upper edge, in px."""
    px: int
    start_s: float
    end_s: float
    ink: tuple[int, int, int] = (240, 240, 240)
    fade_s: float = 0.0
    """It is there to half at `start_s` and `end_s`, and fades so long around them."""
    speed_x: float = 0.0
    """px a second, from its place at `start_s`."""
    speed_y: float = 0.0

    def opacity(self, time_s: float) -> float:
        if not self.fade_s:
            return float(self.start_s <= time_s < self.end_s)
        rise = (time_s - self.start_s) / self.fade_s + 0.5
        fall = (self.end_s - time_s) / self.fade_s + 0.5
        return min(1.0, max(0.0, min(rise, fall)))

    @property
    def width(self) -> float:
        return ImageFont.load_default(self.px).getlength(self.text)

    def box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """x0 y0 x1 y1 in [0, 1] at its start."""
        x0, y0, x1, y1 = ImageFont.load_default(self.px).getbbox(self.text)
        width, height = size
        return (
            (self.x + x0) / width,
            (self.y + y0) / height,
            (self.x + x1) / width,
            (self.y + y1) / height,
        )


Background = Callable[[float], np.ndarray]
"""Seconds to a picture [height, width, 3]."""


def plain(size: tuple[int, int], colour: tuple[int, int, int] = (24, 40, 72)) -> Background:
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    return lambda time_s: image


def moving(size: tuple[int, int], seed: int = 0, speed: float = 80.0) -> Background:
    """A blurred landscape of spots that the camera passes, px a second."""
    rng = np.random.default_rng(seed)
    width, height = size
    coarse = rng.integers(20, 150, (height // 20, 2 * width // 20, 3)).astype(np.uint8)
    large = cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC)

    def at(time_s: float) -> np.ndarray:
        shift = int(abs((time_s * speed) % (2 * width) - width))
        return large[:, shift : shift + width]

    return at


def write_slides(
    path: Path,
    lines: Sequence[Written],
    duration_s: float,
    size: tuple[int, int] = (1280, 720),
    rate: int = 25,
    background: Background | None = None,
    crf: int = 23,
) -> Path:
    """A film with these lines on a background."""
    ground = background or plain(size)
    layers: dict[tuple[str, int, tuple[int, int, int]], np.ndarray] = {}
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": str(crf)}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(round(duration_s * rate)):
            time_s = number / rate
            image = ground(time_s).copy()
            for line in lines:
                opacity = line.opacity(time_s)
                if opacity:
                    _draw(image, line, time_s, opacity, layers)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _draw(
    image: np.ndarray,
    line: Written,
    time_s: float,
    opacity: float,
    layers: dict[tuple[str, int, tuple[int, int, int]], np.ndarray],
) -> None:
    key = line.text, line.px, line.ink
    if key not in layers:
        font = ImageFont.load_default(line.px)
        _, _, x1, y1 = font.getbbox(line.text)
        mask = Image.new("L", (math.ceil(x1) + 2, math.ceil(y1) + 2))
        ImageDraw.Draw(mask).text((0, 0), line.text, 255, font)
        layers[key] = np.asarray(mask, np.float32) / 255
    mask = layers[key]
    x = round(line.x + line.speed_x * (time_s - line.start_s))
    y = round(line.y + line.speed_y * (time_s - line.start_s))
    height, width = image.shape[:2]
    left, top = max(0, -x), max(0, -y)
    mask = mask[top : max(top, height - y), left : max(left, width - x)]
    if not mask.size:
        return
    part = image[max(0, y) :, max(0, x) :][: mask.shape[0], : mask.shape[1]]
    share = opacity * mask[..., None]
    part[:] = (part * (1 - share) + np.array(line.ink) * share).round().astype(np.uint8)


def credit(text: str, x: float, px: int, from_s: float, speed: float, height: int) -> Written:
    """A line that comes in below at `from_s` and goes out above, px a second; it is there while
    half of it is."""
    travelled_s = height / speed
    return Written(text, x, height - px / 2, px, from_s, from_s + travelled_s, speed_y=-speed)


def ticker(text: str, y: float, px: int, from_s: float, speed: float, width: int) -> Written:
    """A line that runs through the picture from right to left."""
    length = ImageFont.load_default(px).getlength(text)
    end_s = from_s + (width + length) / speed
    return Written(text, width, y, px, from_s, end_s, speed_x=-speed)


def sentence(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words)).capitalize()


def programme(
    seed: int, size: tuple[int, int] = (1280, 720)
) -> tuple[list[Written], float, Background]:
    """Ninety seconds with all of it: the lines, the length, the background."""
    chance = random.Random(seed)
    width, height = size
    lines: list[Written] = []
    at = 0.6
    grounds: list[tuple[float, Background]] = [(0.0, plain(size, (18, 30, 60)))]
    # Slides with a hard cut between them, of several layouts.
    for _ in range(4):
        length_s = chance.uniform(2.6, 5.5)
        ink = chance.choice([(240, 240, 240), (255, 220, 120), (160, 230, 255)])
        left = chance.choice([80, 200])
        lines.append(Written(sentence(chance, 3), left, 60, 56, at, at + length_s, ink))
        step = chance.choice([44, 56, 90])
        for row in range(chance.randint(2, 5)):
            y = 200 + row * step
            lines.append(Written(sentence(chance, 5), left + 20, y, 30, at, at + length_s, ink))
        at += length_s
        colour = tuple(chance.randint(10, 90) for _ in range(3))
        grounds.append((at, plain(size, colour)))  # type: ignore[arg-type]
    # Two slides that fade into each other.
    for _ in range(2):
        length_s = 4.0
        for row in range(3):
            y = 180 + 120 * row
            lines.append(Written(sentence(chance, 4), 120, y, 40, at, at + length_s, fade_s=0.8))
        at += length_s
    at += 0.8
    # A list that grows.
    end_s = at + 7.5
    for row in range(4):
        text = f"{row + 1}. {sentence(chance, 4)}"
        lines.append(Written(text, 140, 160 + 80 * row, 36, at + 1.6 * row, end_s))
    at = end_s + 0.8
    # A clock.
    for second in range(6):
        text = f"Time 10:42:{17 + second}"
        lines.append(Written(text, 480, 300, 48, at + second, at + second + 1))
    at += 6.8
    # The same text twice.
    text = sentence(chance, 4)
    lines += [
        Written(text, 200, 320, 44, at, at + 2.2),
        Written(text, 200, 320, 44, at + 4.4, at + 6.8),
    ]
    at += 7.4
    # Captions on a moving picture, one after the other.
    grounds.append((at, moving(size, seed)))
    for _ in range(5):
        length_s = chance.uniform(1.3, 3.2)
        text = sentence(chance, 5)
        x = (width - ImageFont.load_default(36).getlength(text)) / 2
        lines.append(Written(text, x, 610, 36, at, at + length_s, (255, 255, 255)))
        at += length_s + chance.choice([0.0, 0.0, 0.7])
    at += 0.8
    # Credits.
    grounds.append((at, plain(size, (0, 0, 0))))
    for row in range(8):
        lines.append(credit(sentence(chance, 3), 420, 34, at + 0.6 * row, 130, height))
    at = max(line.end_s for line in lines) + 0.6
    # A ticker below a title.
    text = ": ".join(sentence(chance, 4) for _ in range(4))
    running = ticker(text, 640, 36, at, 190, width)
    lines.append(running)
    lines.append(Written(sentence(chance, 3), 160, 240, 60, at + 1, running.end_s - 1))
    at = running.end_s + 0.8
    # A logo over everything.
    lines.append(Written("SEAL TV", width - 190, 28, 30, 0.0, at, (220, 220, 220)))

    def ground(time_s: float) -> np.ndarray:
        return next(each for start_s, each in reversed(grounds) if time_s >= start_s)(time_s)

    return lines, at, ground
