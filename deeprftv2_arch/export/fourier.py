"""Two-dimensional Fourier transforms as products with matrices of sines and cosines.

ONNX has an operator DFT, but few runtimes have it, and onnxruntime's has relative errors of 1e-3 at a thousand pixels
(any number but a power of two). Those of matrix products are 1e-6, and they run everywhere.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def rfft2(x: Tensor) -> Tensor:
    """Transform as ``torch.fft.rfft2``, (..., H, W) -> complex (..., H, W // 2 + 1)."""
    height, width = x.shape[-2:]
    cos, sin = _waves(width, width // 2 + 1, x)
    real, imaginary = x @ cos, -(x @ sin)
    cos, sin = _waves(height, height, x)
    return torch.complex(cos @ real + sin @ imaginary, cos @ imaginary - sin @ real)


def irfft2(spectrum: Tensor, s: Sequence[int]) -> Tensor:
    """Transform as ``torch.fft.irfft2``, complex (..., H, W // 2 + 1) -> (..., H, W), where ``s`` is (H, W)."""
    height, width = s
    real, imaginary = torch.view_as_real(spectrum).unbind(-1)
    cos, sin = _waves(height, height, real)
    real, imaginary = cos @ real - sin @ imaginary, cos @ imaginary + sin @ real
    frequency = torch.arange(width // 2 + 1, device=real.device)
    # Every column stands for two frequencies, but zero and the highest one of an even width.
    count = torch.where((frequency == 0) | (2 * frequency == width), 1.0, 2.0).to(real.dtype)
    cos, sin = _waves(width, width // 2 + 1, real)
    return ((count * real) @ cos.T - (count * imaginary) @ sin.T) / (height * width)


def _waves(length: int, frequencies: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of 2 pi t f / length, (length, frequencies)."""
    time, frequency = (torch.arange(n, device=like.device) for n in (length, frequencies))
    # Whole turns are taken away as whole numbers, without which float32 would lose digits. The divisor is a tensor,
    # since that is what ONNX takes.
    angle = (time[:, None] * frequency % (time[-1:] + 1)).to(like.dtype) * (2 * math.pi / length)
    return angle.cos(), angle.sin()
