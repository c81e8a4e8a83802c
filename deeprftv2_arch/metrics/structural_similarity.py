"""The formula of SSIM (Wang et al., 2004), whatever window its means are taken over."""

from collections.abc import Callable

from numpy import float64
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Values = NDArray[float64]

K1 = 0.01
K2 = 0.03
SIGMA = 1.5
RADIUS = 5  # of the Gaussian window, 11 wide


def similarity_map(x: Values, y: Values, mean: Callable[[Values], Values], bias_correction: float = 1.0) -> Values:
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


def gaussian_mean(image: Values) -> Values:
    """Average each channel of an image (H, W, C) by the 11x11 Gaussian window, mirrored at the borders."""
    return gaussian_filter(image, (SIGMA, SIGMA, 0), mode="reflect", truncate=RADIUS / SIGMA)
