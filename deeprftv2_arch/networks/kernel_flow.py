"""The flow prior of motion kernels: the first of UFPNet's three networks (CVPR 2023)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.flow import AffineCoupling, FlowNorm

LEAST_SUM = 0.1  # by which a kernel is divided at least, whatever its sum
DITHER = 1 / 720  # width of the noise that turns the many zeros of kernels into a density


class KernelFlow(nn.Module):
    """Map motion kernels to codes that are normally distributed, N(0, I), and back (RealNVP).

    A kernel is a vector of D = kernel_size**2 entries, row by row. The flow works on its logits; a decoded kernel is
    their sigmoid, so that every entry is in 0..1. Nothing makes its entries sum to 1, but ``unit_sum``: in the
    published flow they do to 1.06 at the median and to 1.25 on average. The rest of the project keeps such kernels as
    maps (B, D, H, W), one kernel per pixel, channel = row * kernel_size + column.

    Args:
        kernel_size: Height and width of a kernel.
        blocks: Pairs of an affine coupling and a normalisation.
        hidden: Width of the couplings' networks.
        alpha: Keeps the logits of 0 and 1 finite. The larger it is, the more do entries near 0 answer to the code, and
            the easier is a code to be found by gradients, but the further below 0 can a decoded entry be.
        unit_sum: Whether decoded kernels are divided by their sums, so that no blur changes an image's brightness.

    Attributes:
        kernel_size: As above.
        unit_sum: As above; weights tell it by a buffer that they have else not.
        alpha: As above, (1,); part of a checkpoint, so that every stage decodes as the first one encoded.

    Raises:
        OptionError: An argument is out of range.
    """

    alpha: Tensor
    least_sum: Tensor

    def __init__(
        self, kernel_size: int = 19, blocks: int = 5, hidden: int = 25, alpha: float = 1e-6, unit_sum: bool = False
    ) -> None:
        super().__init__()
        _check_arguments(kernel_size, blocks, hidden, alpha)
        self.kernel_size = kernel_size
        self.unit_sum = unit_sum
        self.register_buffer("alpha", torch.tensor([alpha]))
        if unit_sum:
            self.register_buffer("least_sum", torch.tensor([LEAST_SUM]))
        features = kernel_size**2
        self.layers = nn.ModuleList()
        for block in range(blocks):
            self.layers += [AffineCoupling(features, hidden, passed=1 - block % 2), FlowNorm(features)]

    def forward(self, x: Tensor) -> Tensor:
        """Return the negative logarithm of the density (N,) of logits (N, D), in nats; training minimises it."""
        codes, log_det = self.encode(x)
        return 0.5 * (codes.square() + math.log(2 * math.pi)).sum(dim=1) - log_det

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Turn logits of kernels (N, D) into codes (N, D), with the logarithm of the Jacobian's determinant (N,)."""
        log_det = x.new_zeros(len(x))
        layer: Any
        for layer in self.layers:
            x, change = layer.encode(x)
            log_det = log_det + change
        return x, log_det

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (N, D) into kernels (N, D), with values from about -alpha to 1 + alpha; only in eval mode.

        The noise of :meth:`to_logits` is part of what is decoded: a sum of D / 1440 on average.
        """
        layer: Any
        for layer in reversed(self.layers):
            codes = layer.decode(codes)
        kernels: Tensor = (torch.sigmoid(codes) - self.alpha) / (1 - 2 * self.alpha)
        return kernels / kernels.sum(dim=1, keepdim=True).clamp(min=self.least_sum) if self.unit_sum else kernels

    def to_logits(self, kernels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Turn kernels (N, D) of values 0..1 into what the flow encodes, (N, D): logits of them with some noise.

        Args:
            kernels: The kernels; below 0 they count as 0.
            generator: Draws the noise; by default PyTorch's own.
        """
        noise = torch.rand(kernels.shape, generator=generator, dtype=kernels.dtype, device=kernels.device)
        # Up to 1, where a kernel is a single point: beyond it there are no logits.
        dithered = (kernels.clamp(min=0) + DITHER * noise).clamp(max=1)
        return torch.logit(self.alpha + (1 - 2 * self.alpha) * dithered)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw kernels (count, kernel_size, kernel_size) from the prior; only in eval mode.

        Args:
            count: How many.
            generator: Draws the codes; by default PyTorch's own.
        """
        like = next(self.parameters())
        size = count, self.kernel_size**2
        codes = torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
        return self.decode(codes).unflatten(1, (self.kernel_size, self.kernel_size))


def _check_arguments(kernel_size: int, blocks: int, hidden: int, alpha: float) -> None:
    least = {"kernel_size": (kernel_size, 2), "blocks": (blocks, 1), "hidden": (hidden, 1)}
    for name, (value, minimum) in least.items():
        if value < minimum:
            raise OptionError(f"KernelFlow: {name} must be at least {minimum}, got {value}")
    if not 0 < alpha < 0.5:
        raise OptionError(f"KernelFlow: alpha must lie between 0 and 0.5, got {alpha}")
