"""DeepRFTv2 with another kernel estimator: the networks of the paper's Table 7."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.ablated_estimators import (
    AddedKernelEstimator,
    LinearKernelEstimator,
    SourceKernelEstimator,
    SpatialKernelEstimator,
    UnlinkedKernelEstimator,
)
from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2, DMSUNet, ScaleFeatures, ScaleSettings, SubUNet
from deeprftv2_arch.ops.reversible import Memory

Source = Literal["from_blurred", "from_restored", "from_e1"]
Variant = Literal["spatial", "no_activation", "added", "without_skip", "from_blurred", "from_restored", "from_e1"]

NAF: tuple[BlockKind, ...] = ("NAF", "NAF", "NAF")

ESTIMATORS: dict[str, Callable[..., FourierKernelEstimator]] = {
    "spatial": SpatialKernelEstimator,
    "no_activation": LinearKernelEstimator,
    "added": AddedKernelEstimator,
    "without_skip": UnlinkedKernelEstimator,
}


class SourceSubUNet(SubUNet):
    """A sub-unet whose estimator looks at something else than the decoder's last features d1.

    Args:
        settings: As of :class:`SubUNet`.
        source: ``from_blurred``, the scale's blurred image; ``from_restored``, that image as the decoder restores
            it; ``from_e1``, the encoder's finest features.
    """

    fke: SourceKernelEstimator
    deblurred_head: nn.Conv2d

    def __init__(self, settings: ScaleSettings, source: Source) -> None:
        super().__init__(settings)
        self.source = source
        channels = settings.dim if source == "from_e1" else 3
        self.fke = SourceKernelEstimator(channels, **settings.estimator)

    def decode(
        self, image: Tensor, latent: Tensor, encoded: list[Tensor], previous: ScaleFeatures | None
    ) -> tuple[ScaleFeatures, list[Tensor]]:
        """Do as :meth:`SubUNet.decode`, with kernels from the source."""
        *levels, decoded = self.decoder(latent, [*encoded[-2::-1], previous.decoded if previous else None])
        restored = self.decoded_head(decoded) + image
        source = {"from_blurred": image, "from_restored": restored, "from_e1": encoded[0]}[self.source]
        before = previous.kernel_features if previous else None
        deblurred, kernel_features = self.fke.deblur_from(source, decoded, before)
        images = [restored, self.deblurred_head(deblurred) + image]
        return ScaleFeatures([*levels[::-1], latent], decoded, deblurred, kernel_features), images


def ablated(scale: SubUNet, variant: Variant) -> SubUNet:
    """Give one scale of a unit the estimator of a variant."""
    if variant in get_args(Source):
        return SourceSubUNet(scale.settings, cast(Source, variant))
    scale.fke = ESTIMATORS[variant](**scale.settings.estimator)
    return scale


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
        if variant not in get_args(Variant):
            raise OptionError(f"DeepRFTv2Ablation: variant '{variant}' is unknown; choose from {get_args(Variant)}")
        if not fke_blocks:
            raise OptionError(
                "DeepRFTv2Ablation: fke_blocks must have an entry, since it is the estimators that differ"
            )
        super().__init__(
            dim=dim,
            units=units,
            scales=scales,
            blocks=blocks,
            full_kinds=full_kinds,
            half_kinds=half_kinds,
            fke_blocks=fke_blocks,
            fke_kind=fke_kind,
            memory=memory,
            tile=tile,
            tile_overlap=tile_overlap,
        )
        self.register_buffer(f"variant_{variant}", torch.zeros(()))
        # Only now, when all that is not exchanged has drawn its first weights as in a DeepRFTv2.
        for unit in cast(Iterable[DMSUNet], self.units):
            unit.full_scale = ablated(unit.full_scale, variant)
            if unit.half_scale is not None:
                unit.half_scale = ablated(unit.half_scale, variant)
