"""DeepRFTv2 with another kernel estimator: the networks of the paper's Table 7."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.ablation.added_kernel_estimator import AddedKernelEstimator
from deeprftv2_arch.layers.ablation.linear_kernel_estimator import LinearKernelEstimator
from deeprftv2_arch.layers.ablation.source_kernel_estimator import SourceKernelEstimator
from deeprftv2_arch.layers.ablation.spatial_kernel_estimator import SpatialKernelEstimator
from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2, DMSUNet, ScaleFeatures, SubUNet
from deeprftv2_arch.ops.reversible import Memory

Source = Literal["from_blurred", "from_restored", "from_e1"]
Variant = Literal["spatial", "no_activation", "added", "without_skip", "from_blurred", "from_restored", "from_e1"]

NAF: tuple[BlockKind, ...] = ("NAF", "NAF", "NAF")


def estimator_without_skip(
    dim: int, counts: Sequence[int], kind: BlockKind, first: bool, memory: Memory
) -> FourierKernelEstimator:
    """An estimator that is built like a first one, so that no level fuses a feature of the estimator before it.

    The columns' own term alpha_l * r_l^prev stays: without it they would not be reversible columns.
    """
    return FourierKernelEstimator(dim, counts, kind, True, memory)


ESTIMATORS: dict[str, Callable[..., FourierKernelEstimator]] = {
    "spatial": SpatialKernelEstimator,
    "no_activation": LinearKernelEstimator,
    "added": AddedKernelEstimator,
    "without_skip": estimator_without_skip,
}


class SourceSubUNet(SubUNet):
    """A sub-unet whose estimator looks at something else than the decoder's last features d1.

    Args:
        source: ``from_blurred``, the scale's blurred image; ``from_restored``, that image as the decoder restores
            it; ``from_e1``, the encoder's finest features.
        dim: As of :class:`SubUNet`, like all that follow.
        blocks: Number of blocks of every level, finest first.
        kinds: Block kind of every level, finest first.
        fke_blocks: Number of blocks of every level of the kernel estimator.
        fke_kind: Block kind of the kernel estimator.
        linked: Whether the encoder fuses the features of the next finer scale.
        first: Whether no unit comes before this one.
        memory: How much the columns keep for the backward pass.
    """

    fke: SourceKernelEstimator
    deblurred_head: nn.Conv2d

    def __init__(
        self,
        source: Source,
        dim: int,
        blocks: Sequence[int],
        kinds: Sequence[BlockKind],
        fke_blocks: Sequence[int],
        fke_kind: BlockKind,
        linked: bool,
        first: bool,
        memory: Memory,
    ) -> None:
        super().__init__(dim, blocks, kinds, fke_blocks, fke_kind, linked, first, memory)
        self.source = source
        channels = dim if source == "from_e1" else 3
        self.fke = SourceKernelEstimator(channels, dim, fke_blocks, fke_kind, first, memory)

    def decode(
        self, image: Tensor, latent: Tensor, encoded: list[Tensor], previous: ScaleFeatures | None
    ) -> tuple[ScaleFeatures, list[Tensor]]:
        """As :meth:`SubUNet.decode`, with kernels from the source."""
        *levels, decoded = self.decoder(latent, [*encoded[-2::-1], previous.decoded if previous else None])
        restored = self.decoded_head(decoded) + image
        source = {"from_blurred": image, "from_restored": restored, "from_e1": encoded[0]}[self.source]
        deblurred, kernels = self.fke.deblur_from(source, decoded, previous.kernels if previous else None)
        images = [restored, self.deblurred_head(deblurred) + image]
        return ScaleFeatures([*levels[::-1], latent], decoded, deblurred, kernels), images


class DeepRFTv2Ablation(DeepRFTv2):
    """A DeepRFTv2 whose Fourier Kernel Estimators are one of Table 7's variants.

    What is not part of the estimators starts from the weights that a DeepRFTv2 of the same seed starts from; only the
    sub-units of the variants ``from_...`` are built anew. A buffer with the variant's name keeps its weights from being
    loaded into another network of the same shapes.

    Args:
        variant: ``spatial``: kernels are estimated in space. ``no_activation``: in Fourier space, by ResBlocks without
            their ReLU. ``added``: kernels are added to the spectrum instead of multiplied. ``without_skip``: estimators
            do not fuse features of the unit before. ``from_blurred``, ``from_restored``, ``from_e1``: kernels are
            estimated from the blurred image, the image as the decoder restores it, or the encoder's finest
            features, instead of from the decoder's.
        dim: As of :class:`DeepRFTv2`, like all that follow.
        units: Number of DMS-UNets, one after the other.
        scales: 2 for the decoupled multi-scale UNet, 1 for a plain UNet at full resolution.
        blocks: Blocks of each encoder level, finest first.
        full_kinds: Block kind of every level at full resolution.
        half_kinds: Block kind of every level at half resolution.
        fke_blocks: Blocks of every level of the estimators; at least one.
        fke_kind: Block kind of the estimators.
        memory: What training keeps for the backward pass.
        tile: Height and width of the tiles of eval mode; None: whole.
        tile_overlap: Pixels that neighbouring tiles share.

    Raises:
        OptionError: An argument is out of range.
    """

    def __init__(
        self,
        variant: Variant,
        dim: int = 48,
        units: int = 1,
        scales: int = 1,
        blocks: Sequence[int] = (1, 4, 8),
        full_kinds: Sequence[BlockKind] = NAF,
        half_kinds: Sequence[BlockKind] = NAF,
        fke_blocks: Sequence[int] = (1, 1, 1, 1),
        fke_kind: BlockKind = "Res",
        memory: Memory | Sequence[Memory] = "reversible",
        tile: int | None = None,
        tile_overlap: int = 0,
    ) -> None:
        super().__init__(
            dim, units, scales, blocks, full_kinds, half_kinds, fke_blocks, fke_kind, memory, tile, tile_overlap
        )
        if variant not in get_args(Variant):
            raise OptionError(f"DeepRFTv2Ablation: variant '{variant}' is unknown; choose from {get_args(Variant)}")
        if not fke_blocks:
            raise OptionError(
                "DeepRFTv2Ablation: fke_blocks must have an entry, since it is the estimators that differ"
            )
        self.register_buffer(f"variant_{variant}", torch.zeros(()))
        for unit in cast(Iterable[DMSUNet], self.units):
            for name, kinds in zip(("full_scale", "half_scale")[:scales], (full_kinds, half_kinds), strict=False):
                sub_unet: SubUNet = getattr(unit, name)
                first, used = sub_unet.merge is None, sub_unet.encoder.memory
                if variant in ESTIMATORS:
                    sub_unet.fke = ESTIMATORS[variant](dim, fke_blocks, fke_kind, first, used)
                else:
                    linked = name == "half_scale"
                    source = cast(Source, variant)
                    ablated = SourceSubUNet(source, dim, blocks, kinds, fke_blocks, fke_kind, linked, first, used)
                    setattr(unit, name, ablated)
