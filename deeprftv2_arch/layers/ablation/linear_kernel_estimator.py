"""Kernels that are estimated in Fourier space without an activation (paper, Table 7)."""

from collections.abc import Sequence

from torch import nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.res_block import ResBlock
from deeprftv2_arch.ops.reversible import Memory


class LinearKernelEstimator(FourierKernelEstimator):
    """A Fourier Kernel Estimator whose ResBlocks have lost their ReLU.

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
