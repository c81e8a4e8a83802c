"""Figures 6 and 7: features, and the kernels that were estimated and applied, in space and in frequency."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.analysis.figure_files import WIDTH, in_print_style, new_figure
from deeprftv2_arch.analysis.kernels import EstimatorKernels
from deeprftv2_arch.common.kernel_images import centre

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RADIUS = 12  # pixels of a kernel around zero lag
COLUMNS = ("feature", "deblurred feature", "kernel", "kernel, frequencies", "true kernel F(B)/F(S)")


@in_print_style
def kernels_figure(title: str, kernels: EstimatorKernels) -> "Figure":
    """A row for every channel, and the ground truth beside them, if there is one.

    Kernels in space are those around zero lag: white is 0, red adds, blue takes away; the root of the strength is
    shown, so that faint parts are seen beside the peak. In frequency it is log10 |K|, zero frequency in the middle;
    below stand the ends of the scale.
    """
    rows = len(kernels.channels)
    columns = 4 if kernels.truth is None else 5
    height, width = kernels.blurred.shape[1:]
    lines = rows if kernels.truth is None else max(rows, 2)
    figure = new_figure(0.55 + lines * (0.12 + WIDTH / columns * min(height / width, 1.2)))
    figure.suptitle(title)
    grid = figure.add_gridspec(lines, columns)
    for row, channel in enumerate(kernels.channels):
        axes = [figure.add_subplot(grid[row, column]) for column in range(4)]
        for part, feature in zip(axes[:2], (kernels.blurred[row], kernels.deblurred[row]), strict=True):
            low, high = np.quantile(feature, [0.01, 0.99])
            part.imshow(feature, cmap="gray", vmin=low, vmax=high)
        _draw_in_space(axes[2], kernels.kernels[row], kernels.blurred.shape[2])
        _draw_frequencies(axes[3], kernels.kernels[row], kernels.blurred.shape[2])
        axes[0].set_ylabel(f"channel {channel}")
        for part, heading in zip(axes, COLUMNS, strict=False):
            part.set_xticks([])
            part.set_yticks([])
            if row == 0:
                part.set_title(heading)
    if kernels.truth is not None:
        space, frequencies = figure.add_subplot(grid[0, 4]), figure.add_subplot(grid[1, 4])
        _draw_in_space(space, kernels.truth, width)
        _draw_frequencies(frequencies, kernels.truth, width)
        space.set_title(COLUMNS[4])
        for part in (space, frequencies):
            part.set_xticks([])
            part.set_yticks([])
    return figure


def in_space(kernel: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Kernel (H, W // 2 + 1), complex -> (H, W), zero lag at (H // 2, W // 2)."""
    return np.fft.fftshift(np.fft.irfft2(kernel, (kernel.shape[0], width)))


def _draw_in_space(axes: "Axes", kernel: NDArray[Any], width: int) -> None:
    about_zero_lag = centre(in_space(kernel, width), RADIUS)
    shown = np.sign(about_zero_lag) * np.sqrt(np.abs(about_zero_lag))
    peak = max(float(np.abs(shown).max()), float(np.finfo(np.float64).tiny))
    axes.imshow(shown, cmap="RdBu_r", vmin=-peak, vmax=peak)


def _draw_frequencies(axes: "Axes", kernel: NDArray[Any], width: int) -> None:
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.irfft2(kernel, (kernel.shape[0], width)))))
    logarithm = np.log10(np.maximum(magnitude, 1e-6))
    low, high = np.quantile(logarithm, [0.005, 0.995])
    axes.imshow(logarithm, cmap="gray", vmin=low, vmax=high)
    axes.set_xlabel(f"{low:.1f} to {high:.1f}", labelpad=2)
