"""UFPNet's kernel estimator as a plug-in of another network: the plain U-Net of DeepRFTv2."""

from collections.abc import Sequence

from torch import Tensor

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_attention import KernelGuidance, KernelPyramid
from deeprftv2_arch.networks.deeprftv2 import LEVELS, ScaleSettings, SubUNet
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator
from deeprftv2_arch.ops.reversible import Memory


class KernelGuidedUNet(KernelGuidedNetwork):
    """DeepRFTv2 of one scale and one unit without Fourier Kernel Estimators, whose encoder attends to blur kernels.

    Where a level of the encoder could fuse the features of another column, it fuses the kernel field of its resolution
    (:class:`KernelGuidance`). That has no effect before training: with weights of the plain U-Net as ``unet`` the
    network starts as the plain one, up to the clamping of its output to 0..1.

    Args:
        dim: Channels of the finest level, even.
        blocks: Blocks of each of the three encoder levels, finest first; the decoder mirrors them.
        kinds: Block kind of every level: NAF, NAFEVS, VS or Res.
        memory: What training keeps for the backward pass of the U-Net: ``none`` (everything), ``reversible`` or
            ``lean``, see :class:`~deeprftv2_arch.networks.deeprftv2.DeepRFTv2`.
        kernel_width: ``width`` of the estimator.
        kernel_size: Height and width of the kernels.
        flow_blocks: ``blocks`` of the flow.
        flow_hidden: ``hidden`` of the flow.
        samples: As of :class:`~deeprftv2_arch.networks.ufpnet.UFPNet`.
        seed: As there.
        train_size: As there.
        kernel_contrast: ``contrast`` of the estimator.
        kernel_unit_sum: ``unit_sum`` of the flow.

    Raises:
        OptionError: An argument is out of range, or lists that belong together differ in length.
    """

    def __init__(
        self,
        dim: int = 48,
        blocks: Sequence[int] = (1, 4, 8),
        kinds: Sequence[BlockKind] = ("NAF", "NAF", "NAF"),
        memory: Memory = "none",
        kernel_width: int = 64,
        kernel_size: int = 19,
        flow_blocks: int = 5,
        flow_hidden: int = 25,
        samples: int = 1,
        seed: int | None = None,
        train_size: int | None = None,
        kernel_contrast: bool = False,
        kernel_unit_sum: bool = False,
    ) -> None:
        _check_arguments(dim, blocks, kinds, train_size)
        super().__init__(
            estimator=UncertainKernelEstimator(kernel_width, kernel_size, kernel_contrast),
            flow=KernelFlow(kernel_size, flow_blocks, flow_hidden, unit_sum=kernel_unit_sum),
            size_multiple=2 ** (LEVELS - 1),
            samples=samples,
            seed=seed,
        )
        self.pyramid = KernelPyramid(kernel_size**2, LEVELS)
        self.unet = SubUNet(ScaleSettings(dim, blocks, kinds, memory=memory))
        for index, level in enumerate(self.unet.encoder.levels):
            level.fuse = KernelGuidance(dim * 2**index, kernel_size**2)
        if train_size is not None:
            self.unet.pool_locally(train_size)

    def deblur(self, x: Tensor, kernels: Tensor) -> Tensor:
        encoded = self.unet.encode(x, None, links=self.pyramid(kernels))
        _, (restored,) = self.unet.decode(x, encoded[-1], encoded, None)
        return restored


def _check_arguments(dim: int, blocks: Sequence[int], kinds: Sequence[str], train_size: int | None) -> None:
    if dim < 2 or dim % 2:
        raise OptionError(f"KernelGuidedUNet: dim must be an even number of channels, got {dim}")
    for name, values in (("blocks", blocks), ("kinds", kinds)):
        if len(values) != LEVELS:
            raise OptionError(
                f"KernelGuidedUNet: {name} must have one entry for each of {LEVELS} levels, got {list(values)}"
            )
    if any(count < 1 for count in blocks):
        raise OptionError(f"KernelGuidedUNet: every entry of blocks must be at least 1, got {list(blocks)}")
    if train_size is not None and train_size < 2 ** (LEVELS - 1):
        raise OptionError(
            f"KernelGuidedUNet: train_size must be at least {2 ** (LEVELS - 1)} or null, got {train_size}"
        )
