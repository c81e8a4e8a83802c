"""Peak signal-to-noise ratio of images that need not be quantised."""

import math
from typing import Any

from deeprftv2_arch.metrics.images import AnyImage, comparable


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
