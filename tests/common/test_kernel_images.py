"""Kernels as images: which are shown, in which colours, and how they are laid out."""

import numpy as np

from deeprftv2_arch.common.kernel_images import (
    RADIUS,
    centre,
    coloured,
    estimated_kernel_sheet,
    grey_kernel_sheet,
    scaled_to_peak,
    sheets_side_by_side,
    strongest_kernels,
)


def test_strongest_kernels_are_centred_and_in_order() -> None:
    kernels = np.zeros((3, 64, 80))
    kernels[0, 0, 0] = 0.1
    kernels[1, 0, 0], kernels[1, -2, 3] = -4, 2  # two rows up, three columns to the right
    kernels[2, 0, 0] = 1
    strongest = strongest_kernels(kernels, 2)
    expected = np.zeros((2, 2 * RADIUS + 1, 2 * RADIUS + 1))
    expected[0, RADIUS, RADIUS], expected[0, RADIUS - 2, RADIUS + 3] = -1, 0.5
    expected[1, RADIUS, RADIUS] = 1
    np.testing.assert_allclose(strongest, expected)


def test_image_of_kernels_shows_signs() -> None:
    kernels = np.zeros((2, 64, 64), np.float32)
    kernels[0, 0, 0], kernels[0, 0, 2] = 1, -0.25
    image = estimated_kernel_sheet(kernels)
    middle = 8 + 8 * RADIUS
    assert image[middle, middle].tolist() == [255, 190, 90]
    assert image[middle, middle + 16].tolist() == [45, 80, 127]  # half the strength: the root of a quarter
    assert image[middle, middle + 8].tolist() == [0, 0, 0]
    assert image[0, 0].tolist() == [255, 255, 255]
    side = 8 * (2 * RADIUS + 1) + 8
    assert image.shape == (side + 8, 4 * side + 8, 3)  # no rows without kernels
    assert estimated_kernel_sheet(np.ones((5, 64, 64), np.float32)).shape == (2 * side + 8, 4 * side + 8, 3)


def test_kernels_are_drawn_in_rows_as_bright_as_their_peaks() -> None:
    kernels = np.zeros((3, 2, 2))
    kernels[0, 0, 1], kernels[1, 1, 0], kernels[1, 0, 0] = 0.1, 0.5, -0.2
    sheet = grey_kernel_sheet(kernels)
    assert sheet.shape == (4 + 2 * 12, 4 + 2 * 12)
    tiles = {(row, column): sheet[4 + 12 * row :, 4 + 12 * column :][:8, :8] for row in range(2) for column in range(2)}
    np.testing.assert_array_equal(tiles[0, 0], np.kron([[0, 255], [0, 0]], np.ones((4, 4))))
    np.testing.assert_array_equal(tiles[0, 1], np.kron([[0, 0], [255, 0]], np.ones((4, 4))))
    assert (tiles[1, 0] == 0).all()
    assert (tiles[1, 1] == 255).all()
    assert (sheet[:4] == 255).all()


def test_sheets_stand_side_by_side() -> None:
    one, other = np.zeros((3, 5), np.uint8), np.full((3, 2), 7, np.uint8)
    both = sheets_side_by_side([one, other])
    assert both.shape == (3, 5 + 16 + 2 + 16)
    assert (both[:, :5] == 0).all()
    assert (both[:, 21:23] == 7).all()
    assert (both[:, 5:21] == 255).all()
    assert (both[:, 23:] == 255).all()


def test_centre_is_what_there_is() -> None:
    kernels = np.arange(2 * 5 * 8).reshape(2, 5, 8)
    np.testing.assert_array_equal(centre(kernels, 1), kernels[:, 1:4, 3:6])
    np.testing.assert_array_equal(centre(kernels, 3), kernels[:, :, 1:8])


def test_every_kernel_has_its_own_peak() -> None:
    kernels = np.array([[[0.0, 0.5], [-3.0, 0.25]], [[8.0, 2.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]])
    expected = np.array([[[0, 1], [0, 0.5]], [[1, 0.25], [0, 0]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(scaled_to_peak(kernels), expected)


def test_many_kernels_are_coloured_as_one() -> None:
    kernels = np.random.default_rng(0).uniform(-1, 1, (3, 4, 5))
    np.testing.assert_array_equal(coloured(kernels), [coloured(kernel) for kernel in kernels])
