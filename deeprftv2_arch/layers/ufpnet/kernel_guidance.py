"""Kernel attention for networks that are not built around it."""

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.ufpnet.kernel_attention import KernelAttention


class KernelGuidance(nn.Module):
    """Kernel attention of which a learned part per channel is taken: ``x + gamma (attention(x, K) - x)``.

    ``gamma`` starts at zero, so that a network that is given such layers starts as it was before. It takes features and
    kernels in one tensor, as a :class:`~deeprftv2_arch.layers.reversible_column.ColumnLevel` hands them to the layer
    that fuses its links.

    Args:
        channels: c, of the features.
        kernel_channels: D, of the kernel field.
    """

    def __init__(self, channels: int, kernel_channels: int) -> None:
        super().__init__()
        self.sizes = [channels, kernel_channels]
        self.attention = KernelAttention(channels, kernel_channels)
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, joined: Tensor) -> Tensor:
        """Features and kernel field (B, c + D, H, W) -> features (B, c, H, W)."""
        x, kernels = joined.split(self.sizes, dim=1)
        return torch.lerp(x, self.attention(x, kernels), self.gamma)
