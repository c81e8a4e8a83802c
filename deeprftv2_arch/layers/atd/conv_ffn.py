"""The feed-forward part of ATD's layers, with a depthwise convolution in its middle."""

import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.layers.atd.tokens import to_map, to_tokens


class DepthwiseConv(nn.Module):
    """GELU(depthwise convolution), (B, H, W, C) -> (B, H, W, C).

    Args:
        dim: Channels C.
        kernel_size: Height and width of the kernels, odd.
    """

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim), nn.GELU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return to_tokens(self.depthwise_conv(to_map(x).contiguous()))


class ConvFFN(nn.Module):
    """h = GELU(fc1 x);  out = fc2(h + GELU(depthwise h)), (B, H, W, C) -> (B, H, W, C).

    Args:
        dim: Channels C.
        hidden: Channels of h.
        kernel_size: Of the depthwise convolution.
    """

    def __init__(self, dim: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden, kernel_size)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.fc1(x))
        return self.fc2(x + self.dwconv(x))
