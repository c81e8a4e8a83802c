"""What the paper's ablation of the Fourier Kernel Estimator puts in its place (Table 7)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.pointwise import PointwiseConv2d
from deeprftv2_arch.layers.res_block import ResBlock
from deeprftv2_arch.ops.full_precision import without_autocast
from deeprftv2_arch.ops.reversible import Memory, call


class AddedKernelEstimator(FourierKernelEstimator):
    """A Fourier Kernel Estimator whose kernels are added instead of multiplied: d = F^-1(Y + K)."""

    def product(self, spectrum: Tensor, kernel: Tensor) -> Tensor:
        """Add the kernels K to the features' spectrum Y."""
        return spectrum + kernel


class LinearKernelEstimator(FourierKernelEstimator):
    """A Fourier Kernel Estimator without activation: its ResBlocks have lost their ReLU.

    The normalisation before the kernel head stays.

    Raises:
        OptionError: The blocks are of another kind, whose gates and scans are not activations that could be left out.
    """

    def __init__(self, dim: int, counts: Sequence[int], kind: BlockKind, first: bool, memory: Memory) -> None:
        if kind != "Res":
            raise OptionError(f"an estimator without activation has blocks of the kind Res, not {kind}")
        super().__init__(dim, counts, kind, first, memory)
        for module in self.sub_resnet.modules():
            if isinstance(module, ResBlock):
                _, relu, _ = module.body.named_children()
                module.body.register_module(relu[0], nn.Identity())


class SpatialKernelEstimator(FourierKernelEstimator):
    """Estimate kernels in space, and apply them as the Fourier Kernel Estimator does.

        r_0.. = sub_resnet(stem(to_kernel f); r^prev);  K = F(kernel_head(LN(r_last)))

    The paper says no more than "in the spatial domain". Here the place of the estimation alone changes: the sub-resnet
    works on (H, W) pixels, its kernels are real and as large as the map, and they still act by a product in Fourier
    space, that is by a convolution. Their transform is orthonormal, so that the size of K does not grow with the map.
    """

    def __init__(self, dim: int, counts: Sequence[int], kind: BlockKind, first: bool, memory: Memory) -> None:
        super().__init__(dim, counts, kind, first, memory)
        self.stem = PointwiseConv2d(dim, dim, bias=False)
        self.kernel_head = PointwiseConv2d(dim, dim)

    def to_sub_resnet(self, f: Tensor) -> Tensor:
        """Turn features f into the sub-resnet's input, (B, dim, H, W): pixels, not frequencies."""
        return self.stem(self.to_kernel(f))

    def to_spectrum(self, head: Tensor) -> Tensor:
        """Turn kernels in space (B, dim, H, W) into complex kernels (B, dim, H, W/2 + 1)."""
        return torch.fft.rfft2(head, norm="ortho")


class UnlinkedKernelEstimator(FourierKernelEstimator):
    """A Fourier Kernel Estimator without skip: no level fuses a feature of the estimator before it.

    It is built like a first one. The columns' own term alpha_l * r_l^prev stays: without it they would not be
    reversible columns.
    """

    def __init__(self, dim: int, counts: Sequence[int], kind: BlockKind, first: bool, memory: Memory) -> None:
        super().__init__(dim, counts, kind, True, memory)


class SourceKernelEstimator(FourierKernelEstimator):
    """Estimate kernels from something else than the features that they deblur: A = F(to_kernel source).

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
        self.to_kernel = PointwiseConv2d(source_channels, dim, bias=False)

    def deblur_from(self, source: Tensor, f: Tensor, previous: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Deblur f (B, dim, H, W) by kernels estimated from the source (B, source_channels, H, W), H and W even."""
        x = call(self.to_sub_resnet, source, keep=self.keep)
        with without_autocast(f):
            kernel, features = self.estimate_kernel(x, previous)
        return self.apply_kernel(f, kernel), features
