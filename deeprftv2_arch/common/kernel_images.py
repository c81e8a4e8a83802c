"""Blur kernels as images: what is shown of them, and sheets of many."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.common.images import ByteImage

RADIUS = 10  # pixels of an estimated kernel around zero lag that are shown
ADDS, TAKES_AWAY = (255.0, 190.0, 90.0), (90.0, 160.0, 255.0)  # RGB
PAPER = 255
ROWS, COLUMNS = 3, 4  # of a sheet of estimated kernels


def centre(kernels: NDArray[Any], radius: int) -> NDArray[Any]:
    """Cut kernels (..., H, W) with zero lag at (H // 2, W // 2) to ``radius`` pixels around it, or what there is."""
    rows, columns = (slice(max(0, side // 2 - radius), side // 2 + radius + 1) for side in kernels.shape[-2:])
    return kernels[..., rows, columns]


def strongest_kernels(kernels: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """Pick the kernels that do most, and cut them to their centres.

    Args:
        kernels: (C, H, W), zero lag in the corner.
        number: How many to pick.

    Returns:
        (number, h, w), those of the highest energy first, each scaled to -1..1; h and w are 2 RADIUS + 1, or less where
        there is less.
    """
    energy = (kernels**2).sum(axis=(1, 2))
    strongest = np.fft.fftshift(kernels[np.argsort(-energy, kind="stable")[:number]], axes=(1, 2))
    centres: NDArray[np.float32] = centre(strongest, RADIUS)
    peaks = np.maximum(np.abs(centres).max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    scaled: NDArray[np.float32] = centres / peaks
    return scaled


def coloured(kernels: NDArray[Any]) -> ByteImage:
    """Colour kernels (..., h, w) of values -1..1 as (..., h, w, 3) RGB: black is 0, orange adds, blue takes away.

    The square root of the strength is shown, so that faint parts are seen beside the peak.
    """
    strength = np.sqrt(np.abs(kernels))[..., None]
    colours: ByteImage = (strength * np.where(kernels[..., None] > 0, ADDS, TAKES_AWAY)).astype(np.uint8)
    return colours


def scaled_to_peak(kernels: NDArray[Any]) -> NDArray[Any]:
    """Scale the positive part of each of the kernels (..., h, w) to 0..1, by its own peak; the rest becomes 0."""
    positive = np.maximum(kernels, 0)
    scaled: NDArray[Any] = positive / np.maximum(
        positive.max(axis=(-2, -1), keepdims=True), np.finfo(positive.dtype).tiny
    )
    return scaled


def estimated_kernel_sheet(kernels: NDArray[np.float32]) -> ByteImage:
    """Lay out the strongest kernels of (C, H, W), zero lag in the corner, as (h, w, 3) RGB; see :func:`coloured`."""
    return _sheet(coloured(strongest_kernels(kernels, ROWS * COLUMNS)), COLUMNS, zoom=8, gap=8)


def grey_kernel_sheet(kernels: NDArray[np.floating]) -> ByteImage:
    """Draw kernels in rows of equal length, each as bright as its own peak allows.

    Args:
        kernels: (N, height, width), N at least 1; negative entries are drawn as 0.

    Returns:
        A grey image, (rows of kernels, ...) 0..255.
    """
    grey = (255 * scaled_to_peak(kernels)).round().astype(np.uint8)
    return _sheet(grey, math.ceil(math.sqrt(len(grey))), zoom=4, gap=4)


def sheets_side_by_side(sheets: Sequence[ByteImage]) -> ByteImage:
    """Put grey sheets (H, W) of equal height beside each other, with 16 white pixels after each."""
    return np.hstack([np.pad(sheet, ((0, 0), (0, 16)), constant_values=PAPER) for sheet in sheets])


def _sheet(tiles: ByteImage, columns: int, zoom: int, gap: int) -> ByteImage:
    """Enlarge tiles (N, h, w) or (N, h, w, 3), and lay them out on white paper, row by row."""
    tiles = tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = tiles.shape[1:3]
    rows = math.ceil(len(tiles) / columns)
    size = rows * (height + gap) + gap, columns * (width + gap) + gap
    sheet = np.full((*size, *tiles.shape[3:]), PAPER, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet
