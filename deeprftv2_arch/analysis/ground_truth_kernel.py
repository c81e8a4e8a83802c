"""The "ground-truth" blur kernel of a pair of images."""

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
    """Compute F(B) / F(S), the kernel that makes the blurred image of the sharp one, where a single one does.

    The division is Wiener's, which is held to zero where the sharp image has next to nothing to divide by, over all
    channels at once. Both images fade out towards their borders (multiplied by a Hann window), across which things
    move and where a spectrum sees a jump:

        K = sum_c F(B_c) conj(F(S_c)) / (sum_c |F(S_c)|^2 + r * P)

    P is the mean of sum_c |F(S_c)|^2 over all frequencies but zero. Where the blur varies over the image, as in
    photographs, K is something like its mean.

    Args:
        blurred: (C, H, W).
        sharp: (C, H, W).
        size: Height and width to which both are continued by zeros at the bottom and the right; by default H and W.
        regularisation: r.

    Returns:
        (H, W // 2 + 1) of that size, complex.
    """
    height, width = sharp.shape[1:]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    size = size or (height, width)
    numerator = np.sum(np.fft.rfft2(blurred * window, size) * np.fft.rfft2(sharp * window, size).conj(), axis=0)
    power = (np.abs(np.fft.fft2(sharp * window, size)) ** 2).sum(axis=0)
    mean_power = (power.sum() - power[0, 0]) / (power.size - 1)
    # Never zero, not even where both images are black.
    denominator = np.maximum(power + regularisation * mean_power, np.finfo(np.float64).tiny)
    kernel: NDArray[np.complex128] = numerator / denominator[:, : size[1] // 2 + 1]
    return kernel
