"""The kernel field at the resolutions of a network's levels."""

from torch import Tensor, nn

from deeprftv2_arch.layers.resample import downsample


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
        """(B, D, H, W) -> (B, D, H / 2^l, W / 2^l) for every level l, finest first."""
        pyramid = [kernels]
        for down in self.downs:
            pyramid.append(down(pyramid[-1]))
        return pyramid
