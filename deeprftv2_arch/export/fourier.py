"""Two-dimensional Fourier transforms as products with matrices of sines and cosines.

ONNX has an operator DFT, but few runtimes have it, and onnxruntime's has relative errors of 1e-3 at a thousand pixels
(any number but a power of two). Those of matrix products are 1e-6, and they run everywhere.

A cosine is even and a sine odd. So along the rows' axis half of the positions, folded, and half of the frequencies,
unfolded again, are enough, which takes half of the time. Along the last axis folding would cost more than it saves.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def rfft2(x: Tensor) -> Tensor:
    """Transform as ``torch.fft.rfft2``, (..., H, W) -> complex (..., H, W // 2 + 1)."""
    height, width = x.shape[-2:]
    even, odd = _folded(x)
    cos, sin = _folded_waves(height, x)
    column_real, column_imaginary = cos @ even, -(sin @ odd)
    cos, sin = _waves(width, width // 2 + 1, x)
    # Of the frequencies k and -k of the columns, which are each other's conjugates.
    real_cos, real_sin = _unfolded(column_real @ cos, height), _unfolded(column_real @ sin, height)
    imaginary_cos, imaginary_sin = (
        _unfolded(column_imaginary @ waves, height) * _signs(height, x) for waves in (cos, sin)
    )
    return torch.complex(real_cos + imaginary_sin, imaginary_cos - real_sin)


def irfft2(spectrum: Tensor, s: Sequence[int]) -> Tensor:
    """Transform as ``torch.fft.irfft2``, complex (..., H, W // 2 + 1) -> (..., H, W), where ``s`` is (H, W)."""
    height, width = s
    real, imaginary = torch.view_as_real(spectrum).unbind(-1)
    (real_even, real_odd), (imaginary_even, imaginary_odd) = _folded(real), _folded(imaginary)
    cos, sin = _folded_waves(height, real)
    signs = _signs(height, real)
    real = _unfolded(cos @ real_even, height) - signs * _unfolded(sin @ imaginary_odd, height)
    imaginary = _unfolded(cos @ imaginary_even, height) + signs * _unfolded(sin @ real_odd, height)
    frequency = torch.arange(width // 2 + 1, device=real.device)
    # Every column stands for two frequencies, but zero and the highest one of an even width.
    count = torch.where((frequency == 0) | (2 * frequency == width), 1.0, 2.0).to(real.dtype) / (height * width)
    cos, sin = _waves(width, width // 2 + 1, real)
    return real @ (count * cos).T - imaginary @ (count * sin).T


def _folded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return sum and difference of the rows t and -t of (..., H, W), t from 0 to H // 2."""
    height = x.shape[-2]
    position = torch.arange(height // 2 + 1, device=x.device)
    first, second = x.index_select(-2, position), x.index_select(-2, (height - position) % _number(height, x))
    return first + second, first - second


def _unfolded(x: Tensor, height: int) -> Tensor:
    """Return rows 0 to H - 1, of which row k and row -k are row k of (..., H // 2 + 1, W)."""
    frequency = torch.arange(height, device=x.device)
    return x.index_select(-2, torch.minimum(frequency, height - frequency))


def _signs(height: int, like: Tensor) -> Tensor:
    """Return 1 for rows up to H // 2 and -1 for those behind, (H, 1)."""
    frequency = torch.arange(height, device=like.device)
    return torch.where(2 * frequency <= height, 1.0, -1.0).to(like.dtype)[:, None]


def _folded_waves(length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of 2 pi k t / length for folded rows, (length // 2 + 1, length // 2 + 1)."""
    half = length // 2 + 1
    cos, sin = _waves(length, half, like)
    position = torch.arange(half, device=like.device)
    # What is its own partner has been added to itself.
    count = torch.where((position == 0) | (2 * position == length), 0.5, 1.0).to(like.dtype)
    return cos.narrow(0, 0, half).T * count, sin.narrow(0, 0, half).T


def _waves(length: int, frequencies: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of 2 pi t f / length, (length, frequencies)."""
    time, frequency = (torch.arange(n, device=like.device) for n in (length, frequencies))
    # Whole turns are taken away as whole numbers, without which float32 would lose digits.
    angle = (time[:, None] * frequency % _number(length, like)).to(like.dtype) * (2 * math.pi / length)
    return angle.cos(), angle.sin()


def _number(length: int, like: Tensor) -> Tensor:
    """Return a length as a tensor, (1,), which is what ONNX takes as a divisor."""
    return torch.arange(length, device=like.device)[-1:] + 1
