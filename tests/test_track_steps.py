"""Flow in steps finds what one step is too short for."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.track.camera import Camera
from seal.track.steps import Steps, positions

HEIGHT, WIDTH = 90, 160


def world(seed: int) -> np.ndarray:
    """Something to look at: grey, blurred noise of several sizes."""
    rng = np.random.default_rng(seed)
    size = 3 * WIDTH, 3 * HEIGHT
    layers = [cv2.resize(rng.random((n, 2 * n), np.float32), size) for n in (6, 25, 90)]
    return (80 * layers[0] + 90 * layers[1] + 80 * layers[2]).astype(np.uint8)


def views(seed: int, step: tuple[int, int], count: int) -> list[np.ndarray]:
    """A camera that goes `step` px right and down over the world from picture to picture."""
    image = world(seed)
    x, y = WIDTH + step[0] * np.arange(count), HEIGHT + step[1] * np.arange(count)
    return [image[v : v + HEIGHT, u : u + WIDTH].copy() for u, v in zip(x, y, strict=True)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    step=st.tuples(st.integers(-7, 7), st.integers(-3, 3)),
    between=st.integers(0, 4),
)
def test_steps_add_up(seed: int, step: tuple[int, int], between: int) -> None:
    pictures = views(seed, step, between + 2)
    flow = Steps(HEIGHT, WIDTH).flow(pictures)
    assert flow.shape == (HEIGHT, WIDTH, 2)
    # The later picture shows what lay that much further right and down: it was there before.
    total = np.array(step) * (between + 1)
    # At the rim the world comes into view, and nothing says from where.
    x, y = np.abs(total) + 12
    inside = flow[y : HEIGHT - y, x : WIDTH - x].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inside, axis=0), total, atol=0.7)


@pytest.mark.parametrize("seed", range(3))
def test_pictures_between_are_used_where_one_step_fails(seed: int) -> None:
    # The camera tears over the world and stays with a thing, which one step sees alone.
    pictures = views(seed, (9, 0), 6)
    for picture in pictures:
        picture[27:63, 30:130] = world(seed + 9)[:36, :100]
    first, *between, last = pictures
    camera = Camera(HEIGHT, WIDTH)
    thing, behind = np.s_[35:55, 38:122], np.s_[4:20, 5:110]
    for pictures, is_found in ((between, True), ((), False)):
        flow = camera.motion(first, last, pictures).flow
        assert np.hypot(*np.median(flow[thing].reshape(-1, 2), axis=0)) < 1
        error = np.hypot(*(np.median(flow[behind].reshape(-1, 2), axis=0) - (45, 0)))
        assert (error < 2) == is_found


def test_one_step_is_enough_where_it_explains_the_picture() -> None:
    first, last = views(5, (9, 2), 2)
    camera = Camera(HEIGHT, WIDTH)
    noise = [np.zeros((45, 80), np.uint8)]
    np.testing.assert_array_equal(
        camera.motion(first, last).flow, camera.motion(first, last, noise).flow
    )


@pytest.mark.parametrize(("size", "half"), [((90, 160), (45, 80)), ((91, 161), (46, 81))])
def test_steps_are_matched_at_half_the_size(size: tuple[int, int], half: tuple[int, int]) -> None:
    # Five steps then take as long as one at full size.
    matched = []

    class Matcher:
        def calc(self, later: np.ndarray, earlier: np.ndarray, _: None) -> np.ndarray:
            matched.append((later.shape, earlier.shape))
            return np.ones((*half, 2), np.float32)

    steps = Steps(*size)
    steps._dis = Matcher()
    flow = steps.flow([np.zeros((45, 80), np.uint8)] * 4)
    assert matched == [(half, half)] * 3
    scale = np.divide(size[::-1], half[::-1])
    np.testing.assert_allclose(flow, np.broadcast_to(3 * scale, flow.shape), rtol=1e-5)


def test_each_step_is_looked_up_where_the_step_after_it_came_from() -> None:
    # Each step spreads the picture by a tenth from its middle.
    centre = positions(45, 80) - np.float32((40, 22))

    class Matcher:
        def calc(self, *_: object) -> np.ndarray:
            return 0.1 * centre

    steps = Steps(90, 160)
    steps._dis = Matcher()
    flow = steps.flow([np.zeros((90, 160), np.uint8)] * 4)
    middle = flow[30:58:2, 50:110:2]
    want = 2 * (1.1**3 - 1) * centre[15:29, 25:55]
    np.testing.assert_allclose(middle, want, atol=0.4)
    # Three steps from where the picture began would spread it less.
    assert np.abs(middle - 2 * 0.3 * centre[15:29, 25:55]).max() > 0.8
