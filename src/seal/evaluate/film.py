"""A film with known contents: things that move before a moving camera, in scenes with a look.

    python -m seal.evaluate.film OUT.mp4 [--seed N] [--duration-s S]

writes OUT.mp4 and, beside it, OUT.json with what happens in it. The same seed makes the same
pictures. Scenes and things are drawn by `seal.evaluate.drawing`. The generator is part of the
package because `seal demo`, which whoever has installed the wheel alone can run, needs a film
that belongs to nobody.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from seal.evaluate.drawing import SCENES, Scene, Thing
from seal.types import Float32, Float64, Span, UInt8

_SHOT_S = (6.0, 11.0)
"""Shots last between these."""
_CANVAS = 1.8
"""The painted background is this much wider and higher than the picture: room for the camera."""
_VISIBLE = 0.35
"""A thing is present while at least this share of it is inside the picture."""
_NOISE = 2.5
"""Standard deviation of the sensor's noise, in grey levels."""


@dataclass(frozen=True, eq=False)
class Event:
    """Something that happens in a film."""

    kind: str
    """"scene": a shot of one place; "cut": where a shot starts; "object": a thing that moves, for
    as long as it is in the picture."""
    label: str
    """Such as "a red ball"; empty for a cut."""
    span: Span
    track: Float64
    """[m, 5] time_s x0 y0 x1 y1 of an object on every picture, normalised and cut off at the
    picture's edges, the parts that another thing hides included; [0, 5] for the rest."""


@dataclass(frozen=True, eq=False)
class _Shot:
    """One shot, planned: positions are in picture heights on the canvas, from its middle."""

    scene: Scene
    camera: Float64
    """[frames, 3] x, y and zoom."""
    things: list[Thing]
    sizes: list[float]
    """Height of each thing, in picture heights."""
    paths: list[Float64]
    """[frames, 2] where the middle of each thing is."""


def write_film(
    path: str | Path,
    seed: int = 0,
    duration_s: float = 120.0,
    size: tuple[int, int] = (640, 360),
    rate_hz: int = 25,
) -> list[Event]:
    """Write an H.264 film to `path`; what happens in it, in order of time.

    `size` is width and height in pixels, both even.
    """
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "22"}
        start = 0
        for scene, frames in _script(rng, round(duration_s * rate_hz), rate_hz):
            shot = _plan(scene, frames, rate_hz, size[0] / size[1], rng)
            boxes = np.zeros((len(shot.things), frames, 5))
            for i, image in enumerate(_render(shot, size, boxes, rng)):
                boxes[:, i, 0] = (start + i) / rate_hz
                # Converted here, exactly: the vector code of x264 already rounds a little
                # differently from run to run.
                planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
                picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                picture.pts, picture.time_base = start + i, Fraction(1, rate_hz)
                container.mux(stream.encode(picture))
            events += _events(shot, boxes, Span(start / rate_hz, (start + frames) / rate_hz))
            start += frames
        container.mux(stream.encode())
    return events


def _script(rng: np.random.Generator, frames: int, rate_hz: int) -> Iterator[tuple[Scene, int]]:
    """Scenes and how many frames each lasts: every scene once, then every scene again."""
    order: list[Scene] = []
    while frames > 0:
        if not order:
            order = [SCENES[i] for i in rng.permutation(len(SCENES))]
        length = round(rng.uniform(*_SHOT_S) * rate_hz)
        # No stump of a shot at the end.
        if frames - length < _SHOT_S[0] * rate_hz:
            length = frames
        yield order.pop(), length
        frames -= length


def _plan(
    scene: Scene, frames: int, rate_hz: int, aspect: float, rng: np.random.Generator
) -> _Shot:
    time_s = np.arange(frames) / rate_hz
    camera = _camera(time_s, aspect, rng)
    count = int(rng.integers(1, len(scene.things) + 1))
    things = [scene.things[i] for i in rng.permutation(len(scene.things))[:count]]
    sizes = [float(rng.uniform(*thing.height)) for thing in things]
    # Two things at one height that go opposite ways meet: about half of the pairs do.
    meet = count > 1 and rng.random() < 0.6
    low, high = scene.ground
    level, toward = rng.uniform(low, high), rng.choice([-1, 1])
    paths = []
    for k in range(count):
        y = level + rng.uniform(-0.03, 0.03) if meet else rng.uniform(low, high)
        direction = toward * (-1) ** k if meet else rng.choice([-1, 1])
        paths.append(_path(time_s, camera, aspect, y, float(direction), rng))
    return _Shot(scene, camera, things, sizes, paths)


def _camera(time_s: Float64, aspect: float, rng: np.random.Generator) -> Float64:
    """[frames, 3]: still, panning, zooming or held by hand."""
    reach = (_CANVAS - 1) / 2
    still = rng.random() < 0.2
    t = time_s / time_s[-1]
    pan = rng.uniform(-0.7, 0.7) * reach * aspect
    tilt = rng.uniform(-0.3, 0.3) * reach
    zoom = rng.uniform(0.85, 1.2)
    # Smooth start and stop, for two thirds of the shots.
    pace = t if rng.random() < 0.33 else t * t * (3 - 2 * t)
    shake = rng.choice([0.0, 0.003, 0.008])
    wobble = np.zeros((len(t), 2))
    for hertz in (0.7, 1.9, 4.3):
        phase = rng.uniform(0, 2 * np.pi, 2)
        wobble += shake / hertz**0.5 * np.sin(2 * np.pi * hertz * time_s[:, None] + phase)
    move = 0.0 if still else 1.0
    return np.column_stack(
        [
            move * (pan * (pace - 0.5) + wobble[:, 0]),
            move * (tilt * (pace - 0.5) + wobble[:, 1]),
            1 + move * (zoom - 1) * pace,
        ]
    )


def _path(
    time_s: Float64,
    camera: Float64,
    aspect: float,
    y: float,
    direction: float,
    rng: np.random.Generator,
) -> Float64:
    """[frames, 2]: across the scene, at its own pace, and for some with a stop on the way."""
    end_s = time_s[-1]
    speed = rng.uniform(0.15, 0.45)
    go = np.ones(len(time_s))
    if rng.random() < 0.5:
        stop_s = rng.uniform(0.3, 0.55) * end_s
        go[(time_s >= stop_s) & (time_s < stop_s + rng.uniform(1, 3))] = 0
        # Nothing stops at once.
        go = np.convolve(np.pad(go, 4, "edge"), np.ones(9) / 9, "valid")
    way = np.concatenate([[0], np.cumsum(go[:-1] * np.diff(time_s))]) * speed
    # In the middle of the picture at about half time, give or take: some enter, some leave.
    half = int(len(time_s) * rng.uniform(0.35, 0.65))
    x = camera[half, 0] + direction * (way - way[half]) + rng.uniform(-0.25, 0.25) * aspect
    bob = rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * way / speed)
    drift = rng.uniform(-0.25, 0.25) * (way - way[half])
    return np.column_stack([x, y + bob + drift])


def _render(
    shot: _Shot, size: tuple[int, int], boxes: Float64, rng: np.random.Generator
) -> Iterator[UInt8]:
    """The shot's pictures; fills `boxes` [things, frames, 5], NaN where one is not present."""
    width, height = size
    canvas = shot.scene.paint(round(width * _CANVAS), round(height * _CANVAS), rng)
    middle = np.array([canvas.shape[1], canvas.shape[0]]) / 2
    sprites = [
        thing.sprite(round(height * tall * 1.3), rng)
        for thing, tall in zip(shot.things, shot.sizes, strict=True)
    ]
    noise = [rng.normal(0, _NOISE, (height, width, 3)).astype(np.int16) for _ in range(5)]
    weather = shot.scene.weather(width, height, rng)
    for i, (x, y, zoom) in enumerate(shot.camera):
        shift = np.array([width, height]) / 2 - zoom * (middle + np.array([x, y]) * height)
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        image = cv2.warpAffine(canvas, matrix, size, borderMode=cv2.BORDER_REFLECT)
        for k, sprite in enumerate(sprites):
            scale = zoom * height * shot.sizes[k] / sprite.shape[0]
            centre = zoom * (middle + shot.paths[k][i] * height) + shift
            ahead = shot.paths[k][-1, 0] >= shot.paths[k][0, 0]
            angle = 0.0
            if shot.things[k].rolls:
                angle = -(shot.paths[k][i, 0] - shot.paths[k][0, 0]) / (shot.sizes[k] / 2)
            boxes[k, i, 1:] = _draw(image, sprite, centre, scale, angle, ahead)
        weather(image, i)
        yield cv2.add(image, noise[int(rng.integers(len(noise)))], dtype=cv2.CV_8U)


def _draw(
    image: UInt8, sprite: Float32, centre: Float64, scale: float, angle: float, ahead: bool
) -> Float64:
    """Draw a sprite [height, width, 4] into the picture; its normalised box, NaN if outside."""
    height, width = image.shape[:2]
    rows, columns = sprite.shape[:2]
    # A patch around the sprite, wherever it is: what lies outside the picture counts too.
    half = int(np.ceil(scale * np.hypot(rows, columns) / 2)) + 2
    corner = np.floor(centre).astype(int) - half
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    if not ahead:
        turn = turn @ np.diag([-1.0, 1.0])
    offset = centre - corner - turn @ (np.array([columns, rows]) / 2)
    patch = cv2.warpAffine(
        sprite, np.column_stack([turn, offset]), (2 * half, 2 * half), flags=cv2.INTER_LINEAR
    )
    solid = patch[:, :, 3] > 0.5
    low = np.maximum(-corner, 0)
    high = np.minimum(np.array([width, height]) - corner, 2 * half)
    if (low >= high).any():
        return np.full(4, np.nan)
    inside = (slice(low[1], high[1]), slice(low[0], high[0]))
    shown = solid[inside]
    alpha = patch[inside][:, :, 3:]
    view = image[corner[1] + low[1] : corner[1] + high[1], corner[0] + low[0] : corner[0] + high[0]]
    view[:] = view + alpha * (patch[inside][:, :, :3] - view)
    if shown.sum() < _VISIBLE * solid.sum() or not shown.any():
        return np.full(4, np.nan)
    x, y = np.flatnonzero(shown.any(0)), np.flatnonzero(shown.any(1))
    box = np.array([x[0], y[0], x[-1] + 1, y[-1] + 1]) + np.tile(corner + low, 2)
    return np.asarray(box / np.array([width, height, width, height]), np.float64)


def _events(shot: _Shot, boxes: Float64, span: Span) -> list[Event]:
    nothing = np.empty((0, 5))
    events = [Event("scene", shot.scene.label, span, nothing)]
    if span.start_s > 0:
        events.insert(0, Event("cut", "", Span(span.start_s, span.start_s), nothing))
    for thing, rows in zip(shot.things, boxes, strict=True):
        present = ~np.isnan(rows[:, 1])
        edges = np.flatnonzero(np.diff(present)) + 1
        for part in np.split(rows, edges):
            if not np.isnan(part[0, 1]):
                times = Span(float(part[0, 0]), float(part[-1, 0]))
                events.append(Event("object", thing.label, times, part))
    return sorted(events, key=lambda event: event.span.start_s)


def as_json(events: list[Event]) -> str:
    """The events as a JSON array of {kind, label, start_s, end_s, track}."""
    rows = [
        {
            "kind": event.kind,
            "label": event.label,
            "start_s": event.span.start_s,
            "end_s": event.span.end_s,
            "track": event.track.round(4).tolist(),
        }
        for event in events
    ]
    return json.dumps(rows)


def main() -> None:
    """Write a film and its events."""
    parser = argparse.ArgumentParser(description="Write a film with known contents.")
    parser.add_argument("out", type=Path, help="the film, .mp4; its events go to .json beside it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--duration-s", type=float, default=120.0)
    given = parser.parse_args()
    events = write_film(given.out, given.seed, given.duration_s)
    given.out.with_suffix(".json").write_text(as_json(events))


if __name__ == "__main__":
    main()
