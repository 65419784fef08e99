"""Photos with captions as clips: the camera pans over a photo, parts of it are objects.

Described clips are few, and photos with captions are many. A photo as a clip lacks motion and cuts
of its own. Its caption is real, and so is how much of the caption an encoder sees.
"""

from __future__ import annotations

import json
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from seal.config import NetworkOptions
from seal.encode import Encoder
from seal.errors import DataError
from seal.ground.composites import Footage
from seal.ground.words import words_of
from seal.kinds import SEEN
from seal.types import Float32, Float64, Span, Strings, Tokens, UInt8

LENGTH_S = 10.0
_VIEWS = 4
"""Pictures along the pan; the embeddings between them are interpolated."""
_PARTS = 6
_RATE_HZ, _KEY_S = 5.0, 0.5
"""Of the dense index: scenes, and keyframes with objects."""
_TICKS_PER_S = 10**6
_NOISE = 0.15
"""The same object looks a little different on each keyframe; length beside an embedding's 1."""


class Photo(NamedTuple):
    """A photograph with the sentences that describe it."""

    image: UInt8
    """RGB [height, width, 3]."""
    captions: tuple[str, ...]


def read_photos(folder: str | Path, count: int, seed: int = 0) -> list[Photo]:
    """`count` of the photos with captions in the tar files of a folder, chosen by the seed.

    The files are in the WebDataset layout: pairs of KEY.webp (or .jpg) and KEY.json with a list
    "captions". Raises DataError if there are none or one cannot be read.
    """
    tars = sorted(Path(folder).glob("*.tar"))
    if not tars:
        raise DataError(f"{folder} has no tar files of photos with captions")
    photos: list[Photo] = []
    for number, path in enumerate(tars):
        # As many from each, and none too few in all.
        share = (count * (number + 1)) // len(tars) - (count * number) // len(tars)
        try:
            photos += _from_tar(path, share, np.random.default_rng([seed, number]))
        except (tarfile.TarError, KeyError, TypeError, ValueError, OSError) as error:
            raise DataError(f"{path} has no photos with captions: {error!r}") from error
    return photos


def _from_tar(path: Path, count: int, rng: np.random.Generator) -> list[Photo]:
    with tarfile.open(path) as tar:
        names = tar.getnames()
        pictures = {Path(name).stem: name for name in names if not name.endswith(".json")}
        texts = {
            Path(name).stem: json.loads(_read(tar, name))["captions"]
            for name in sorted(names)
            if name.endswith(".json")
        }
        keys = [key for key, captions in texts.items() if captions and key in pictures]
        chosen = (keys[i] for i in np.sort(rng.permutation(len(keys))[:count]))
        return [
            Photo(_picture(_read(tar, pictures[key]), pictures[key]), tuple(texts[key]))
            for key in chosen
        ]


def _picture(code: bytes, name: str) -> UInt8:
    image = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError(f"{name} is no picture that can be read")
    return np.asarray(image, np.uint8)


def clips_of(
    folder: str | Path, count: int, encoder: Encoder, head: NetworkOptions, seed: int = 0
) -> list[Footage]:
    """`count` of the photos in a folder as clips; see `read_photos` and `footage`."""
    rng = np.random.default_rng(seed)
    photos = read_photos(folder, count, seed)
    return [footage(photo, encoder, head, f"photo-{i}", rng) for i, photo in enumerate(photos)]


def footage(
    photo: Photo, encoder: Encoder, head: NetworkOptions, name: str, rng: np.random.Generator
) -> Footage:
    """A clip of `LENGTH_S` as the dense index would have it. It has views along a pan, parts as
    objects, and parts as actions where the camera passes them, with crops if `head` sees them."""
    size, corners = _pan(rng)
    views = [photo.image[_box(photo.image, x, y, size, size)] for x, y in corners]
    parts, boxes = _parts(photo.image, rng)
    facets = encoder.encode_images([*views, *parts])
    times_s = np.arange(0, LENGTH_S, 1 / _RATE_HZ)
    along = times_s / LENGTH_S * (_VIEWS - 1)
    left = np.minimum(along.astype(int), _VIEWS - 2)
    share = (along - left)[:, None, None].astype(np.float32)
    scenes = (1 - share) * facets[left] + share * facets[left + 1]
    keys_s = np.arange(0, LENGTH_S, _KEY_S)
    which = np.tile(np.arange(_PARTS), len(keys_s))
    noise = rng.standard_normal((len(which), *facets.shape[1:])).astype(np.float32)
    objects = facets[_VIEWS:][which] + _NOISE * noise / np.float32(facets.shape[2] ** 0.5)
    followed = rng.integers(0, _PARTS, int(rng.integers(0, 4)))
    begin_s = rng.uniform(0, LENGTH_S - 1, len(followed))
    last_s = np.minimum(begin_s + rng.uniform(1, 5, len(followed)), LENGTH_S)
    starts = np.concatenate([times_s, np.repeat(keys_s, _PARTS), begin_s])
    ends = np.concatenate([times_s + 0.04, np.repeat(keys_s, _PARTS) + 0.04, last_s])
    counts = (len(times_s), len(which), len(followed))
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (len(times_s), 1))
    tokens = _tokens(
        name,
        np.repeat([kind.name for kind in SEEN], counts),
        np.stack([starts, ends], 1),
        np.concatenate([whole, boxes[which], boxes[followed]]),
        np.concatenate([scenes, objects, facets[_VIEWS:][followed]]),
    )
    queries = encoder.encode_texts(list(photo.captions))
    crops = None
    if head.crops:
        passed = (corners[-1] - corners[0]) * ((last_s - begin_s) / LENGTH_S)[:, None]
        crops = _passing(photo.image, boxes[followed], passed, head)
    words = tuple(words_of(encoder, text) for text in photo.captions) if head.by_words else ()
    return Footage(name, tokens, Span(0.0, LENGTH_S), queries, crops, words)


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is no file")
    return member.read()


def _pan(rng: np.random.Generator) -> tuple[float, Float64]:
    """The size of views of most of the picture, and their corners [views, 2], along a line."""
    size = rng.uniform(0.6, 0.95)
    ends = rng.uniform(0, 1 - size, (2, 2))
    return size, np.linspace(ends[0], ends[1], _VIEWS)


def _passing(image: UInt8, boxes: Float32, passed: Float64, head: NetworkOptions) -> UInt8:
    """[k, frames, side, side, 3] of parts `boxes` [k, 4], each in a window that moves over them by
    `passed` [k, 2] as the camera does."""
    crops = np.empty((len(boxes), head.crops, head.crop_px, head.crop_px, 3), np.uint8)
    shares = (np.arange(head.crops) + 0.5) / head.crops - 0.5
    for strip, (x0, y0, x1, y1), way in zip(crops, boxes.astype(float), passed, strict=True):
        width, height = x1 - x0, y1 - y0
        for picture, share in zip(strip, shares, strict=True):
            x, y = np.clip((x0, y0) + share * way, 0, (1 - width, 1 - height))
            window = image[_box(image, x, y, width, height)]
            picture[:] = cv2.resize(window, (head.crop_px, head.crop_px))
    return crops


def _parts(image: UInt8, rng: np.random.Generator) -> tuple[list[UInt8], Float32]:
    """Parts of the picture, and their boxes [parts, 4]."""
    width, height = rng.uniform(0.2, 0.7, (2, _PARTS))
    x, y = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    boxes = np.stack([x, y, x + width, y + height], 1).astype(np.float32)
    each = zip(x, y, width, height, strict=True)
    return [image[_box(image, *place)] for place in each], boxes


def _box(image: UInt8, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
    rows, columns = image.shape[:2]
    top, left = int(y * rows), int(x * columns)
    return (
        slice(top, top + max(1, int(height * rows))),
        slice(left, left + max(1, int(width * columns))),
    )


def _tokens(name: str, kinds: Strings, spans: Float64, boxes: Float32, facets: Float32) -> Tokens:
    return Tokens.of(
        kinds,
        np.rint(spans * _TICKS_PER_S),
        Fraction(1, _TICKS_PER_S),
        facets,
        ids=[f"{kind}-{i}" for i, kind in enumerate(kinds)],
        video_id=name,
        boxes=boxes,
    )
