"""Kernels that are estimated from something else than the features that they deblur (paper, Table 7)."""

from collections.abc import Sequence

from torch import Tensor, nn

from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.ops.full_precision import without_autocast
from deeprftv2_arch.ops.reversible import Memory, call


class SourceKernelEstimator(FourierKernelEstimator):
    """A Fourier Kernel Estimator with A = F(to_kernel source) instead of F(to_kernel f).

    Args:
        source_channels: Channels of the source.
        dim: As of :class:`FourierKernelEstimator`, like all that follow.
        counts: Blocks of every level of the sub-resnet.
        kind: Kind of the sub-resnet's blocks.
        first: Whether no estimator of the same scale comes before this one.
        memory: How much is kept for the backward pass.
    """

    def __init__(
        self, source_channels: int, dim: int, counts: Sequence[int], kind: BlockKind, first: bool, memory: Memory
    ) -> None:
        super().__init__(dim, counts, kind, first, memory)
        self.to_kernel = nn.Conv2d(source_channels, dim, 1, bias=False)

    def deblur_from(self, source: Tensor, f: Tensor, previous: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Deblur f (B, dim, H, W) by kernels estimated from the source (B, source_channels, H, W), H and W even."""
        x = call(self.to_sub_resnet, source, keep=self.keep)
        with without_autocast(f):
            kernel, features = self.estimate_kernel(x, previous)
        return self.apply_kernel(f, kernel), features
