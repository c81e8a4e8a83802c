"""Kernels that are estimated in space (paper, Table 7)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.ops.reversible import Memory


class SpatialKernelEstimator(FourierKernelEstimator):
    """Estimate kernels in space, and apply them as the Fourier Kernel Estimator does.

        r_0.. = sub_resnet(stem(to_kernel f); r^prev);  K = F(kernel_head(LN(r_last)))

    The paper says no more than "in the spatial domain". Here the place of the estimation alone changes: the sub-resnet
    works on (H, W) pixels, its kernels are real and as large as the map, and they still act by a product in Fourier
    space, that is by a convolution. Their transform is orthonormal, so that the size of K does not grow with the map.
    """

    def __init__(self, dim: int, counts: Sequence[int], kind: BlockKind, first: bool, memory: Memory) -> None:
        super().__init__(dim, counts, kind, first, memory)
        self.stem = nn.Conv2d(dim, dim, 1, bias=False)
        self.kernel_head = nn.Conv2d(dim, dim, 1)

    def to_sub_resnet(self, f: Tensor) -> Tensor:
        """Features f -> the sub-resnet's input, (B, dim, H, W): pixels, not frequencies."""
        return self.stem(self.to_kernel(f))

    def to_spectrum(self, head: Tensor) -> Tensor:
        """Kernels in space (B, dim, H, W) -> complex kernels (B, dim, H, W/2 + 1)."""
        return torch.fft.rfft2(head, norm="ortho")
