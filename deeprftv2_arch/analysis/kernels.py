"""The kernels that every estimator of a network applies to an image, and what they do to the features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeprftv2_arch.analysis.ground_truth_kernel import ground_truth_kernel
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.estimator_taps import EstimatorTap, estimators, tapped
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.pyramid import image_pyramid
from deeprftv2_arch.restoring.conversion import to_tensor
from deeprftv2_arch.restoring.kernels import middle
from deeprftv2_arch.restoring.restorer import Restorer

SHOWN = 4  # channels
SIDE = 256  # pixels, of the middle of an image


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
        label(name): _of_channels(
            tap, _chosen(tap, channels), None if truth is None else truth_at_scale(name, tap, x, truth)
        )
        for name, tap in tap_restoring(restorer, x).items()
    }


def tap_restoring(restorer: Restorer, x: Tensor) -> dict[str, EstimatorTap]:
    """Restore an image (1, 3, H, W) and return what went through the estimators, by the names of their modules.

    Raises:
        OptionError: The network has none.
    """
    with tapped(_required_estimators(restorer.network)) as taps:
        restorer.restore_tensor(x)
    return taps


def estimator_names(network: nn.Module) -> tuple[str, ...]:
    """Names for people of a network's estimators.

    Raises:
        OptionError: It has none.
    """
    return tuple(map(label, _required_estimators(network)))


def middle_part(network: nn.Module, x: Tensor, side: int) -> Tensor:
    """The middle of (B, C, H, W), as large as ``side``, the network's tiles and its multiple allow."""
    multiple = int(getattr(network, "size_multiple", 0) or getattr(network, "window_size", 1))
    part = middle(x, min(side, getattr(network, "tile", None) or side))
    height, width = (length - length % multiple for length in part.shape[2:])
    return part[:, :, :height, :width]


def label(name: str) -> str:
    """A name for people of the estimator with that module name: ``units.0.full_scale.fke`` is ``unit1_full``."""
    parts = name.split(".")
    if parts[0] == "units":
        return f"unit{int(parts[1]) + 1}_{parts[2].removesuffix('_scale')}"
    return f"group{int(parts[-1]) + 1}"


def truth_at_scale(name: str, tap: EstimatorTap, blurred: Tensor, sharp: Tensor) -> NDArray[np.complex128]:
    """The ground truth for an estimator: of the images at its scale, on its grid of frequencies."""
    images = [image_pyramid(x.contiguous(), 2)[1] if "half_scale" in name else x for x in (blurred, sharp)]
    height, width = tap.blurred.shape[2:]
    return ground_truth_kernel(images[0][0].numpy(), images[1][0].numpy(), (height, width))


def _required_estimators(network: nn.Module) -> dict[str, FourierKernelEstimator]:
    parts = estimators(network)
    if not parts:
        raise OptionError("this network has no kernel estimators to look into; name another checkpoint")
    return parts


def _chosen(tap: EstimatorTap, channels: Sequence[int] | None) -> NDArray[np.int64]:
    count = tap.kernel.shape[1]
    if channels is not None:
        unknown = [channel for channel in channels if not 0 <= channel < count]
        if unknown:
            raise OptionError(f"--channels {unknown[0]}: the estimators have the channels 0 to {count - 1}")
        return np.array(channels)
    energy = torch.fft.irfft2(tap.kernel)[0].square().sum(dim=(1, 2))
    return energy.argsort(descending=True, stable=True)[:SHOWN].cpu().numpy()


def _of_channels(
    tap: EstimatorTap, channels: NDArray[np.int64], truth: NDArray[np.complex128] | None
) -> EstimatorKernels:
    blurred, deblurred, kernels = (
        x[0].cpu().numpy()[channels] for x in (tap.blurred.float(), tap.deblurred.float(), tap.kernel)
    )
    return EstimatorKernels(channels, blurred, deblurred, kernels, truth)
