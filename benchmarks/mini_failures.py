"""What `mini` does not tell apart, as numbers and as pictures to look at.

    python benchmarks/mini_failures.py --out DIR

Probes: two pictures that we draw, which differ in one respect, and two descriptions, each of one
of them. A description is answered rightly if its own picture is the more relevant one (chance is
0.5, a tie counts half). DIR/probes.jpg shows one of each kind. Where the real footage is at hand,
DIR/needles.jpg and DIR/photos.jpg show the clips and the held-out photos whose descriptions do
worst, beside what is taken for them; those pictures are not ours to pass on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

import mini_needles
from mini_needles import data, relevance
from seal.config import MiniEncode
from seal.encode.mini import MiniEncoder
from seal.evaluate.drawing import SCENES, Colour, Rng
from seal.types import Float32, UInt8

TRIALS = 100
HEIGHT, WIDTH = 270, 480
RESAMPLES = 2000
WORST = 6
COLOURS = {"red": (215, 35, 30), "blue": (35, 80, 200), "yellow": (245, 205, 40)}
COLOURS |= {"green": (40, 150, 70), "black": (30, 30, 35), "white": (240, 240, 235)}
SHAPES = {
    name: next(thing for scene in SCENES for thing in scene.things if name in thing.label)
    for name in ("ball", "car", "boat", "person", "plane")
}
PLACES = {scene.label: scene for scene in SCENES}
STREET, MEADOW = "a grey street with houses", "a green meadow"


def picture(place: str, rng: Rng) -> UInt8:
    return PLACES[place].paint(WIDTH, HEIGHT, rng)


def draw(
    image: UInt8, shape: str, colour: Colour, x: float, rng: Rng, height: float = 0.4
) -> UInt8:
    """The picture with a thing in it, its middle at x in [0, 1], standing at three quarters."""
    sprite = replace(SHAPES[shape], colour=colour).sprite(round(height * HEIGHT), rng)
    rows, columns = sprite.shape[:2]
    top, left = round(0.75 * HEIGHT) - rows, round(x * WIDTH) - columns // 2
    out = image.copy()
    patch = out[top : top + rows, left : left + columns]
    opacity = sprite[:, :, 3:]
    patch[:] = (sprite[:, :, :3] * opacity + patch * (1 - opacity)).round()
    return out


def sign(image: UInt8, word: str) -> UInt8:
    out = image.copy()
    cv2.rectangle(out, (110, 70), (370, 190), (245, 245, 240), -1)
    cv2.rectangle(out, (110, 70), (370, 190), (60, 60, 60), 4)
    cv2.putText(out, word, (140, 155), cv2.FONT_HERSHEY_SIMPLEX, 2.2, (30, 30, 30), 7)
    return out


Pair = tuple[UInt8, UInt8, str, str]
"""Two pictures and their descriptions."""


def two(rng: Rng, names: list[str]) -> tuple[str, str]:
    a, b = rng.choice(len(names), 2, replace=False)
    return names[a], names[b]


def the_place(rng: Rng) -> Pair:
    a, b = two(rng, list(PLACES))
    return picture(a, rng), picture(b, rng), a, b


def the_thing(rng: Rng) -> Pair:
    a, b = two(rng, ["ball", "car", "boat", "person", "plane"])
    colour, back, x = two(rng, list(COLOURS))[0], picture(MEADOW, rng), rng.uniform(0.3, 0.7)
    images = [draw(back, shape, COLOURS[colour], x, rng) for shape in (a, b)]
    return *images, f"a {colour} {a}", f"a {colour} {b}"


def the_colour(rng: Rng) -> Pair:
    a, b = two(rng, list(COLOURS))
    shape, back = two(rng, ["ball", "car"])[0], picture(STREET, rng)
    x = rng.uniform(0.3, 0.7)
    images = [draw(back, shape, COLOURS[colour], x, rng) for colour in (a, b)]
    return *images, f"a {a} {shape}", f"a {b} {shape}"


def the_size(rng: Rng) -> Pair:
    colour, back, x = two(rng, list(COLOURS))[0], picture(MEADOW, rng), rng.uniform(0.3, 0.7)
    images = [draw(back, "ball", COLOURS[colour], x, rng, height) for height in (0.15, 0.6)]
    return *images, f"a small {colour} ball", f"a large {colour} ball"


def whose_colour(rng: Rng) -> Pair:
    a, b = two(rng, list(COLOURS))
    back, left = picture(MEADOW, rng), rng.uniform(0.2, 0.35)
    images = []
    for ball, car in ((a, b), (b, a)):
        image = draw(back, "ball", COLOURS[ball], left, rng)
        images.append(draw(image, "car", COLOURS[car], left + 0.4, rng))
    return *images, f"a {a} ball and a {b} car", f"a {b} ball and a {a} car"


def how_many(rng: Rng) -> Pair:
    colour, back = two(rng, list(COLOURS))[0], picture(MEADOW, rng)
    one = draw(back, "ball", COLOURS[colour], rng.uniform(0.3, 0.7), rng, 0.3)
    three = back
    for x in (0.2, 0.5, 0.8):
        three = draw(three, "ball", COLOURS[colour], x, rng, 0.3)
    return one, three, f"one {colour} ball", f"three {colour} balls"


def which_side(rng: Rng) -> Pair:
    colour, back = two(rng, list(COLOURS))[0], picture(STREET, rng)
    images = []
    for ball, car in ((0.25, 0.7), (0.75, 0.3)):
        image = draw(back, "ball", COLOURS[colour], ball, rng)
        images.append(draw(image, "car", COLOURS[colour], car, rng))
    return *images, "a ball to the left of a car", "a ball to the right of a car"


def who_comes_first(rng: Rng) -> Pair:
    colour, back = two(rng, list(COLOURS))[0], picture(STREET, rng)
    images = []
    for person, car in ((0.2, 0.65), (0.8, 0.35)):
        image = draw(back, "person", COLOURS[colour], person, rng, 0.5)
        images.append(draw(image, "car", COLOURS[colour], car, rng))
    return *images, "a person to the left of a car", "a car to the left of a person"


def negation(rng: Rng) -> Pair:
    colour, back = two(rng, list(COLOURS))[0], picture(STREET, rng)
    shown = draw(back, "car", COLOURS[colour], rng.uniform(0.3, 0.7), rng)
    return shown, back, "a street with a car", "a street without a car"


def writing(rng: Rng) -> Pair:
    a, b = two(rng, ["STOP", "EXIT", "TAXI", "BANK"])
    back = picture(STREET, rng)
    images = [sign(back, word) for word in (a, b)]
    return *images, f"a sign that says {a.lower()}", f"a sign that says {b.lower()}"


PROBES: dict[str, Callable[[Rng], Pair]] = {
    "the place": the_place,
    "the thing": the_thing,
    "its colour": the_colour,
    "its size": the_size,
    "which thing has which colour": whose_colour,
    "how many": how_many,
    "left and right": which_side,
    "the order of words": who_comes_first,
    "negation": negation,
    "writing": writing,
}


@dataclass(frozen=True)
class Tile:
    """A picture with lines of text below it."""

    image: UInt8
    lines: list[str]


def sheet(rows: list[tuple[str, list[Tile]]], path: Path, columns: int = 1) -> None:
    """Rows of tiles, each row with a title, in columns; a JPEG."""
    wide, high, text, gap = 264, 149, 18, 14
    title, body = ImageFont.load_default(17), ImageFont.load_default(13)
    count = max(len(tiles) for _, tiles in rows)
    lines = max(len(tile.lines) for _, tiles in rows for tile in tiles)
    width, height = count * (wide + gap) + 2 * gap, 30 + high + text * lines + 2 * gap
    down = -(-len(rows) // columns)
    page = Image.new("RGB", (columns * width, down * height + gap), (252, 252, 250))
    pen = ImageDraw.Draw(page)
    for i, (name, tiles) in enumerate(rows):
        left, top = i // down * width + gap, i % down * height + gap
        pen.text((left, top), name, (26, 26, 24), title)
        for j, tile in enumerate(tiles):
            x = left + j * (wide + gap)
            page.paste(ImageOps.contain(Image.fromarray(tile.image), (wide, high)), (x, top + 28))
            for k, line in enumerate(tile.lines):
                cut = line if len(line) <= 46 else line[:44] + "..."
                pen.text((x, top + 32 + high + text * k), cut, (60, 60, 56), body)
    page.save(path, quality=60)


def probes(encoder: MiniEncoder, path: Path) -> None:
    rows = []
    print("| two pictures differ in | descriptions answered rightly | 95 % interval |")
    print("|---|---|---|")
    for name, probe in PROBES.items():
        rng = np.random.default_rng(0)
        right = np.empty(TRIALS)
        for trial in range(TRIALS):
            a, b, *texts = probe(rng)
            scores = relevance(encoder, texts, encoder.encode_images([a, b])[:, 0])
            margins = scores[0, 0] - scores[0, 1], scores[1, 1] - scores[1, 0]
            right[trial] = np.mean([(np.sign(np.round(m, 6)) + 1) / 2 for m in margins])
            if trial == 0:
                tiles = [
                    Tile(image, [f"{scores[t, i]:+.2f}  {texts[t]}" for t in (0, 1)])
                    for i, image in enumerate((a, b))
                ]
        draws = np.random.default_rng(1).integers(0, TRIALS, (RESAMPLES, TRIALS))
        low, high = np.percentile(right[draws].mean(1), (2.5, 97.5))
        print(f"| {name} | {right.mean():.2f} | {low:.2f} to {high:.2f} |")
        rows.append((f"{name}: {right.mean():.2f} right", tiles))
    sheet(rows, path, columns=2)


def worst(names: list[str], images: list[UInt8], scores: Float32, path: Path) -> None:
    """The descriptions whose own picture ranks last, with the two that rank first."""
    ranks = mini_needles.ranks(scores)
    rows = []
    for i in np.argsort(-ranks.astype(int), kind="stable")[:WORST]:
        first = np.argsort(-scores[i])[:2]
        tiles = [Tile(images[i], [f"{scores[i, i]:+.2f}, rank {ranks[i] + 1} of {len(names)}"])]
        tiles += [
            Tile(images[j], [f"{scores[i, j]:+.2f}, rank {k + 1}"]) for k, j in enumerate(first)
        ]
        rows.append((names[i], tiles))
    sheet(rows, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    encoder = MiniEncoder(MiniEncode())
    probes(encoder, folder / "probes.jpg")
    if not data.DATA.is_dir():
        print(f"no real footage in {data.DATA}: probes only")
        return
    needles = mini_needles.needles(data.DATA)
    frames = [mini_needles.frames_of(data.DATA / needle["file"]) for needle in needles]
    clips = np.stack([encoder.encode_images(several)[:, 0].mean(0) for several in frames])
    texts = [needle["queries"][0] for needle in needles]
    middles = [several[len(several) // 2] for several in frames]
    worst(texts, middles, relevance(encoder, texts, clips), folder / "needles.jpg")
    images, captions = mini_needles.held_out()
    texts = [several[0] for several in captions]
    pictures = encoder.encode_images(images)[:, 0]
    worst(texts, images, relevance(encoder, texts, pictures), folder / "photos.jpg")


if __name__ == "__main__":
    main()
