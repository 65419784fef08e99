"""Cuts are noticed, and only cuts."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from seal.decompose.shots import Shots
from seal.video.frame import Frame


def texture(seed: int, colour: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = cv2.resize(rng.random((20, 40), np.float32), (900, 256), interpolation=cv2.INTER_CUBIC)
    return np.clip(grain[:, :, None] * np.array(colour), 0, 255).astype(np.uint8)


GREEN, BLUE = texture(1, (90, 220, 60)), texture(2, (50, 90, 230))


def cuts(images: list[np.ndarray]) -> list[int]:
    shots = Shots()
    return [
        i
        for i, image in enumerate(images)
        if shots.push(Frame(image, i, i + 1, Fraction(1, 5), False))
    ]


def test_a_cut_is_the_first_frame_of_the_new_shot() -> None:
    assert cuts([GREEN[:, :455]] * 5 + [BLUE[:, :455]] * 5 + [GREEN[:, 400:855]] * 5) == [5, 10]


def test_the_first_frame_is_no_cut() -> None:
    assert cuts([GREEN[:, :455]]) == []


@pytest.mark.parametrize("step", [3, 20, 60])
def test_a_pan_is_no_cut(step: int) -> None:
    assert cuts([GREEN[:, x : x + 400] for x in range(0, 480, step)]) == []


def test_noise_and_fades_are_no_cuts() -> None:
    rng = np.random.default_rng(0)
    images = []
    for i in range(30):
        faded = GREEN[:, :455] * (1 - 0.02 * i) + rng.normal(0, 6, (256, 455, 3))
        images.append(np.clip(faded, 0, 255).astype(np.uint8))
    assert cuts(images) == []


def test_flat_pictures() -> None:
    black, white = (np.full((90, 160, 3), level, np.uint8) for level in (0, 255))
    assert cuts([black] * 4 + [white] * 4) == [4]
