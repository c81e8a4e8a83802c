"""The pattern of Figure 2, what a ReLU in Fourier space adds to a blurred image; and the figure."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.analysis.figure_files import in_print_style, new_figure
from deeprftv2_arch.analysis.principal_axis import PrincipalAxis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RADIUS = 24  # pixels around zero lag in the close-up
ROUND = 0.9  # from which roundness on no axis is shown


def fft_relu_pattern(image: NDArray[Any]) -> NDArray[np.float64]:
    """Compute F^-1(ReLU(F(B))) - B / 2, shifted cyclically by half: zero lag is in the middle (paper, Figure 2).

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


@in_print_style
def fft_relu_figure(image: NDArray[Any], pattern: NDArray[np.float64], axis: PrincipalAxis) -> "Figure":
    """Draw the image, its whole pattern, and the middle of that with its principal axis unless it is round (Figure 2).

    Args:
        image: (H, W) grey or (H, W, 3 or 4) RGB, uint8, uint16 or floats in 0..1.
        pattern: (H, W), zero lag in the middle.
        axis: Of the pattern.
    """
    height, width = pattern.shape
    figure = new_figure(0.5 + 2.3 * min(height / width, 1.4))
    shown, whole, middle = figure.subplots(1, 3)
    top = 65535 if image.dtype == np.uint16 else 255 if image.dtype == np.uint8 else 1
    shown.imshow(image / top, cmap="gray")
    shown.set_title("blurred image B")
    # Beside the peak all else is faint: the ends of the scale are those of most of the pattern.
    whole.imshow(pattern, cmap="gray", vmin=np.quantile(pattern, 0.01), vmax=np.quantile(pattern, 0.995))
    whole.set_title(r"$F^{-1}(\mathrm{ReLU}(F(B))) - B/2$, shifted by half")
    radius = min(RADIUS, min(pattern.shape) // 2 - 1)
    centre = pattern[height // 2 - radius : height // 2 + radius + 1, width // 2 - radius : width // 2 + radius + 1]
    low, high = np.quantile(centre, [0.02, 0.99])
    middle.imshow(
        centre, cmap="gray", vmin=low, vmax=high, extent=(-radius - 0.5, radius + 0.5, radius + 0.5, -radius - 0.5)
    )
    if axis.roundness < ROUND:
        x, y = radius * np.cos(np.deg2rad(axis.angle)), radius * np.sin(np.deg2rad(axis.angle))
        for part in (-1, 1):  # the middle stays free
            middle.plot([part * 0.75 * x, part * x], [-part * 0.75 * y, -part * y], color="tab:orange", linewidth=1.5)
        middle.set_title(f"its middle; axis {axis.angle:.0f}°, roundness {axis.roundness:.2f}")
    else:
        middle.set_title(f"its middle; roundness {axis.roundness:.2f}")
    middle.set_xlabel("lag in pixels")
    for axes in (shown, whole):
        axes.set_axis_off()
    return figure
