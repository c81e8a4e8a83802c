"""Kernels as an image."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

ZOOM = 4  # pixels that an entry of a kernel is wide
GAP, PAPER = 4, 255  # between kernels


def kernel_sheet(kernels: NDArray[np.floating]) -> Image:
    """Draw kernels in rows of equal length, each as bright as its own peak allows.

    Args:
        kernels: (N, height, width), N at least 1; negative entries are drawn as 0.

    Returns:
        A grey image, (rows of kernels, ...) 0..255.
    """
    columns = math.ceil(math.sqrt(len(kernels)))
    kernels = np.maximum(kernels, 0)
    bright = kernels / np.maximum(kernels.max(axis=(1, 2), keepdims=True), np.finfo(kernels.dtype).tiny)
    tiles = (255 * bright).round().astype(np.uint8).repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)
    tiles = np.pad(tiles, ((0, -len(tiles) % columns), (0, GAP), (0, GAP)), constant_values=PAPER)
    rows = [np.hstack(list(tiles[start : start + columns])) for start in range(0, len(tiles), columns)]
    return np.pad(np.vstack(rows), ((GAP, 0), (GAP, 0)), constant_values=PAPER)


def side_by_side(sheets: Sequence[Image]) -> Image:
    """Put sheets of equal height beside each other."""
    return np.hstack([np.pad(sheet, ((0, 0), (0, 4 * GAP)), constant_values=PAPER) for sheet in sheets])
