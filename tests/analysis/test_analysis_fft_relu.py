"""The pattern of a ReLU in Fourier space, and its principal axis for blurs whose direction is known."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from deeprftv2_arch.analysis.fft_relu import fft_relu_pattern
from deeprftv2_arch.analysis.principal_axis import principal_axis
from deeprftv2_arch.errors import DataError

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "coins.png")
FINE = 8  # a pixel's parts, of which a kernel is drawn


def photograph(name: str) -> np.ndarray:
    path = Path(skimage.__file__).parent / "data" / name
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)


def coordinates(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x to the right and y up of the parts of all pixels of a kernel."""
    pixels = 2 * (int(radius) + 2) + 1
    line = (np.arange(pixels * FINE) - (pixels * FINE - 1) / 2) / FINE
    return np.meshgrid(line, -line)


def drawn(inside: np.ndarray) -> np.ndarray:
    side = len(inside) // FINE
    kernel = inside.astype(float).reshape(side, FINE, side, FINE).mean(axis=(1, 3))
    return kernel / kernel.sum()


def motion(length: float, angle: float) -> np.ndarray:
    x, y = coordinates(length / 2)
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return drawn((np.abs(x * cosine + y * sine) <= length / 2) & (np.abs(y * cosine - x * sine) <= 0.5))


def disc(radius: float) -> np.ndarray:
    return drawn(np.hypot(*coordinates(radius)) <= radius)


def exposed(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the blurred image as a file of 8 bits has it; the kernels here are symmetric about their middle."""
    return np.rint(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT)).clip(0, 255)


def between(first: float, second: float) -> float:
    """Return the angle between two undirected directions."""
    return abs((first - second + 90) % 180 - 90)


def test_pattern_by_hand() -> None:
    # The spectrum of [4, 2, 0, 2] is [8, 4, 0, 4], all positive: the ReLU changes nothing, and half of B is left.
    np.testing.assert_allclose(fft_relu_pattern(np.array([[4.0, 2, 0, 2]])), [[0, 1, 2, 1]], atol=1e-12)
    # That of [0, 1, 2, 1] is [4, -2, 0, -2]: with zeros for the -2 the inverse is 1 everywhere, less half of B.
    np.testing.assert_allclose(fft_relu_pattern(np.array([[0.0, 1, 2, 1]])), [[0, 0.5, 1, 0.5]], atol=1e-12)


def test_pattern_is_half_the_inverse_of_the_strengths_of_the_real_parts() -> None:
    image = np.random.default_rng(0).random((7, 10, 3))
    pattern = fft_relu_pattern(image)
    rows, columns = np.arange(7), np.arange(10)
    for channel in range(3):
        waves = np.exp(-2j * np.pi * np.outer(rows, rows) / 7), np.exp(-2j * np.pi * np.outer(columns, columns) / 10)
        strengths = np.abs((waves[0] @ image[:, :, channel] @ waves[1]).real)
        inverse = (waves[0].conj() @ strengths @ waves[1].conj()).real / 70
        np.testing.assert_allclose(pattern[:, :, channel], np.roll(inverse, (3, 5), axis=(0, 1)) / 2, atol=1e-12)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_axis_of_a_straight_motion_and_roundness_of_a_defocus(name: str) -> None:
    image = photograph(name)
    for length, angle in ((8, 25), (8, 115), (14, 0), (14, 70), (22, 45), (22, 160), (33, 90), (33, 130)):
        axis = principal_axis(fft_relu_pattern(exposed(image, motion(length, angle))))
        assert between(axis.angle, angle) <= 10, (length, angle)
        assert axis.roundness < 0.8, (length, angle)
    for radius in (2.5, 6):
        assert principal_axis(fft_relu_pattern(exposed(image, disc(radius)))).roundness > 0.85


def test_axis_on_photographs_that_it_was_not_made_with(real_photographs: list[Path]) -> None:
    for index, path in enumerate(real_photographs):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        length, angle = 9 + 2 * index, 37 * index % 180
        axis = principal_axis(fft_relu_pattern(exposed(image, motion(length, angle))))
        assert between(axis.angle, angle) <= 10, (path.name, length, angle)


def test_axis_turns_with_the_image() -> None:
    pattern = fft_relu_pattern(exposed(photograph("coffee.png"), motion(15, 30)))
    assert between(principal_axis(pattern).angle, 30) <= 2
    odd = pattern[1:, 1:]  # symmetric about the middle
    assert between(principal_axis(odd[:, ::-1]).angle, 150) <= 2
    assert between(principal_axis(odd.T).angle, 60) <= 2


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (np.ones((1, 1)), "a pattern of 1x1 is too small"),
        (np.ones((64, 31)), "at least 32x32"),
        (np.ones((64, 64, 3)), "too small"),
        (np.zeros((64, 64)), "the image is flat"),
        (fft_relu_pattern(np.full((64, 64), 0.3)), "the image is flat"),
        (np.full((64, 64), np.nan), "not finite"),
    ],
)
def test_no_axis(pattern: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        principal_axis(pattern)
