"""Kernel attention: how a network is told the blur kernel of every pixel."""

import torch
from torch import Tensor, nn


class KernelAttention(nn.Module):
    """Weigh features by attention that the kernel field has a part in, and add them.

        f = GELU(conv(x));  g = GELU(conv(GELU(conv(K))));  out = x + f * sigmoid(conv[f, g])

    All convolutions are 3x3 with bias. It can be put before any part of any network.

    Args:
        channels: c, of the features.
        kernel_channels: D, of the kernel field.
    """

    def __init__(self, channels: int, kernel_channels: int) -> None:
        super().__init__()
        self.to_features = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GELU())
        self.to_kernel_features = nn.Sequential(
            nn.Conv2d(kernel_channels, channels, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GELU(),
        )
        self.to_attention = nn.Sequential(nn.Conv2d(2 * channels, channels, 3, padding=1), nn.Sigmoid())

    def forward(self, x: Tensor, kernels: Tensor) -> Tensor:
        """Features (B, c, H, W) and kernel field (B, D, H, W) -> features (B, c, H, W)."""
        features = self.to_features(x)
        attention = self.to_attention(torch.cat([features, self.to_kernel_features(kernels)], dim=1))
        return torch.addcmul(x, features, attention)
