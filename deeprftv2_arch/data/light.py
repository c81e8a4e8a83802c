"""sRGB and linear light (IEC 61966-2-1)."""

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


def srgb_to_linear(srgb: FloatImage) -> FloatImage:
    """Linear light 0..1 of sRGB values 0..1, of any shape."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(linear: FloatImage) -> FloatImage:
    """sRGB values 0..1 of linear light 0..1, the inverse of :func:`srgb_to_linear`; values below 0 become 0."""
    linear = np.maximum(linear, 0).astype(np.float32)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055).astype(np.float32)


LINEAR_OF_LEVEL = srgb_to_linear(np.arange(256, dtype=np.float32) / np.float32(255))


def linear_of_levels(image: NDArray[np.uint8]) -> FloatImage:
    """Linear light 0..1 of an sRGB image of 8 bits, by table."""
    return np.asarray(cv2.LUT(image, LINEAR_OF_LEVEL), np.float32).reshape(image.shape)
