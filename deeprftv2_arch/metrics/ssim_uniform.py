"""SSIM with a square window."""

from typing import Any

from scipy.ndimage import uniform_filter

from deeprftv2_arch.metrics.images import AnyImage, comparable
from deeprftv2_arch.metrics.structural_similarity import Values, similarity_map

WINDOW = 7


def calculate_ssim_uniform(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the SSIM published for DPDD: a 7x7 window of equal weights in each channel, then the mean of them.

    Variances are those of a sample (N - 1), and only windows that lie inside the image count: the definition that
    scikit-image has by default, for a range of 1.

    Args:
        img: (H, W, 3): uint8, uint16, or floats in 0..1.
        img2: Of the same shape.
        crop_border: How many pixels to leave out at each edge.

    Raises:
        DataError: The images cannot be compared.
    """
    restored, sharp = comparable(img, img2, crop_border, smallest=WINDOW)
    similarity = similarity_map(restored, sharp, _window_mean, bias_correction=WINDOW**2 / (WINDOW**2 - 1))
    inside = slice(WINDOW // 2, -(WINDOW // 2))
    return float(similarity[inside, inside].mean())


def _window_mean(image: Values) -> Values:
    return uniform_filter(image, (WINDOW, WINDOW, 1))
