"""The pattern of Figure 2: what a ReLU in Fourier space adds to a blurred image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fft_relu_pattern(image: NDArray[Any]) -> NDArray[np.float64]:
    """F^-1(ReLU(F(B))) - B / 2, shifted cyclically by half, so that zero lag is in the middle (paper, Figure 2).

    The ReLU acts on the real and the imaginary part of the spectrum separately. Since ReLU(x) = (x + |x|) / 2, and
    since the real part of a real image's spectrum is even and the imaginary part odd, the real part of this is

        F^-1(|Re F(B)|) / 2,

    even, and its imaginary part F^-1(|Im F(B)|) / 2 is another such pattern, which is left out. Of the image only
    strengths of frequencies remain, without phases. Where B = S * K, they are those of S times those of K: the pattern
    is a peak, which a sharp photograph has as well, drawn out by a kernel with the spectrum |F(K)|. It lies where K's
    autocorrelation lies: along a straight motion, all around for a defocus.

    Args:
        image: (H, W) grey, or (H, W, C), whose channels are worked on one by one, of any numbers.

    Returns:
        The pattern, of the same shape; zero lag is at (H // 2, W // 2).
    """
    blurred = np.asarray(image, np.float64)
    spectrum = np.fft.fft2(blurred, axes=(0, 1))
    rectified = np.maximum(spectrum.real, 0) + 1j * np.maximum(spectrum.imag, 0)
    pattern = np.fft.ifft2(rectified, axes=(0, 1)).real - blurred / 2
    return np.fft.fftshift(pattern, axes=(0, 1))
