"""NAFNet's block with kernel attention (UFPNet)."""

from torch import Tensor, nn

from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.layers.ufpnet.kernel_attention import KernelAttention


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
        """Features (B, c, H, W) and kernel field (B, D, H, W) -> features (B, c, H, W)."""
        return self.block.joined(x, self.block.gated(self.attention(x, kernels)))
