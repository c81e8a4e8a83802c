"""Metrics of single pixels, on images that need not be quantised: PSNR and mean absolute error."""

import math
from typing import Any

import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.metrics.comparable import comparable


def calculate_psnr_float(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return ``10 log10(1 / mean squared difference)`` of images in 0..1, in dB; infinity where they are equal.

    On uint8 images the same as BasicSR's ``calculate_psnr``; float and uint16 images keep their precision.

    Args:
        img: (H, W, 3): uint8, uint16, or floats in 0..1.
        img2: Of the same shape.
        crop_border: How many pixels to leave out at each edge.

    Raises:
        DataError: The images cannot be compared.
    """
    restored, sharp = comparable(img, img2, crop_border)
    error = float(((restored - sharp) ** 2).mean())
    return -10 * math.log10(error) if error else math.inf


def calculate_mae(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the mean absolute difference of two images in 0..1, as published for DPDD.

    Args:
        img: (H, W, 3): uint8, uint16, or floats in 0..1.
        img2: Of the same shape.
        crop_border: How many pixels to leave out at each edge.

    Raises:
        DataError: The images cannot be compared.
    """
    restored, sharp = comparable(img, img2, crop_border)
    return float(np.abs(restored - sharp).mean())
