"""Two-dimensional real Fourier transforms, always in float32 or float64.

Half precision would overflow (the zero frequency of a 256x256 map is a sum of 65,536 values) and cuFFT refuses it at
sizes that are not powers of two.
"""

import torch
from torch import Tensor

from deeprftv2_arch.ops.full_precision import at_least_float32


def rfft2(x: Tensor) -> Tensor:
    """Return the un-normalised real transform of the last two axes: (..., H, W) -> complex (..., H, W // 2 + 1)."""
    spectrum: Tensor = torch.fft.rfft2(at_least_float32(x), norm="backward")
    return spectrum


def irfft2(spectrum: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo :func:`rfft2`: complex (..., H, W // 2 + 1) -> real (..., H, W), where ``size`` is (H, W)."""
    x: Tensor = torch.fft.irfft2(spectrum, s=size, norm="backward")
    return x
