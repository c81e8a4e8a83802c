"""What every metric does first: bring two images to floats in 0..1, and refuse what cannot be compared."""

import numpy as np

from deeprftv2_arch.common.images import AnyImage, FloatImage
from deeprftv2_arch.errors import DataError, OptionError

CHANNELS = 3


def comparable(img: AnyImage, img2: AnyImage, crop_border: int = 0, smallest: int = 1) -> tuple[FloatImage, FloatImage]:
    """Return two images in 0..1, without their borders.

    Args:
        img: (H, W, 3): uint8 in 0..255, uint16 in 0..65535, or floats in 0..1.
        img2: Of the same shape; it may be of another of these types.
        crop_border: How many pixels to leave out at each edge.
        smallest: The height and width that must be left.

    Raises:
        DataError: The images differ in shape, are too small, have no three channels, or are of another type or
            range.
        OptionError: ``crop_border`` is negative.
    """
    if img.shape != img2.shape:
        raise DataError(f"metrics: images of shape {img.shape} and {img2.shape} cannot be compared")
    if img.ndim != 3 or img.shape[2] != CHANNELS:
        raise DataError(f"metrics: expected images of shape (height, width, {CHANNELS}), not {img.shape}")
    if crop_border < 0:
        raise OptionError(f"metrics: crop_border: expected 0 or more, not {crop_border}")
    height, width = (length - 2 * crop_border for length in img.shape[:2])
    if min(height, width) < smallest:
        cropped = f" without a border of {crop_border}" if crop_border else ""
        raise DataError(
            f"metrics: images of {img.shape[1]}x{img.shape[0]}{cropped} are too small; this metric needs "
            f"{smallest}x{smallest} or more"
        )
    inner = slice(crop_border, crop_border + height), slice(crop_border, crop_border + width)
    return _in_unit_range(img[inner]), _in_unit_range(img2[inner])


def _in_unit_range(image: AnyImage) -> FloatImage:
    """Divide an image by the largest value of its type, never by its own: a dark image stays dark."""
    if image.dtype in (np.uint8, np.uint16):
        scaled: FloatImage = image / np.float64(np.iinfo(image.dtype).max)
        return scaled
    if not np.issubdtype(image.dtype, np.floating):
        raise DataError(f"metrics: expected images of uint8, uint16 or floats, not of {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also where one is not a number
        raise DataError(f"metrics: expected floats in 0..1, not {low:g}..{high:g}; clamp or rescale the image first")
    return image.astype(np.float64)
