"""The nonlinear-activation-free block and its gate (NAFNet, Chen et al., ECCV 2022)."""

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.layer_norm import LayerNorm2d
from deeprftv2_arch.layers.pointwise import PointwiseConv2d
from deeprftv2_arch.ops.strips import by_strips


def simple_gate(x: Tensor) -> Tensor:
    """Multiply the two halves of the channels: (B, 2C, H, W) -> (B, C, H, W)."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """Gated depthwise convolution with channel attention, then a gated feed-forward part.

        g = SG(dw3x3(1x1(LN(x))));  y = x + beta * 1x1(g * SCA(g));  out = y + gamma * 1x1(SG(1x1(LN(y))))

    ``beta`` and ``gamma`` start at zero, so that the block starts as the identity. 7c^2 + 33c parameters.

    Args:
        channels: c; the block maps (B, c, H, W) to (B, c, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.expand = PointwiseConv2d(channels, 2 * channels)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.channel_attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.project = PointwiseConv2d(channels, channels)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

        self.ffn_norm = LayerNorm2d(channels)
        self.ffn_expand = PointwiseConv2d(channels, 2 * channels)
        self.ffn_project = PointwiseConv2d(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.joined(x, self.gated(x))

    def joined(self, x: Tensor, g: Tensor) -> Tensor:
        """Compute the block's output from what its shortcut and its first branch hand on."""

        def rest(x: Tensor, g: Tensor, attention: Tensor) -> Tensor:
            return self.feed_forward(torch.addcmul(x, self.beta, self.project(g * attention)))

        return by_strips(rest, x, g, self.channel_attention(g))

    def gated(self, x: Tensor) -> Tensor:
        """Compute g above."""
        return simple_gate(self.depthwise(by_strips(lambda x: self.expand(self.norm(x)), x)))

    def feed_forward(self, y: Tensor) -> Tensor:
        """Compute the second half of the block."""
        return torch.addcmul(y, self.gamma, self.ffn_project(simple_gate(self.ffn_expand(self.ffn_norm(y)))))
