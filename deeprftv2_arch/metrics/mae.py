"""Mean absolute error."""

from typing import Any

import numpy as np

from deeprftv2_arch.metrics.images import AnyImage, comparable


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
