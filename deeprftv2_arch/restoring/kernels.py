"""The blur kernels that a network estimates for an image, and an image of them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.estimator_taps import estimators, tapped
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator

RADIUS = 10  # of the kernels that are shown, in pixels
ROWS, COLUMNS = 3, 4
ZOOM = 8  # pixels of the image for each of a kernel
MARGIN = 8
PAPER = 255
ADDS, TAKES_AWAY = (255.0, 190.0, 90.0), (90.0, 160.0, 255.0)  # RGB


def last_estimator(network: nn.Module) -> FourierKernelEstimator:
    """The last estimator at full resolution.

    Raises:
        OptionError: The network has none.
    """
    # Those of the half scale see a coarser image, whose kernels are half as large.
    full = [part for name, part in estimators(network).items() if "half_scale" not in name]
    if not full:
        raise OptionError("this network has no Fourier Kernel Estimators, whose kernels alone are shown")
    return full[-1]


def estimated_kernels(network: nn.Module, run: Callable[[], object]) -> NDArray[np.float32]:
    """The kernels that the last estimator multiplies the spectra of its features by.

    Args:
        network: In eval mode.
        run: Runs it on one image.

    Returns:
        (C, H, W), one kernel for every channel, zero lag in the corner; H and W are those of the last features that the
        estimator saw, even.

    Raises:
        OptionError: The network has no estimators.
    """
    with tapped({"last": last_estimator(network)}) as taps:
        run()
    return torch.fft.irfft2(taps["last"].kernel)[0].cpu().numpy()


def middle(x: Tensor, side: int) -> Tensor:
    """The middle of (B, C, H, W), as high and as wide as ``side`` or as there is."""
    top, left = (max(0, length - side) // 2 for length in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]


def strongest_kernels(kernels: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """The kernels that do most, cut to their centres.

    Args:
        kernels: (C, H, W), zero lag in the corner.
        number: How many to pick.

    Returns:
        (number, h, w), those of the highest energy first, each scaled to -1..1; h and w are 2 RADIUS + 1, or less where
        there is less.
    """
    energy = (kernels**2).sum(axis=(1, 2))
    strongest = np.fft.fftshift(kernels[np.argsort(-energy, kind="stable")[:number]], axes=(1, 2))
    rows, columns = (slice(max(0, side // 2 - RADIUS), side // 2 + RADIUS + 1) for side in kernels.shape[1:])
    centres = strongest[:, rows, columns]
    return centres / np.maximum(np.abs(centres).max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def kernel_image(kernels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The strongest kernels of (C, H, W), row by row, as an image (h, w, 3) RGB; see :func:`coloured`."""
    strongest = strongest_kernels(kernels, ROWS * COLUMNS)
    tiles = [coloured(kernel).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1) for kernel in strongest]
    height, width = (side + MARGIN for side in tiles[0].shape[:2])
    rows = math.ceil(len(tiles) / COLUMNS)
    sheet = np.full((rows * height + MARGIN, COLUMNS * width + MARGIN, 3), PAPER, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, COLUMNS)
        top, left = MARGIN + row * height, MARGIN + column * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def coloured(kernel: NDArray[Any]) -> NDArray[np.uint8]:
    """A kernel (h, w) of values -1..1 in colours (h, w, 3) RGB: black is 0, orange adds, blue takes away.

    The square root of the strength is shown, so that faint parts are seen beside the peak.
    """
    strength = np.sqrt(np.abs(kernel))[:, :, None]
    return (strength * np.where(kernel[:, :, None] > 0, ADDS, TAKES_AWAY)).astype(np.uint8)
