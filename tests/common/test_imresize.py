"""imresize against the formula written as loops, against what must hold for any kernel, and against real Set5 pairs."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deeprftv2_arch.common.imresize import contributions, cubic, imresize

NAMES = ("baby", "bird", "butterfly", "head", "woman")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def keys_kernel(x: Any) -> Any:
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def resized_line(line: np.ndarray, new_length: int) -> np.ndarray:
    """Resize one row or column, sample by sample, with the border written out instead of computed."""
    scale = new_length / len(line)
    stretch = min(scale, 1)
    reach = math.ceil(2 / stretch) + 1
    padded = [int(value) for value in np.pad(line, reach, mode="symmetric")]
    result = []
    for new in range(new_length):
        centre = (new + 0.5) / scale - 0.5
        weights = [keys_kernel(stretch * (centre - (old - reach))) for old in range(len(padded))]
        value = math.fsum(map(math.prod, zip(weights, padded, strict=True))) / math.fsum(weights)
        result.append(min(max(math.floor(value + 0.5), 0), 255))
    return np.array(result, np.uint8)


def rows_resized(plane: np.ndarray, new_height: int) -> np.ndarray:
    return np.stack([resized_line(column, new_height) for column in plane.T], axis=1)


def resized(plane: np.ndarray, size: tuple[int, int], rows_first: bool = True) -> np.ndarray:
    for rows in (rows_first, not rows_first):
        plane = rows_resized(plane, size[0]) if rows else rows_resized(plane.T, size[1]).T
    return plane


@pytest.mark.parametrize(
    ("shape", "size", "rows_first"),
    [
        ((12, 16), (6, 8), True),
        ((12, 15), (4, 5), True),
        ((16, 12), (4, 3), True),
        ((12, 15), (5, 4), False),  # the columns shrink more
        ((15, 12), (4, 5), True),
        ((5, 6), (10, 12), True),
        ((5, 4), (15, 12), True),
        ((4, 5), (16, 20), True),
        ((6, 9), (9, 4), False),  # one grows, one shrinks
        ((1, 2), (3, 6), True),  # smaller than the kernel
        ((3, 2), (1, 1), True),
    ],
)
def test_formula_as_loops(shape: tuple[int, int], size: tuple[int, int], rows_first: bool) -> None:
    image = noise(*shape)
    np.testing.assert_array_equal(imresize(image, size), resized(image, size, rows_first))


def test_rounding_in_between_matters_and_so_does_the_order() -> None:
    image = noise(24, 24)
    rows_first, columns_first = resized(image, (12, 12)), resized(image, (12, 12), rows_first=False)
    assert (rows_first != columns_first).any()
    np.testing.assert_array_equal(imresize(image, (12, 12)), rows_first)


def test_channels_are_resized_alone() -> None:
    image = noise(12, 9, 3)
    for channel in range(3):
        plane = imresize(image[..., channel], (4, 3))
        np.testing.assert_array_equal(imresize(image, (4, 3))[..., channel], plane)


def test_kernel_of_keys() -> None:
    x = np.linspace(-3, 3, 61)
    np.testing.assert_allclose(cubic(x), [keys_kernel(value) for value in x], atol=1e-14)
    assert cubic(np.array([0.5, 1.5])).tolist() == [9 / 16, -1 / 16]


@pytest.mark.parametrize(("length", "new_length"), [(12, 6), (12, 4), (13, 5), (5, 13), (3, 12), (1, 1), (2, 1)])
def test_weights_sum_to_one_and_indices_are_inside(length: int, new_length: int) -> None:
    indices, weights = contributions(length, new_length)
    assert indices.shape == weights.shape
    assert 0 <= indices.min() <= indices.max() < length
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-15)


@pytest.mark.parametrize("size", [(3, 4), (7, 5), (12, 16), (36, 48)])
@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_constant_images_stay(size: tuple[int, int], value: int) -> None:
    np.testing.assert_array_equal(imresize(np.full((12, 16, 3), value, np.uint8), size), np.full((*size, 3), value))


def test_same_size_is_the_same_image() -> None:
    image = noise(9, 7, 3)
    np.testing.assert_array_equal(imresize(image, (9, 7)), image)


def test_linear_ramps_are_kept_away_from_the_border() -> None:
    ramp = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (4, 1))
    # The new sample i has its centre at 2 i + 0.5 when shrinking by two, and at i / 2 - 0.25 when enlarging by two.
    assert imresize(ramp, (2, 15))[0, 2:-2].tolist() == [16 * i + 4 for i in range(2, 13)]
    assert imresize(ramp, (8, 60))[0, 4:-4].tolist() == [4 * i - 2 for i in range(4, 56)]


def test_shrinking_removes_what_the_small_image_cannot_hold() -> None:
    # Every third sample is black or white in turn; only an average over the neighbours is near grey.
    stripes = np.tile(np.array([0, 255], np.uint8), (18, 9))
    assert stripes[0, 1::3].tolist() == [255, 0, 255, 0, 255, 0]
    shrunk = imresize(stripes, (6, 6))[:, 1:-1]
    assert np.abs(shrunk.astype(int) - 127).max() <= 16


def test_values_beyond_eight_bits_are_clipped() -> None:
    edge = np.repeat(np.array([[0, 255]], np.uint8), 6, axis=1)
    assert set(imresize(edge, (1, 48))[0, :20].tolist()) == {0}
    assert set(imresize(edge, (1, 48))[0, 28:].tolist()) == {255}


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4), np.uint16), np.zeros(4, np.uint8)])
def test_what_is_no_image_of_eight_bits_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="of uint8"):
        imresize(image, (2, 2))


def read_pair(set5: Path, name: str, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the image itself, and the one that was made of it at that scale."""
    paths = set5 / f"HR/{name}.png", set5 / f"LR_bicubic/X{scale}/{name}x{scale}.png"
    sharp, small = (cv2.imread(str(path)) for path in paths)
    return sharp, small


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_set5_to_the_last_bit(real_set5: Path, name: str, scale: int) -> None:
    sharp, small = read_pair(real_set5, name, scale)
    height, width = sharp.shape[0] // scale, sharp.shape[1] // scale
    made = imresize(sharp[: height * scale, : width * scale], (height, width))
    np.testing.assert_array_equal(made, small)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "psnr", "ssim"), [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104)])
def test_bicubic_row_of_the_literature(real_set5: Path, scale: int, psnr: float, ssim: float) -> None:
    pytest.importorskip("basicsr_torchvision_repair")
    metrics = pytest.importorskip("basicsr.metrics")
    found = []
    for name in NAMES:
        sharp, small = read_pair(real_set5, name, scale)
        height, width = small.shape[0] * scale, small.shape[1] * scale
        pair = imresize(small, (height, width)), sharp[:height, :width]
        found.append(
            [measure(*pair, scale, test_y_channel=True) for measure in (metrics.calculate_psnr, metrics.calculate_ssim)]
        )
    assert np.mean(found, axis=0)[0] == pytest.approx(psnr, abs=0.03)
    assert np.mean(found, axis=0)[1] == pytest.approx(ssim, abs=0.001)
