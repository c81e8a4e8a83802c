"""The kernels that every estimator of a network applies to an image, what they do to the features, and Figures 6, 7."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeprftv2_arch.analysis.figure_files import WIDTH, in_print_style, new_figure
from deeprftv2_arch.analysis.ground_truth_kernel import ground_truth_kernel
from deeprftv2_arch.common.kernel_images import centre
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.estimator_taps import EstimatorTap, tapped
from deeprftv2_arch.layers.pyramid import image_pyramid
from deeprftv2_arch.networks.card import EstimatorPlace
from deeprftv2_arch.networks.cards import card_of
from deeprftv2_arch.networks.protocol import traits_of
from deeprftv2_arch.restoring.conversion import to_tensor
from deeprftv2_arch.restoring.kernels import middle
from deeprftv2_arch.restoring.restorer import Restorer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 4  # channels
SIDE = 256  # pixels, of the middle of an image
RADIUS = 12  # pixels of a kernel around zero lag in a figure
COLUMNS = ("feature", "deblurred feature", "kernel", "kernel, frequencies", "true kernel F(B)/F(S)")


@dataclass(frozen=True)
class EstimatorKernels:
    """Some channels of an estimator at work on an image; n of them, on maps of H x W.

    Attributes:
        channels: Which ones, (n,).
        blurred: The features whose spectrum is multiplied, (n, H, W).
        deblurred: The same after that, before they are merged with the estimator's input, (n, H, W).
        kernels: What the spectrum is multiplied by, (n, H, W // 2 + 1), complex.
        truth: The ground-truth blur kernel of the images at this scale, (H, W // 2 + 1), complex; None without a
            sharp image.
    """

    channels: NDArray[np.int64]
    blurred: NDArray[np.float32]
    deblurred: NDArray[np.float32]
    kernels: NDArray[np.complex64]
    truth: NDArray[np.complex128] | None


def estimator_kernels(
    restorer: Restorer,
    blurred: NDArray[Any],
    sharp: NDArray[Any] | None = None,
    channels: Sequence[int] | None = None,
    side: int = SIDE,
) -> dict[str, EstimatorKernels]:
    """Look into every estimator while the network restores the middle of an image (paper, Figures 6 and 7).

    Args:
        restorer: The network.
        blurred: The image, as :class:`Restorer` takes arrays.
        sharp: The sharp image of the same size, for the ground truth.
        channels: Which channels; by default the four whose kernels have most energy, in every estimator others.
        side: Height and width of the middle, which is cut to a multiple of what the network demands.

    Returns:
        By the estimators' names: ``unit1_full``, ``unit1_half``, ... of a DeepRFTv2.

    Raises:
        OptionError: The network has no estimators, or not such channels.
    """
    x = middle_part(restorer.network, to_tensor(blurred), side)
    truth = None if sharp is None else middle_part(restorer.network, to_tensor(sharp), side)
    return {
        place.label: _of_channels(
            tap, _chosen(tap, channels), None if truth is None else truth_at_scale(place, tap, x, truth)
        )
        for place, tap in tap_restoring(restorer, x)
    }


def tap_restoring(restorer: Restorer, x: Tensor) -> list[tuple[EstimatorPlace, EstimatorTap]]:
    """Restore an image (1, 3, H, W) and return the estimators with what went through them.

    Raises:
        OptionError: The network has none.
    """
    places = _required_estimators(restorer.network)
    with tapped({place.name: place.estimator for place in places}) as taps:
        restorer.restore_tensor(x)
    return [(place, taps[place.name]) for place in places]


def estimator_names(network: nn.Module) -> tuple[str, ...]:
    """Name a network's estimators for people.

    Raises:
        OptionError: It has none.
    """
    return tuple(place.label for place in _required_estimators(network))


def middle_part(network: nn.Module, x: Tensor, side: int) -> Tensor:
    """Cut out the middle of (B, C, H, W), as large as ``side``, the network's tiles and its multiple allow."""
    traits = traits_of(network)
    part = middle(x, min(side, traits.tile or side))
    height, width = (length - length % traits.size_multiple for length in part.shape[2:])
    return part[:, :, :height, :width]


def truth_at_scale(place: EstimatorPlace, tap: EstimatorTap, blurred: Tensor, sharp: Tensor) -> NDArray[np.complex128]:
    """Return the ground truth for an estimator: of the images at its scale, on its grid of frequencies."""
    images = [image_pyramid(x.contiguous(), place.halvings + 1)[-1] for x in (blurred, sharp)]
    height, width = tap.blurred.shape[2:]
    return ground_truth_kernel(images[0][0].numpy(), images[1][0].numpy(), (height, width))


def _required_estimators(network: nn.Module) -> list[EstimatorPlace]:
    places = card_of(network).estimators(network)
    if not places:
        raise OptionError("this network has no kernel estimators to look into; name another checkpoint")
    return places


def _chosen(tap: EstimatorTap, channels: Sequence[int] | None) -> NDArray[np.int64]:
    count = tap.kernel.shape[1]
    if channels is not None:
        unknown = [channel for channel in channels if not 0 <= channel < count]
        if unknown:
            raise OptionError(f"--channels {unknown[0]}: the estimators have the channels 0 to {count - 1}")
        return np.array(channels)
    energy = torch.fft.irfft2(tap.kernel)[0].square().sum(dim=(1, 2))
    return np.asarray(energy.argsort(descending=True, stable=True)[:SHOWN].cpu())


def _of_channels(
    tap: EstimatorTap, channels: NDArray[np.int64], truth: NDArray[np.complex128] | None
) -> EstimatorKernels:
    blurred, deblurred, kernels = (
        x[0].cpu().numpy()[channels] for x in (tap.blurred.float(), tap.deblurred.float(), tap.kernel)
    )
    return EstimatorKernels(channels, blurred, deblurred, kernels, truth)


@in_print_style
def kernels_figure(title: str, kernels: EstimatorKernels) -> "Figure":
    """Draw a row for every channel, and the ground truth beside them, if there is one (paper, Figures 6 and 7).

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
    axes = [[figure.add_subplot(lines, columns, 1 + row * columns + i) for i in range(4)] for row in range(rows)]
    for row, (blurred, deblurred, space, frequencies) in enumerate(axes):
        _draw_feature(blurred, kernels.blurred[row])
        _draw_feature(deblurred, kernels.deblurred[row])
        _draw_in_space(space, kernels.kernels[row], width)
        _draw_frequencies(frequencies, kernels.kernels[row], width)
        blurred.set_ylabel(f"channel {kernels.channels[row]}")
    for part, heading in zip(axes[0], COLUMNS, strict=False):
        part.set_title(heading)
    if kernels.truth is not None:
        space, frequencies = (figure.add_subplot(lines, columns, line * columns) for line in (1, 2))
        _draw_in_space(space, kernels.truth, width)
        _draw_frequencies(frequencies, kernels.truth, width)
        space.set_title(COLUMNS[4])
    for part in figure.axes:
        part.set_xticks([])
        part.set_yticks([])
    return figure


def _draw_feature(axes: "Axes", feature: NDArray[np.float32]) -> None:
    low, high = np.quantile(feature, [0.01, 0.99])
    axes.imshow(feature, cmap="gray", vmin=low, vmax=high)


def in_space(kernel: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Transform a kernel (H, W // 2 + 1), complex -> (H, W), zero lag at (H // 2, W // 2)."""
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
