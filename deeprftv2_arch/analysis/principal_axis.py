"""The direction in which the pattern of a ReLU in Fourier space is drawn out, and how round it is."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.errors import DataError

SMALLEST = 32  # pixels, height and width of the smallest pattern that has frequencies enough
WINDOW = 40.0  # standard deviation in pixels of the part that is looked at, around zero lag
LOWEST, HIGHEST = 0.02, 0.35  # cycles per pixel; below is the photograph's own shape, above the camera's noise
STEP = 2.0  # degrees
ROUNDING = 1e-9  # of the strongest value; a flat image's pattern varies by less


class PrincipalAxis(NamedTuple):
    """What :func:`principal_axis` measures.

    Attributes:
        angle: In degrees, from 0 up to 180, counter-clockwise from the image's horizontal.
        roundness: Strength of the frequencies along the axis over that of those across it, geometric means: 1 for what
            is round, whose angle means nothing, and 0.2 to 0.8 for straight motions of 5 to 40 pixels on photographs.
            Photographs are not round themselves: defocused ones mostly have 0.75 and more, but text has 0.4.
    """

    angle: float
    roundness: float


def principal_axis(pattern: NDArray[Any]) -> PrincipalAxis:
    """Measure along which direction a pattern of :func:`~deeprftv2_arch.analysis.fft_relu_pattern` is drawn out.

    Second moments of the pattern itself would mostly measure the photograph: the peak that all photographs have is a
    thousand times as strong as what the blur makes of it, and has an orientation of its own. So the spectrum of the
    pattern's middle is looked at, where photograph and kernel multiply, in logarithms, where they add up:

    * what depends on the distance from zero frequency alone is taken away: the fall that photographs have, and round
      kernels;
    * so are the two axes, where the jump at the image's borders lies;
    * a motion makes strips of equal strength at right angles to it, so that of all directions the frequencies'
      coordinate along the motion explains most of the variance of what is left. That direction is the axis, if
      frequencies along it are weaker than those across. The edges of a photograph make rays through zero frequency,
      which no such coordinate explains.

    On most photographs it is found within 10 degrees. Lines that are as strong as a motion deceive it, such as those of
    bricks or of text, and so does a motion from before. docs/analysis.md has the measurements.

    Args:
        pattern: (H, W), zero lag at (H // 2, W // 2).

    Raises:
        DataError: It is no such array, smaller than 32 pixels, or that of an image without any structure.
    """
    if pattern.ndim != 2 or min(pattern.shape) < SMALLEST:
        size = "x".join(map(str, pattern.shape[::-1]))
        raise DataError(f"a pattern of {size} is too small for an axis; take one of at least {SMALLEST}x{SMALLEST}")
    strength, x, y, smear = _log_spectrum(np.asarray(pattern, np.float64))
    distance = np.hypot(x, y)
    # One half of the plane, since the other is its mirror image.
    kept = (distance > LOWEST) & (distance < HIGHEST) & (np.abs(x) >= 3 * smear) & (y >= 3 * smear)
    x, y, distance, strength = x[kept], y[kept], distance[kept], strength[kept]
    flat = np.ptp(pattern) <= ROUNDING * np.abs(pattern).max()
    if flat or not np.isfinite(strength).all():
        raise DataError("the pattern has no axis: the image is flat or not finite; take one that shows something")
    strength = strength - _means(strength, distance, np.ones_like(distance), smear)
    # As many frequencies at every distance count for as much.
    weight = 1 / distance
    direction = np.arctan2(y, x)
    best, axis = -1.0, PrincipalAxis(0.0, 1.0)
    for angle in np.arange(0.0, 180.0, STEP):
        depth = _depth(strength, weight, direction - np.deg2rad(angle))
        along = np.abs(x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle)))
        explained = (weight * _means(strength, along, weight, smear) ** 2).sum()
        if depth > 0 and explained > best:
            best, axis = explained, PrincipalAxis(float(angle), float(np.exp(-2 * depth)))
    return axis


def _log_spectrum(
    pattern: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return the log spectrum of the middle, its frequencies (x to the right, y up), and by how much it is smeared."""
    height, width = pattern.shape
    deviation = min(WINDOW, min(height, width) / 6)
    radius = int(3 * deviation)
    middle = pattern[height // 2 - radius : height // 2 + radius, width // 2 - radius : width // 2 + radius]
    lag = np.arange(-radius, radius)
    window = np.exp(-(lag**2) / (2 * deviation**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.log(np.abs(np.fft.fft2(middle * np.outer(window, window))))
    frequency = np.fft.fftfreq(2 * radius)
    x, y = np.meshgrid(frequency, -frequency)
    return strength, x, y, 1 / (2 * np.pi * deviation)


def _means(
    values: NDArray[np.float64], coordinate: NDArray[np.float64], weight: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """Replace every value by the weighted mean of all whose coordinate falls into the same interval of that width."""
    interval = np.round(coordinate / width).astype(int)
    sums, weights = np.bincount(interval, weight * values), np.bincount(interval, weight)
    means: NDArray[np.float64] = (sums / np.maximum(weights, 1e-12))[interval]
    return means


def _depth(strength: NDArray[np.float64], weight: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """Fit strength = -a cos(2 direction) and return a: along the axis it is 2 a less than across."""
    wave = np.cos(2 * direction)
    wave = wave - (weight * wave).sum() / weight.sum()
    return float(-(weight * strength * wave).sum() / (weight * wave**2).sum())
