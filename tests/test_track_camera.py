"""What the camera did, what moves by itself, and what the camera's motion explains."""

import cv2
import numpy as np
import pytest

from seal.track.camera import Camera, soft, unexplained
from seal.track.steps import Steps, positions

HEIGHT, WIDTH = 90, 160
PIXELS = positions(HEIGHT, WIDTH)


def world(seed: int, contrast: float = 1.0) -> np.ndarray:
    """Grey, blurred noise of several sizes, of three times the width and height."""
    rng = np.random.default_rng(seed)
    size = 3 * WIDTH, 3 * HEIGHT
    layers = [cv2.resize(rng.random((n, 2 * n), np.float32), size) for n in (6, 25, 90)]
    grey = 80 * layers[0] + 90 * layers[1] + 80 * layers[2]
    return (125 + contrast * (grey - 125)).astype(np.uint8)


def seen(image: np.ndarray, x: int, y: int) -> np.ndarray:
    """What a camera that went so many px right and down sees of the world."""
    return image[HEIGHT + y : 2 * HEIGHT + y, WIDTH + x : 2 * WIDTH + x].copy()


@pytest.mark.parametrize("shift", [(3, 0), (25, 4), (45, -10)])
def test_a_camera_that_turns_far_is_followed(shift: tuple[int, int]) -> None:
    # The search of dense flow alone ends at some 10 px.
    image = world(3)
    motion = Camera(HEIGHT, WIDTH).motion(seen(image, 0, 0), seen(image, *shift))
    x, y = np.abs(shift) + 8
    inside = motion.residual[y : HEIGHT - y, x : WIDTH - x]
    np.testing.assert_allclose(motion.camera[:2, 2], shift, atol=0.7)
    assert np.median(np.hypot(*inside.reshape(-1, 2).T)) < 0.3
    np.testing.assert_allclose(motion.camera @ motion.onward, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("step", [20, 35, 50])
def test_a_large_mover_does_not_shift_the_camera(step: int) -> None:
    # The peak of the correlation is that of a sharp thing before a dim world, which stands still.
    earlier, later = seen(world(3, 0.3), 0, 0), seen(world(3, 0.3), 0, 0)
    thing = seen(world(12), 0, 0)[25:70, 20:80]
    earlier[25:70, 20:80] = thing
    later[25:70, 20 + step : 80 + step] = thing
    above = Camera(HEIGHT, WIDTH).motion(earlier, later).flow[3:20]
    assert np.hypot(*above.reshape(-1, 2).T).mean() < 0.5


def explained(flow: np.ndarray) -> tuple:
    return Camera(HEIGHT, WIDTH)._explain(flow.astype(np.float32))


def test_a_zooming_camera_is_no_mover() -> None:
    zoom = 0.06 * (PIXELS - (80, 45)) + 0.02 * (PIXELS - (80, 45))[..., ::-1] * (1, -1)
    motion, typical_px = explained(zoom)
    assert typical_px < 0.01
    assert motion.residual_square.max() < 0.01


def test_what_moves_does_not_move_the_camera() -> None:
    # A quarter of the picture goes 3 px by itself; flow errs by a third of a pixel.
    rng = np.random.default_rng(0)
    flow = rng.normal(0, 0.3, (HEIGHT, WIDTH, 2))
    moving = np.zeros((HEIGHT, WIDTH), bool)
    moving[10:80, 10:61] = True
    flow[moving] += (3, 0)
    motion, _ = explained(flow)
    assert np.abs(motion.residual[~moving].mean(0)).max() < 0.2
    np.testing.assert_allclose(motion.residual[moving].mean(0), (3, 0), atol=0.3)


@pytest.mark.parametrize("deviation", [0.5, 1.0])
def test_noise_is_the_deviation_of_the_background(deviation: float) -> None:
    rng = np.random.default_rng(1)
    flow = rng.normal(0, deviation, (HEIGHT, WIDTH, 2))
    # Hardly changed by what moves.
    flow[:, :20] += 9
    motion, typical_px = explained(flow)
    assert motion.noise_px == pytest.approx(deviation, rel=0.25)
    assert motion.noise_px == pytest.approx(typical_px / 1.18)


def test_a_still_background_has_some_noise_nevertheless() -> None:
    motion, typical_px = explained(np.zeros((HEIGHT, WIDTH, 2)))
    assert typical_px < 1e-3
    assert motion.noise_px == 0.18


def test_residual_square_is_the_squared_length() -> None:
    motion, _ = explained(np.random.default_rng(2).normal(0, 2, (HEIGHT, WIDTH, 2)))
    np.testing.assert_allclose(motion.residual_square, (motion.residual**2).sum(2), rtol=1e-5)


@pytest.mark.parametrize("bend_px", [0.0, 0.2])
def test_where_no_homography_fits_the_camera_shifts_by_the_median(bend_px: float) -> None:
    # All of the picture comes from one line, or nearly so: a homography of that has no inverse.
    flow = np.zeros((HEIGHT, WIDTH, 2))
    flow[..., 0] = 5
    flow[..., 1] = 20 - PIXELS[..., 1] + bend_px * np.sin(PIXELS[..., 0])
    motion, _ = explained(flow)
    np.testing.assert_allclose(motion.camera[:2, 2], (5, 20 - 44.5), atol=2)
    assert abs(np.linalg.det(motion.camera)) > 0.1
    np.testing.assert_array_equal(motion.camera[:2, :2], np.eye(2))
    assert np.isfinite(motion.onward).all()


def test_pictures_between_are_used_from_seven_tenths_of_a_pixel_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = seen(world(1), 0, 0)
    camera = Camera(HEIGHT, WIDTH)
    in_steps = np.full((HEIGHT, WIDTH, 2), 5, np.float32)
    monkeypatch.setattr(camera._steps, "flow", lambda pictures: in_steps)
    rng = np.random.default_rng(4)
    for typical_px, is_used in ((0.6, False), (0.8, True)):
        flow = rng.normal(0, typical_px / 1.18, (HEIGHT, WIDTH, 2)).astype(np.float32)
        monkeypatch.setattr(camera, "_flow", lambda earlier, later, flow=flow: flow)
        assert (camera.motion(image, image, [image]).flow is in_steps) == is_used
        assert camera.motion(image, image).flow is flow


def test_flow_is_exact_to_a_fraction_of_a_pixel() -> None:
    # Sharp pictures of a world of four times the size, which moves by 6 and 2 of its pixels.
    big = cv2.resize(world(6), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    one, other = (
        cv2.resize(big[y : y + 360, x : x + 640], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        for x, y in ((400, 300), (406, 302))
    )
    flow = Camera(HEIGHT, WIDTH).motion(one, other).flow[10:-10, 10:-10]
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), (1.5, 0.5), atol=0.1)
    assert np.abs(flow - (1.5, 0.5)).mean() < 0.2


def test_steps_reach_the_rim_and_know_odd_sizes() -> None:
    image = world(2)
    pictures = [image[50 : 50 + 91, 60 + 4 * k : 60 + 4 * k + 161] for k in range(4)]
    flow = Steps(91, 161).flow(pictures)
    assert flow.shape == (91, 161, 2)
    # What was to the right of the rim before is not black, and flow beside it not torn.
    assert np.abs(np.median(flow[20:70, :120], axis=(0, 1)) - (12, 0)).max() < 0.5


# What the camera's motion does not explain.

GREY = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
STILL = np.eye(3)


def changed(by: int, *, channel: int = 0, side: int = 20) -> np.ndarray:
    """A square in the middle that differs from the rest."""
    image = GREY.astype(int)
    image[35 : 35 + side, 70 : 70 + side, channel] += by
    return image.astype(np.uint8)


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("by", [-9, -6, -3, 3, 4, 6, 9])
def test_change_counts_by_how_much_it_is_above_noise(by: int, channel: int) -> None:
    got = unexplained(changed(by, channel=channel), GREY, STILL)
    # 6 levels are as likely as not noise; of the whole picture's mean square a quarter is usual.
    usual = 6.0**2 + by**2 * 20 * 20 / (HEIGHT * WIDTH) / 4
    assert got[45, 80] == pytest.approx(min(1, 2 * by**2 / (by**2 + usual)), rel=1e-3)
    assert got[5, 5] == 0


def test_changes_of_all_channels_add_up() -> None:
    image = changed(2)
    image[..., 1:] = changed(2, channel=1)[..., 1:2]
    usual = 6.0**2 + 6**2 * 20 * 20 / (HEIGHT * WIDTH) / 4
    assert unexplained(image, GREY, STILL)[45, 80] == pytest.approx(2 * 36 / (36 + usual), rel=1e-3)


@pytest.mark.parametrize("upright", [True, False])
def test_an_edge_vouches_for_three_px_around(upright: bool) -> None:
    image = GREY.copy()
    image[(slice(30, 60), 80) if upright else (45, slice(60, 100))] = 250
    got = unexplained(image, GREY, STILL)
    # The edge is blurred by a pixel.
    across, middle = (got[45], 80) if upright else (got[:, 80], 45)
    assert (across[middle - 4 : middle + 5] > 0.3).all()
    assert (across[[middle - 5, middle + 5]] == 0).all()


def test_a_single_pixel_is_noise() -> None:
    image = GREY.copy()
    image[45, 80] = 255
    assert unexplained(image, GREY, STILL).max() < 0.25


def test_what_is_a_pixel_off_is_explained() -> None:
    image = cv2.cvtColor(cv2.cvtColor(seen(world(5), 0, 0), cv2.COLOR_GRAY2RGB), cv2.COLOR_RGB2Lab)
    moved = np.roll(image, (1, -1), (0, 1))
    assert unexplained(moved, image, STILL)[6:-6, 6:-6].max() == 0


def test_a_pan_is_explained_up_to_the_rim() -> None:
    # Of a world of stripes, what comes into view is what was at the rim.
    image = GREY.copy()
    image[::7] = (30, 90, 160)
    pan = np.array([[1, 0, 25.0], [0, 1, 0], [0, 0, 1]])
    assert unexplained(image, image, pan).max() == 0


def test_soft_is_a_half_at_its_half() -> None:
    np.testing.assert_allclose(soft(np.float32([0, 3, 9]), 3), [0, 0.5, 0.75], rtol=1e-6)
