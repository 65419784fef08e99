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


def board(layout: int, tinted: float, width: int = 16) -> np.ndarray:
    """Nine rows of light and dark squares in an order of its own; the share on the left is tinted.

    Half of the squares are light in every layout, so that layouts have the same colours.
    """
    rng = np.random.default_rng(layout)
    light = rng.permutation(np.arange(9 * width) % 2).reshape(9, width)
    lab = np.full((9, width, 3), 136, np.uint8)
    lab[..., 0] = np.where(light, 176, 80)
    lab[:, : round(tinted * width), 1] = 168
    rgb = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
    return rgb.repeat(20, 0).repeat(20, 1)


@pytest.mark.parametrize(
    ("layout", "tinted", "cut"),
    [
        # The light changed.
        (0, 0.45, False),
        # Something else, in some of the same colours.
        (5, 0.45, True),
        # The same things, which moved about.
        (5, 0.1, False),
        # Hardly a colour is as before, wherever it is.
        (0, 0.8, True),
    ],
)
def test_a_cut_changes_colours_and_layout_or_most_colours(
    layout: int, tinted: float, cut: bool
) -> None:
    assert cuts([board(0, 0)] * 3 + [board(layout, tinted)] * 3) == [3] * cut


@pytest.mark.parametrize(("quiet", "cut"), [(0, False), (1, False), (12, True)])
def test_a_cut_stands_out_from_what_changed_of_late(quiet: int, cut: bool) -> None:
    # Flashing lights change half of the colours from picture to picture.
    flashes = [board(0, 0), board(0, 0.5)] * 5
    images = [*flashes, *[flashes[-1]] * quiet, board(5, 0)]
    assert cuts(images) == [len(images) - 1] * cut


def test_a_cut_stands_out_from_small_changes() -> None:
    images = [board(0, 0), board(0, 0.13)] * 5
    assert cuts([*images, board(5, 0.6)]) == [10]


def test_a_shot_of_one_picture_has_two_cuts() -> None:
    assert cuts([board(0, 0), board(0, 0), board(5, 1), board(9, 0.5)]) == [2, 3]


def test_a_pan_into_another_light_is_no_cut() -> None:
    before, after = board(0, 0, width=32), board(0, 0.3, width=32)
    assert cuts([before[:, :320]] * 4 + [after[:, 60:380]]) == []
    # Without the pan's shift undone it would be one, as another picture in that light is.
    assert cuts([before[:, :320]] * 4 + [board(5, 0.4)]) == [4]


def test_a_flat_picture_that_is_a_level_lighter_is_no_cut() -> None:
    # The level falls into another bin of the histogram.
    flat = [np.full((90, 160, 3), level, np.uint8) for level in (118, 119, 120, 121, 122)]
    assert cuts([picture for picture in flat for _ in range(4)]) == []


def test_a_slight_tint_counts() -> None:
    # Chroma of real pictures fills the middle half of its range: bins are narrow.
    faint = board(0, 0.8)
    lab = cv2.cvtColor(faint, cv2.COLOR_RGB2Lab)
    lab[..., 1] = np.where(lab[..., 1] > 150, 152, 136)
    faint = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
    assert cuts([board(0, 0)] * 3 + [faint]) == [3]


def test_what_comes_into_view_at_the_rim_is_no_cut() -> None:
    image = board(5, 0.6)
    image[40:140, 60:260] = board(0, 0)[40:140, 60:260]
    assert cuts([board(0, 0)] * 3 + [image]) == []


def test_what_follows_black_fades_in() -> None:
    image = board(0, 0)
    black = np.zeros_like(image)
    image[:, 160:] = 0
    assert cuts([black] * 3 + [image]) == []


def test_whether_layouts_match_does_not_depend_on_what_was_asked_before() -> None:
    shots = Shots()
    described = [shots._describe(board(layout, 0))[1] for layout in (0, 5)]
    before = [layout.copy() for layout in described]
    shots._match(*described)
    np.testing.assert_array_equal(described, before)


def test_layouts_of_stripes_match_or_do_not() -> None:
    # The phase correlation of these is zero nearly everywhere: its peak is a hundred rows away.
    shots = Shots()
    for seed in (149, 156):
        stripes = np.random.default_rng(seed).integers(0, 256, (2, 4, 1, 3), np.uint8)
        one, other = (
            shots._describe(np.ascontiguousarray(s.repeat(9, 0).repeat(64, 1)))[1] for s in stripes
        )
        assert -1 - 1e-6 <= shots._match(one, other) <= 1 + 1e-6
