"""SSIM (Wang et al., 2004) over the windows that were published beside BasicSR's own."""

from collections.abc import Callable
from typing import Any

from scipy.ndimage import gaussian_filter, uniform_filter

from deeprftv2_arch.common.images import AnyImage, FloatImage
from deeprftv2_arch.metrics.comparable import comparable

K1 = 0.01
K2 = 0.03
SIGMA = 1.5
RADIUS = 5  # of the Gaussian window, 11 wide
SQUARE = 7  # width of the window of equal weights


def calculate_ssim_3d(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the SSIM published for GoPro, HIDE and REDS: an 11x11x11 Gaussian window over the volume H x W x 3.

    The window has a standard deviation of 1.5 and sees the border values repeated outside; the mean runs over the
    whole volume. Colours mix in the window, so that the value is higher than that of BasicSR's ``calculate_ssim``.

    Args:
        img: (H, W, 3): uint8, uint16, or floats in 0..1.
        img2: Of the same shape.
        crop_border: How many pixels to leave out at each edge.

    Raises:
        DataError: The images cannot be compared.
    """
    restored, sharp = comparable(img, img2, crop_border)
    return float(similarity_map(restored, sharp, _volume_mean).mean())


def _volume_mean(volume: FloatImage) -> FloatImage:
    means: FloatImage = gaussian_filter(volume, SIGMA, mode="nearest", truncate=RADIUS / SIGMA)
    return means


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
    restored, sharp = comparable(img, img2, crop_border, smallest=SQUARE)
    similarity = similarity_map(restored, sharp, _square_mean, bias_correction=SQUARE**2 / (SQUARE**2 - 1))
    inside = slice(SQUARE // 2, -(SQUARE // 2))
    return float(similarity[inside, inside].mean())


def _square_mean(image: FloatImage) -> FloatImage:
    means: FloatImage = uniform_filter(image, (SQUARE, SQUARE, 1))
    return means


def similarity_map(
    x: FloatImage, y: FloatImage, mean: Callable[[FloatImage], FloatImage], bias_correction: float = 1.0
) -> FloatImage:
    """Return the similarity of two images in 0..1 around every value.

    Args:
        x: An image.
        y: Another of the same shape.
        mean: The mean over the window around every value; keeps the shape.
        bias_correction: Factor of variances and covariances; N / (N - 1) for those of a sample of N values.

    Returns:
        Of the shape of the images; 1 where they are equal.
    """
    c1, c2 = K1**2, K2**2
    mean_x, mean_y = mean(x), mean(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = bias_correction * (mean(x * y) - product)
    variances = bias_correction * (mean(x**2 + y**2) - squares)
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def gaussian_mean(image: FloatImage) -> FloatImage:
    """Average each channel of an image (H, W, C) by the 11x11 Gaussian window, mirrored at the borders."""
    means: FloatImage = gaussian_filter(image, (SIGMA, SIGMA, 0), mode="reflect", truncate=RADIUS / SIGMA)
    return means
