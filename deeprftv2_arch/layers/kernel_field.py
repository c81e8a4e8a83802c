"""From a blurred image to a blur kernel for every pixel: codes are estimated, drawn, and decoded by a flow."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.ops.full_precision import at_least_float32, without_autocast
from deeprftv2_arch.ops.reversible import call

DRAWN_AT_ONCE = 2**12  # pixels whose noise is drawn by one call, so that the numbers do not depend on the chunks
# Pixels whose kernels are decoded at once. On a CPU these are 6 MB in float32 for every tensor of 361 channels, which
# takes 0.7 of the time of four times as many; elsewhere every chunk costs the start of its operations.
CHUNK_ON_CPU = 2**12
CHUNK_ELSEWHERE = 2**15


class KernelDecoder(Protocol):
    """What is needed of a flow: :class:`deeprftv2_arch.networks.kernel_flow.KernelFlow` in eval mode."""

    kernel_size: int

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (N, D) into kernels (N, D)."""


def estimate_kernel_field(
    estimator: Callable[[Tensor], tuple[Tensor, Tensor]],
    flow: KernelDecoder,
    x: Tensor,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    mean_code: bool = False,
    chunk: int | None = None,
) -> Tensor:
    """Estimate the kernel field of blurred images; gradients reach the estimator.

    Args:
        estimator: Images -> codes (B, D, H, W) and sigma (B, 1, H, W), as
            :class:`deeprftv2_arch.networks.uncertain_kernel_estimator.UncertainKernelEstimator`.
        flow: Decodes the codes, in eval mode.
        x: Blurred images (B, 3, H, W), RGB in 0..1.
        noise: As the other arguments, see :func:`decode_kernel_field`.
        generator: See there.
        mean_code: See there.
        chunk: See there.

    Returns:
        (B, D, H, W), one kernel for every pixel, channel = row * kernel_size + column.

    Raises:
        OptionError: The estimator's codes or the noise do not fit the flow.
    """
    mean, sigma = estimator(x)
    return decode_kernel_field(flow, mean, sigma, noise, generator, mean_code, chunk)


def decode_kernel_field(
    flow: KernelDecoder,
    mean: Tensor,
    sigma: Tensor,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    mean_code: bool = False,
    chunk: int | None = None,
) -> Tensor:
    """Draw a code for every pixel and decode it.

        z = (mean - average of mean) / deviation of mean;  u = z sqrt(1 - sigma^2) + noise * sigma

    Average and unbiased standard deviation are those of a pixel's D entries, without a constant that would keep the
    division finite: entries that are all equal give z = 0. This runs in float32 or float64, whatever autocast says, in
    chunks of pixels, of which the backward pass keeps the codes alone and decodes them a second time.

    Args:
        flow: Decodes the codes, in eval mode.
        mean: Codes (B, D, H, W) as the estimator has them.
        sigma: (B, 1, H, W) in 0..1.
        noise: Standard normal noise (B, D, H, W), instead of drawn one or of none.
        generator: Draws the noise, image by image and row by row, on its own device; by default PyTorch's own.
        mean_code: Whether to take the mean of the distribution, noise = 0, instead of drawing.
        chunk: Pixels that are decoded at once, of all images together, rounded up to a multiple of 4096; by default
            4096 on a CPU and 32768 elsewhere. The noise does not depend on it.

    Returns:
        (B, D, H, W), in ``channels_last``.

    Raises:
        OptionError: The codes or the noise do not fit the flow.
    """
    batch, channels, height, width = mean.shape
    if channels != flow.kernel_size**2:
        raise OptionError(
            f"the estimator's codes have {channels} entries, but the flow has kernels of "
            f"{flow.kernel_size}x{flow.kernel_size}; their kernel_size must be the same"
        )
    if noise is not None and noise.shape != mean.shape:
        raise OptionError(f"noise must be of shape {tuple(mean.shape)}, got {tuple(noise.shape)}")

    if chunk is None:
        chunk = CHUNK_ON_CPU if mean.device.type == "cpu" else CHUNK_ELSEWHERE
    step = -(-chunk // DRAWN_AT_ONCE) * DRAWN_AT_ONCE
    codes, sigmas = (_by_pixel(at_least_float32(x)) for x in (mean, sigma))
    noises = None if noise is None else _by_pixel(noise)

    def decode(codes: Tensor, sigma: Tensor, noise: Tensor | None) -> Tensor:
        z = _standardised(codes) * torch.sqrt(1 - sigma**2)
        return flow.decode(z if noise is None else z + noise * sigma)

    def noise_of(pixels: slice) -> Tensor | None:
        if noises is not None:
            return noises[pixels].to(codes.dtype)
        return None if mean_code else _drawn(codes[pixels], generator)

    def chunks() -> Iterator[Tensor]:
        for start in range(0, len(codes), step):
            pixels = slice(start, start + step)
            yield call(decode, codes[pixels], sigmas[pixels], noise_of(pixels), keep=False)

    with without_autocast(mean):
        field = _joined(chunks(), codes)
    return field.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _by_pixel(x: Tensor) -> Tensor:
    """Turn (B, C, H, W) into (B H W, C), without a copy of maps in ``channels_last``."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _standardised(codes: Tensor) -> Tensor:
    """Return vectors (N, D) of average 0 and unbiased standard deviation 1, or 0 where all entries are equal."""
    deviation, average = torch.std_mean(codes, dim=1, keepdim=True)
    return (codes - average) / deviation.masked_fill(deviation == 0, float("inf"))


def _drawn(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard normal noise of the shape of (N, D)."""
    device = like.device if generator is None else generator.device
    sizes = [len(part) for part in like.split(DRAWN_AT_ONCE)]
    parts = [
        torch.randn(size, like.shape[1], generator=generator, device=device, dtype=like.dtype).to(like.device)
        for size in sizes
    ]
    return torch.cat(parts)


def _joined(chunks: Iterator[Tensor], like: Tensor) -> Tensor:
    """Concatenate to (N, D); without gradients never with a second copy in the memory."""
    if torch.is_grad_enabled():
        return torch.cat(list(chunks))
    joined = like.new_empty(like.shape)
    start = 0
    for chunk in chunks:
        joined[start : start + len(chunk)] = chunk
        start += len(chunk)
    return joined
