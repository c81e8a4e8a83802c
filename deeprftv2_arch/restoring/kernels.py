"""The blur kernels that a network estimates for an image."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.estimator_taps import tapped
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.networks.cards import card_of


def last_estimator(network: nn.Module) -> FourierKernelEstimator:
    """Return the last estimator at full resolution.

    Raises:
        OptionError: The network has none.
    """
    # Those of the half scale see a coarser image, whose kernels are half as large.
    full = [place for place in card_of(network).estimators(network) if place.halvings == 0]
    if not full:
        raise OptionError("this network has no Fourier Kernel Estimators, whose kernels alone are shown")
    return full[-1].estimator


def estimated_kernels(network: nn.Module, run: Callable[[], object]) -> NDArray[np.float32]:
    """Return the kernels that the last estimator multiplies the spectra of its features by.

    Args:
        network: In eval mode.
        run: Runs it on one image.

    Returns:
        (C, H, W), one kernel for every channel, zero lag in the corner; H and W are those of the last features that the
        estimator saw, even.

    Raises:
        OptionError: The network has no estimators.
    """
    with tapped({"last": last_estimator(network)}) as taps:
        run()
    kernels: NDArray[np.float32] = torch.fft.irfft2(taps["last"].kernel)[0].cpu().numpy()
    return kernels


def middle(x: Tensor, side: int) -> Tensor:
    """Cut out the middle of (B, C, H, W), as high and as wide as ``side`` or as there is."""
    top, left = (max(0, length - side) // 2 for length in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]
