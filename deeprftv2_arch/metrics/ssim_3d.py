"""SSIM over height, width and channels at once."""

from typing import Any

from scipy.ndimage import gaussian_filter

from deeprftv2_arch.metrics.images import AnyImage, comparable
from deeprftv2_arch.metrics.structural_similarity import RADIUS, SIGMA, Values, similarity_map


def calculate_ssim_3d(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the SSIM published for GoPro, HIDE and REDS: an 11x11x11 Gaussian window over the volume H x W x 3.

    The window has a standard deviation of 1.5 and sees the border values repeated outside; the mean runs over the
    whole volume. Colours mix in the window, so that the figure is higher than that of BasicSR's ``calculate_ssim``.

    Args:
        img: (H, W, 3): uint8, uint16, or floats in 0..1.
        img2: Of the same shape.
        crop_border: How many pixels to leave out at each edge.

    Raises:
        DataError: The images cannot be compared.
    """
    restored, sharp = comparable(img, img2, crop_border)
    return float(similarity_map(restored, sharp, _volume_mean).mean())


def _volume_mean(volume: Values) -> Values:
    return gaussian_filter(volume, SIGMA, mode="nearest", truncate=RADIUS / SIGMA)
