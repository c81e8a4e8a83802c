"""The "ground-truth" blur kernel of a pair of pictures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

REGULARISATION = 1e-3


def ground_truth_kernel(
    blurred: NDArray[Any],
    sharp: NDArray[Any],
    size: tuple[int, int] | None = None,
    regularisation: float = REGULARISATION,
) -> NDArray[np.complex128]:
    """F(B) / F(S), the kernel that makes the blurred picture of the sharp one, where one and the same does everywhere.

    The division is Wiener's, which is held to zero where the sharp picture has next to nothing to divide by, over all
    channels at once:

        K = sum_c F(B_c) conj(F(S_c)) / (sum_c |F(S_c)|^2 + r * P)

    P is the mean of sum_c |F(S_c)|^2 over all frequencies but zero. Where the blur varies over the picture, as in
    photographs, K is something like its mean; the picture's borders, across which things move, add noise.

    Args:
        blurred: (C, H, W).
        sharp: (C, H, W).
        size: Height and width to which both are continued by zeros at the bottom and the right; by default H and W.
        regularisation: r.

    Returns:
        (H, W // 2 + 1) of that size, complex.
    """
    size = size or (sharp.shape[1], sharp.shape[2])
    numerator, power = np.complex128(0), np.float64(0)
    for blurred_channel, sharp_channel in zip(blurred, sharp, strict=True):
        spectrum = np.fft.rfft2(np.asarray(sharp_channel, np.float64), size)
        numerator = numerator + np.fft.rfft2(np.asarray(blurred_channel, np.float64), size) * spectrum.conj()
        power = power + np.abs(spectrum) ** 2
    # By Parseval, that of all frequencies without building the half of them that rfft2 leaves out.
    padded = size[0] * size[1] * (np.asarray(sharp, np.float64) ** 2).sum()
    mean_power = (padded - power[0, 0]) / (size[0] * size[1] - 1)
    return numerator / np.maximum(power + regularisation * mean_power, np.finfo(np.float64).tiny)
