"""The places and things of the generated film, drawn with noise and simple shapes.

A painter makes a background, uint8 RGB [height, width, 3]. A sprite is a thing that faces right,
float32 [height, width, 4]: RGB in [0, 255] and opacity in [0, 1]; the thing fills its height.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from seal.types import Float32, UInt8

Rng = np.random.Generator
Colour = tuple[int, int, int]
Weather = Callable[[UInt8, int], None]

_HORIZON = 64
"""Hills on the horizon are about this many pixels long."""


@dataclass(frozen=True)
class Thing:
    """Something that moves."""

    label: str
    shape: Callable[[UInt8, Colour], None]
    """Draws on a 200 x 200 RGBA picture in the given colour."""
    colour: Colour
    height: tuple[float, float]
    """Between these, in picture heights."""
    rolls: bool = False

    def sprite(self, height: int, rng: Rng) -> Float32:
        """The thing, shaded and with a grain of its own, `height` pixels high."""
        big = np.zeros((200, 200, 4), np.uint8)
        self.shape(big, self.colour)
        rows, columns = (np.flatnonzero(big[:, :, 3].any(axis)) for axis in (1, 0))
        big = big[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        shade = np.linspace(1.15, 0.75, len(big), dtype=np.float32)[:, None]
        if self.rolls:
            shade = np.ones_like(shade)
        grain = 1 + 0.12 * (noise(big.shape[1], len(big), rng, 12) - 0.5)
        drawn = big.astype(np.float32)
        drawn[:, :, :3] = np.minimum(drawn[:, :, :3] * (shade * grain)[:, :, None], 255)
        drawn[:, :, 3] /= 255
        # Opacity goes into the colours before they are mixed, and out again after.
        drawn[:, :, :3] *= drawn[:, :, 3:]
        width = max(2, round(height * drawn.shape[1] / drawn.shape[0]))
        small = cv2.resize(drawn, (width, max(2, height)), interpolation=cv2.INTER_AREA)
        small[:, :, :3] /= np.maximum(small[:, :, 3:], 1e-3)
        # A rim without opacity, so that edges stay soft when the sprite is turned.
        return np.asarray(cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_REPLICATE)) * _rim(
            small.shape[0] + 2, small.shape[1] + 2
        )


@dataclass(frozen=True)
class Scene:
    """A place and what can be seen to move there."""

    label: str
    paint: Callable[[int, int, Rng], UInt8]
    things: tuple[Thing, ...]
    ground: tuple[float, float]
    """Things are between these, in picture heights below the middle."""
    weather: Callable[[int, int, Rng], Weather]


def noise(width: int, height: int, rng: Rng, finest_px: float, stretch: float = 1.0) -> Float32:
    """[height, width] in [0, 1]: octaves of smooth noise, from the picture's size to `finest_px`.

    `stretch` above 1 makes it longer than high.
    """
    total = np.zeros((height, width), np.float32)
    cell, weight = height / 2.0, 1.0
    while cell >= finest_px:
        shape = (max(2, round(height / cell)), max(2, round(width / (cell * stretch))))
        octave = rng.random(shape, np.float32)
        total += weight * cv2.resize(octave, (width, height), interpolation=cv2.INTER_CUBIC)
        cell, weight = cell / 2, weight * 0.75
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def _rim(height: int, width: int) -> Float32:
    rim = np.ones((height, width, 4), np.float32)
    rim[[0, -1], :, 3] = 0
    rim[:, [0, -1], 3] = 0
    return rim


def _blend(mix: Float32, low: Colour, high: Colour) -> Float32:
    a, b = np.array(low, np.float32), np.array(high, np.float32)
    return np.asarray(a + mix[:, :, None] * (b - a), np.float32)


def _done(image: Float32) -> UInt8:
    return np.clip(image, 0, 255).astype(np.uint8)


# Places


def _field(low: Colour, high: Colour, finest_px: float, stretch: float) -> Callable[..., Float32]:
    """Open ground up to a horizon of gentle hills, and a sky."""

    def paint(width: int, height: int, rng: Rng, sky: Colour, pale: Colour) -> Float32:
        ground = _blend(noise(width, height, rng, finest_px, stretch), low, high)
        hills = noise(width, 2 * _HORIZON, rng, _HORIZON / 2)[_HORIZON]
        line = 0.36 * height + 0.05 * height * (hills - 0.5) / stretch
        above = np.arange(height)[:, None] < line
        clouds = _blend(noise(width, height, rng, 8, 3), sky, pale)
        return np.where(above[:, :, None], clouds, ground).astype(np.float32)

    return paint


def _meadow(width: int, height: int, rng: Rng) -> UInt8:
    field = _field((40, 105, 30), (120, 185, 70), 2, 0.6)
    image = _done(field(width, height, rng, (120, 170, 230), (235, 240, 250)))
    for x, y in rng.uniform((0, 0.42 * height), (width, height), (150, 2)).astype(int).tolist():
        colour = [(240, 240, 235), (235, 215, 80)][int(rng.integers(2))]
        cv2.circle(image, (x, y), int(rng.integers(1, 4)), colour, -1, cv2.LINE_AA)
    return image


def _sea(width: int, height: int, rng: Rng) -> UInt8:
    field = _field((15, 60, 135), (70, 140, 205), 2.5, 4)
    return _done(field(width, height, rng, (165, 200, 235), (240, 245, 250)))


def _snow(width: int, height: int, rng: Rng) -> UInt8:
    field = _field((195, 205, 222), (246, 248, 252), 3, 2)
    image = _done(field(width, height, rng, (150, 165, 185), (200, 208, 220)))
    for _ in range(26):
        x, tall = int(rng.integers(width)), int(rng.uniform(0.08, 0.2) * height)
        y = int(rng.uniform(0.36, 0.5) * height)
        for k in range(3):
            top, reach = y - tall + k * tall // 4, (k + 2) * tall // 9
            points = np.array(
                [[x, top], [x - reach, top + tall // 2], [x + reach, top + tall // 2]]
            )
            shade = rng.uniform(0.8, 1.2)
            cv2.fillPoly(image, [points], (30 * shade, 70 * shade, 50 * shade), cv2.LINE_AA)
    return image


def _desert(width: int, height: int, rng: Rng) -> UInt8:
    field = _field((185, 125, 60), (238, 190, 120), 3, 5)
    image = _done(field(width, height, rng, (120, 180, 225), (215, 228, 235)))
    for _ in range(20):
        x, y = int(rng.integers(width)), int(rng.uniform(0.42, 1) * height)
        radius = int(rng.uniform(0.008, 0.03) * height)
        cv2.ellipse(image, (x, y), (2 * radius, radius), 0, 0, 360, (120, 80, 50), -1, cv2.LINE_AA)
    return image


def _houses(image: UInt8, rng: Rng, bottom: int, walls: list[Colour], panes: list[Colour]) -> None:
    """A row of houses with windows, down to row `bottom`."""
    x = 0
    while x < image.shape[1]:
        wide = int(rng.uniform(0.1, 0.2) * image.shape[1])
        top = int(rng.uniform(0, 0.35) * bottom)
        wall = walls[int(rng.integers(len(walls)))]
        cv2.rectangle(image, (x, top), (x + wide, bottom), wall, -1)
        step = max(8, wide // 5)
        for wx in range(x + step // 3, x + wide - step // 2, step):
            for wy in range(top + step // 2, bottom - step, step):
                pane = panes[int(rng.integers(len(panes)))]
                cv2.rectangle(image, (wx, wy), (wx + step // 2, wy + 2 * step // 3), pane, -1)
        x += wide


def _street(width: int, height: int, rng: Rng) -> UInt8:
    image = _done(_blend(noise(width, height, rng, 2), (88, 88, 92), (142, 142, 145)))
    walls = [(150, 120, 100), (175, 165, 150), (130, 135, 140), (160, 140, 125)]
    _houses(image, rng, int(0.4 * height), walls, [(60, 70, 85), (85, 95, 110)])
    pavement = slice(int(0.4 * height), int(0.46 * height))
    image[pavement] = _done(image[pavement] * 1.35)
    for x in range(0, width, width // 10):
        cv2.rectangle(
            image, (x, int(0.7 * height)), (x + width // 20, int(0.715 * height)), (225,) * 3, -1
        )
    return image


def _night(width: int, height: int, rng: Rng) -> UInt8:
    image = _done(_blend(noise(width, height, rng, 3), (8, 10, 25), (38, 42, 68)))
    for x, y in rng.uniform((0, 0), (width, 0.4 * height), (120, 2)).astype(int).tolist():
        image[y, x] = 200
    panes = [(20, 20, 32), (20, 20, 32), (150, 130, 70)]
    _houses(image, rng, int(0.45 * height), [(16, 16, 28), (26, 24, 36)], panes)
    return image


def _room(width: int, height: int, rng: Rng) -> UInt8:
    image = _blend(noise(width, height, rng, 2, 8), (120, 72, 38), (176, 118, 70))
    for y in range(0, height, max(8, height // 18)):
        image[y : y + 2] *= 0.7
    wall = int(0.38 * height)
    image[:wall] = _blend(noise(width, wall, rng, 3), (205, 195, 165), (228, 220, 198))
    picture = _done(image)
    for x in range(width // 12, width, width // 6):
        frame = (x, wall // 4), (x + width // 14, 3 * wall // 4)
        cv2.rectangle(picture, *frame, tuple(map(int, rng.integers(60, 200, 3))), -1)
        cv2.rectangle(picture, *frame, (90, 60, 30), 3)
    return picture


def _sky(width: int, height: int, rng: Rng) -> UInt8:
    return _done(_blend(noise(width, height, rng, 3, 2) ** 1.5, (70, 130, 215), (245, 248, 252)))


def _clear(width: int, height: int, rng: Rng) -> Weather:
    """Nothing falls."""

    def fall(image: UInt8, i: int) -> None:
        pass

    return fall


def _flakes(width: int, height: int, rng: Rng) -> Weather:
    """Snow that falls and drifts."""
    start = rng.uniform((0, 0), (width, height), (90, 2))
    speed = rng.uniform((-1, 1.5), (1, 4), (90, 2)) * height / 360

    def fall(image: UInt8, i: int) -> None:
        for x, y in ((start + i * speed) % (width, height)).astype(int).tolist():
            cv2.circle(image, (x, y), 1, (250, 250, 250), -1, cv2.LINE_AA)

    return fall


# Things


def _ball(image: UInt8, colour: Colour) -> None:
    cv2.circle(image, (100, 100), 95, (*colour, 255), -1, cv2.LINE_AA)
    dark = tuple(c // 2 for c in colour)
    cv2.ellipse(image, (100, 100), (95, 30), 30, 0, 360, (*dark, 255), 5, cv2.LINE_AA)
    cv2.circle(image, (65, 65), 22, (*(min(255, c + 90) for c in colour), 255), -1, cv2.LINE_AA)


def _boat(image: UInt8, colour: Colour) -> None:
    hull = np.array([[5, 120], [195, 120], [165, 170], [35, 170]])
    cv2.fillPoly(image, [hull], (*colour, 255), cv2.LINE_AA)
    cv2.rectangle(image, (60, 85), (125, 120), (*colour, 255), -1)
    cv2.rectangle(image, (70, 92), (115, 110), (60, 60, 70, 255), -1)
    cv2.rectangle(image, (95, 50), (103, 85), (90, 60, 40, 255), -1)
    cv2.line(image, (20, 140), (180, 140), (90, 60, 40, 255), 5)


def _sail(image: UInt8, colour: Colour) -> None:
    cv2.fillPoly(image, [np.array([[95, 10], [95, 150], [20, 150]])], (*colour, 255))
    cv2.fillPoly(image, [np.array([[103, 25], [103, 150], [165, 150]])], (*colour, 255))
    cv2.rectangle(image, (94, 5), (104, 165), (80, 50, 30, 255), -1)
    cv2.fillPoly(
        image, [np.array([[15, 160], [180, 160], [150, 195], [40, 195]])], (110, 65, 35, 255)
    )


def _car(image: UInt8, colour: Colour) -> None:
    cabin = np.array([[50, 75], [75, 45], [140, 45], [165, 78]])
    cv2.fillPoly(image, [cabin], (*colour, 255), cv2.LINE_AA)
    cv2.rectangle(image, (5, 75), (195, 118), (*colour, 255), -1)
    cv2.fillPoly(
        image, [np.array([[62, 74], [80, 53], [103, 53], [103, 74]])], (170, 200, 215, 255)
    )
    cv2.fillPoly(
        image, [np.array([[110, 74], [110, 53], [136, 53], [152, 74]])], (170, 200, 215, 255)
    )
    for x in (48, 152):
        cv2.circle(image, (x, 118), 20, (25, 25, 28, 255), -1, cv2.LINE_AA)
        cv2.circle(image, (x, 118), 9, (150, 150, 155, 255), -1, cv2.LINE_AA)
    cv2.rectangle(image, (186, 82), (195, 94), (250, 240, 170, 255), -1)


def _truck(image: UInt8, colour: Colour) -> None:
    cv2.rectangle(image, (5, 30), (135, 130), (*colour, 255), -1)
    cv2.rectangle(image, (140, 60), (195, 130), (170, 60, 50, 255), -1)
    cv2.rectangle(image, (160, 68), (192, 95), (170, 200, 215, 255), -1)
    cv2.line(image, (5, 75), (135, 75), (60, 90, 160, 255), 10)
    for x in (35, 100, 165):
        cv2.circle(image, (x, 132), 18, (25, 25, 28, 255), -1, cv2.LINE_AA)


def _person(image: UInt8, colour: Colour) -> None:
    cv2.rectangle(image, (82, 120), (98, 195), (45, 50, 80, 255), -1)
    cv2.rectangle(image, (102, 120), (118, 195), (45, 50, 80, 255), -1)
    cv2.ellipse(image, (100, 88), (28, 45), 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)
    cv2.circle(image, (100, 26), 20, (215, 165, 130, 255), -1, cv2.LINE_AA)
    cv2.ellipse(image, (98, 18), (20, 13), 0, 180, 360, (60, 35, 20, 255), -1, cv2.LINE_AA)


def _light(image: UInt8, colour: Colour) -> None:
    cv2.circle(image, (100, 100), 92, (*(3 * c // 5 for c in colour), 255), -1, cv2.LINE_AA)
    cv2.circle(image, (100, 100), 70, (*colour, 255), -1, cv2.LINE_AA)
    cv2.circle(image, (100, 100), 40, (255, 252, 230, 255), -1, cv2.LINE_AA)


def _train(image: UInt8, colour: Colour) -> None:
    cv2.rectangle(image, (5, 70), (195, 125), (*colour, 255), -1)
    for x in range(15, 175, 27):
        cv2.rectangle(image, (x, 80), (x + 17, 98), (250, 230, 140, 255), -1)
    cv2.line(image, (5, 112), (195, 112), (235, 235, 235, 255), 4)
    for x in range(25, 190, 30):
        cv2.circle(image, (x, 126), 8, (70, 70, 75, 255), -1, cv2.LINE_AA)


def _sled(image: UInt8, colour: Colour) -> None:
    cv2.rectangle(image, (15, 110), (165, 132), (*colour, 255), -1)
    cv2.ellipse(image, (165, 125), (28, 28), 0, -90, 60, (*colour, 255), 10, cv2.LINE_AA)
    cv2.rectangle(image, (10, 150), (175, 160), (90, 60, 40, 255), -1)
    for x in (35, 140):
        cv2.rectangle(image, (x, 130), (x + 9, 152), (90, 60, 40, 255), -1)
    cv2.ellipse(image, (85, 80), (38, 36), 0, 0, 360, (*(c // 2 for c in colour), 255), -1)
    cv2.circle(image, (92, 38), 19, (215, 165, 130, 255), -1, cv2.LINE_AA)


def _penguin(image: UInt8, colour: Colour) -> None:
    cv2.ellipse(image, (100, 110), (52, 82), 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)
    cv2.ellipse(image, (112, 122), (34, 60), 0, 0, 360, (240, 240, 238, 255), -1, cv2.LINE_AA)
    cv2.circle(image, (106, 40), 30, (*colour, 255), -1, cv2.LINE_AA)
    cv2.fillPoly(image, [np.array([[130, 34], [160, 44], [130, 52]])], (240, 160, 40, 255))
    cv2.circle(image, (116, 34), 6, (250, 250, 250, 255), -1, cv2.LINE_AA)
    cv2.ellipse(image, (105, 192), (35, 7), 0, 0, 360, (240, 160, 40, 255), -1, cv2.LINE_AA)


def _balloon(image: UInt8, colour: Colour) -> None:
    cv2.ellipse(image, (100, 75), (70, 72), 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)
    for wide in (18, 46):
        cv2.ellipse(image, (100, 75), (wide, 71), 0, 0, 360, (245, 235, 205, 255), 7, cv2.LINE_AA)
    for x in (60, 140):
        cv2.line(image, (x, 132), (100 + (x - 100) // 4, 172), (90, 60, 40, 255), 3)
    cv2.rectangle(image, (84, 168), (116, 196), (125, 80, 40, 255), -1)


def _plane(image: UInt8, colour: Colour) -> None:
    cv2.ellipse(image, (105, 100), (92, 17), 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)
    cv2.fillPoly(image, [np.array([[15, 100], [5, 55], [30, 55], [52, 92]])], (*colour, 255))
    cv2.fillPoly(
        image, [np.array([[85, 100], [50, 145], [75, 145], [130, 104]])], (70, 70, 80, 255)
    )
    for x in range(60, 170, 18):
        cv2.circle(image, (x, 95), 4, (60, 70, 90, 255), -1, cv2.LINE_AA)


def _robot(image: UInt8, colour: Colour) -> None:
    cv2.rectangle(image, (60, 75), (140, 150), (*colour, 255), -1)
    cv2.rectangle(image, (70, 20), (130, 70), (*colour, 255), -1)
    for x in (86, 114):
        cv2.circle(image, (x, 42), 9, (250, 250, 210, 255), -1, cv2.LINE_AA)
    cv2.rectangle(image, (78, 95), (122, 125), (60, 60, 75, 255), -1)
    for x in (68, 112):
        cv2.rectangle(image, (x, 150), (x + 20, 196), (90, 90, 100, 255), -1)
    for x in (38, 144):
        cv2.rectangle(image, (x, 80), (x + 17, 135), (90, 90, 100, 255), -1)
    cv2.line(image, (100, 20), (100, 5), (90, 90, 100, 255), 4)


SCENES = (
    Scene(
        "a green meadow",
        _meadow,
        (
            Thing("a red ball", _ball, (215, 35, 30), (0.14, 0.28), rolls=True),
            Thing("a person in a white shirt", _person, (238, 236, 230), (0.3, 0.5)),
        ),
        (-0.05, 0.25),
        _clear,
    ),
    Scene(
        "a blue sea",
        _sea,
        (
            Thing("a yellow boat", _boat, (245, 205, 40), (0.14, 0.28)),
            Thing("a sailing boat with a white sail", _sail, (244, 242, 236), (0.3, 0.5)),
        ),
        (-0.05, 0.2),
        _clear,
    ),
    Scene(
        "a grey street with houses",
        _street,
        (
            Thing("a blue car", _car, (35, 80, 200), (0.14, 0.26)),
            Thing("a green car", _car, (40, 150, 70), (0.14, 0.26)),
            Thing("a person in an orange coat", _person, (240, 130, 30), (0.28, 0.42)),
        ),
        (0.0, 0.25),
        _clear,
    ),
    Scene(
        "a city at night",
        _night,
        (
            Thing("a bright light in the dark", _light, (255, 215, 110), (0.1, 0.2)),
            Thing("a train with lit windows at night", _train, (95, 45, 60), (0.12, 0.2)),
        ),
        (-0.1, 0.2),
        _clear,
    ),
    Scene(
        "a snowy landscape",
        _snow,
        (
            Thing("a purple sled in the snow", _sled, (140, 50, 170), (0.18, 0.34)),
            Thing("a black penguin in the snow", _penguin, (30, 30, 40), (0.2, 0.4)),
        ),
        (0.0, 0.25),
        _flakes,
    ),
    Scene(
        "a sandy desert",
        _desert,
        (
            Thing("a white truck in the desert", _truck, (236, 236, 232), (0.18, 0.34)),
            Thing("a black ball in the sand", _ball, (45, 45, 50), (0.12, 0.22), rolls=True),
        ),
        (0.0, 0.25),
        _clear,
    ),
    Scene(
        "a room with a wooden floor",
        _room,
        (
            Thing("a pink robot", _robot, (240, 120, 175), (0.24, 0.44)),
            Thing("a green toy train", _train, (50, 150, 80), (0.1, 0.18)),
            Thing("a blue ball", _ball, (40, 80, 215), (0.12, 0.22), rolls=True),
        ),
        (0.0, 0.25),
        _clear,
    ),
    Scene(
        "clouds in a blue sky",
        _sky,
        (
            Thing("an orange hot-air balloon", _balloon, (240, 125, 35), (0.28, 0.5)),
            Thing("a red plane in the sky", _plane, (200, 40, 45), (0.1, 0.18)),
        ),
        (-0.25, 0.2),
        _clear,
    ),
)
