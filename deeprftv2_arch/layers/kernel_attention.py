"""Kernel attention: how a network is told the blur kernel of every pixel (UFPNet, CVPR 2023)."""

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.layers.resample import downsample


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
        """Turn features (B, c, H, W) and a kernel field (B, D, H, W) into features (B, c, H, W)."""
        features = self.to_features(x)
        attention = self.to_attention(torch.cat([features, self.to_kernel_features(kernels)], dim=1))
        return torch.addcmul(x, features, attention)


class KernelBlock(nn.Module):
    """A NAFBlock whose first branch sees features with kernel attention; its shortcut is the input without it.

    As ``beta`` of a NAFBlock starts at zero, the kernels have no effect before training.

    Args:
        channels: c, of the features.
        kernel_channels: D, of the kernel field.
    """

    def __init__(self, channels: int, kernel_channels: int) -> None:
        super().__init__()
        self.attention = KernelAttention(channels, kernel_channels)
        self.block = NAFBlock(channels)

    def forward(self, x: Tensor, kernels: Tensor) -> Tensor:
        """Turn features (B, c, H, W) and a kernel field (B, D, H, W) into features (B, c, H, W)."""
        return self.block.joined(x, self.block.gated(self.attention(x, kernels)))


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
        """Turn features and kernel field (B, c + D, H, W) into features (B, c, H, W)."""
        x, kernels = joined.split(self.sizes, dim=1)
        return torch.lerp(x, self.attention(x, kernels), self.gamma)


class KernelPyramid(nn.Module):
    """Halve a kernel field again and again by 2x2 convolutions with bias; the finest one is the field itself.

    Args:
        kernel_channels: D, of the kernel field.
        levels: Number of resolutions, at least 1.
    """

    def __init__(self, kernel_channels: int, levels: int) -> None:
        super().__init__()
        self.downs = nn.ModuleList(downsample(kernel_channels, kernel_channels, bias=True) for _ in range(levels - 1))

    def forward(self, kernels: Tensor) -> list[Tensor]:
        """Turn (B, D, H, W) into (B, D, H / 2^l, W / 2^l) for every level l, finest first."""
        pyramid = [kernels]
        for down in self.downs:
            pyramid.append(down(pyramid[-1]))
        return pyramid
