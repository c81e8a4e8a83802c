"""The blur of the ablation benchmark is what a camera would make of its motion."""

import numpy as np
import pytest

from benchmarks.ablation_blur import (
    Motion,
    blur_linear,
    blur_photograph,
    linear_to_srgb,
    motion_of,
    random_motion,
    smooth_trajectory,
    srgb_to_linear,
)

HEIGHT, WIDTH = 120, 160


def still(frames: int = 25) -> dict[str, np.ndarray]:
    return {
        "shift": np.zeros((frames, 2)),
        "angle": np.zeros(frames),
        "zoom": np.zeros(frames),
        "object_shift": np.zeros((frames, 2)),
        "object_mask": np.zeros((HEIGHT, WIDTH), np.float32),
    }


@pytest.fixture
def motion() -> Motion:
    return random_motion(np.random.default_rng(3), HEIGHT, WIDTH)


def point_response(motion: Motion, y: int, x: int) -> np.ndarray:
    light = np.zeros((HEIGHT, WIDTH), np.float32)
    light[y, x] = 1
    return blur_linear(light, motion)


def test_srgb_curve_has_the_standard_values_and_an_inverse() -> None:
    # 50 % sRGB is 21.4 % of the light; the linear part has slope 12.92.
    assert srgb_to_linear(np.array(0.5)) == pytest.approx(0.21404, abs=1e-5)
    assert srgb_to_linear(np.array(0.02)) == pytest.approx(0.02 / 12.92)
    values = np.linspace(0, 1, 256)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7)


def test_black_beside_white_is_averaged_as_light() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, WIDTH // 2 :] = 255
    sideways = still(2) | {"shift": np.array([[-4.0, 0], [4.0, 0]])}
    blurred = blur_photograph(image, Motion(**sideways))
    # Half of the light, not half of the code value: 188 and not 128.
    assert (blurred[:, WIDTH // 2 - 3 : WIDTH // 2 + 3] == 188).all()
    assert (blurred[:, : WIDTH // 2 - 5] == 0).all()


def test_constant_image_stays(motion: Motion) -> None:
    image = np.full((HEIGHT, WIDTH, 3), (200, 90, 13), np.uint8)
    np.testing.assert_array_equal(blur_photograph(image, motion), image)


def test_no_motion_no_blur() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    np.testing.assert_array_equal(blur_photograph(image, Motion(**still())), image)


def test_mean_light_of_the_inside_is_kept(motion: Motion) -> None:
    rng = np.random.default_rng(1)
    light = np.zeros((HEIGHT, WIDTH), np.float32)
    light[20:-20, 20:-20] = rng.random((HEIGHT - 40, WIDTH - 40))
    assert blur_linear(light, motion).mean() == pytest.approx(light.mean(), rel=5e-3)


def test_a_point_becomes_the_trajectory_with_energy_one() -> None:
    steps = np.array([[-3.0, 1], [-1, 0], [0, 0], [2, -2], [2, 1]])
    kernel = point_response(Motion(**(still(5) | {"shift": steps})), 60, 80)
    expected = np.zeros((HEIGHT, WIDTH))
    for dx, dy in steps.astype(int):
        expected[60 - dy, 80 - dx] += 1 / 5
    np.testing.assert_allclose(kernel, expected, atol=1e-6)
    assert kernel.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)


def test_points_in_two_places_have_different_kernels(motion: Motion) -> None:
    windows = [point_response(motion, y, x)[y - 15 : y + 16, x - 15 : x + 16] for y, x in ((20, 20), (100, 140))]
    # Shares of energy that are not at the same place of the two kernels: 1 would be no overlap at all.
    assert np.abs(windows[0] - windows[1]).sum() / 2 > 0.1


def test_the_object_moves_and_the_background_does_not() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[30:90, 40:120] = 1
    shifts = np.array([[-2.0, 0], [2.0, 0]])
    moving = Motion(**(still(2) | {"object_shift": shifts, "object_mask": mask}))
    inside, outside = point_response(moving, 60, 80), point_response(moving, 10, 10)
    assert inside[60, 78] == inside[60, 82] == pytest.approx(0.5)
    assert outside[10, 10] == pytest.approx(1)


def test_trajectories_are_centred_and_scaled() -> None:
    path = smooth_trajectory(np.random.default_rng(5), 2)
    np.testing.assert_allclose(path.mean(axis=0), 0, atol=1e-12)
    assert (path**2).sum(axis=1).mean() == pytest.approx(1)
    # Smooth: every step is a small part of the way.
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert steps.max() < 0.2 * steps.sum()


def test_motions_follow_from_photograph_exposure_and_seed() -> None:
    first = motion_of("coins.png", 0, seed=1)
    np.testing.assert_array_equal(first.shift, motion_of("coins.png", 0, seed=1).shift)
    for other in (motion_of("coins.png", 1, 1), motion_of("coins.png", 0, 2), motion_of("page.png", 0, 1)):
        assert np.abs(first.shift - other.shift).max() > 0.01
