"""Halving and doubling the size of feature maps."""

from torch import nn

from deeprftv2_arch.layers.pointwise import PointwiseConv2d


def downsample(in_channels: int, out_channels: int, bias: bool = False) -> nn.Conv2d:
    """Build a 2x2 convolution of stride 2: (B, in, H, W) -> (B, out, H/2, W/2)."""
    return nn.Conv2d(in_channels, out_channels, 2, stride=2, bias=bias)


def upsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """Build a 1x1 convolution without bias and a PixelShuffle: (B, in, H, W) -> (B, out, 2H, 2W)."""
    return nn.Sequential(PointwiseConv2d(in_channels, 4 * out_channels, bias=False), nn.PixelShuffle(2))
