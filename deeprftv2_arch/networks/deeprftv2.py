"""DeepRFTv2: kernel-level learning for image deblurring (paper, Figures 3 and 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, NamedTuple, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.local_pooling import use_local_pooling
from deeprftv2_arch.layers.pointwise import PointwiseConv2d
from deeprftv2_arch.layers.pyramid import SCALES, image_pyramid
from deeprftv2_arch.layers.resample import downsample
from deeprftv2_arch.layers.reversible_column import sub_decoder, sub_encoder
from deeprftv2_arch.layers.tiling import run_in_tiles
from deeprftv2_arch.networks.protocol import NetworkTraits
from deeprftv2_arch.ops.reversible import Memory, call, keeps_between_columns, with_zero_gradients

LEVELS = 3  # of every sub-unet: full, half and quarter resolution of its scale


class ScaleFeatures(NamedTuple):
    """What a unit hands to the next one, at one scale.

    Attributes:
        levels: c_l^prev of the next sub-encoder, finest level first: the decoder's features and the latent.
        decoded: The sub-decoder's last output, (B, dim, H, W).
        deblurred: The kernel estimator's output, (B, dim, H, W); ``decoded`` itself where there is no estimator.
        kernel_features: The features r_0.. of the estimator's sub-resnet, or None.
    """

    levels: list[Tensor]
    decoded: Tensor
    deblurred: Tensor
    kernel_features: list[Tensor] | None


@dataclass(frozen=True)
class ScaleSettings:
    """How one scale of a unit is built.

    Attributes:
        dim: Width of the finest level.
        blocks: Number of blocks of every level, finest first; the decoder mirrors the encoder.
        kinds: Block kind of every level, finest first.
        fke_blocks: Number of blocks of every level of the kernel estimator; empty for none.
        fke_kind: Block kind of the kernel estimator.
        linked: Whether the encoder fuses the features of the next finer scale.
        first: Whether no unit comes before this one.
        memory: How much the columns keep for the backward pass.
    """

    dim: int
    blocks: Sequence[int]
    kinds: Sequence[BlockKind]
    fke_blocks: Sequence[int] = ()
    fke_kind: BlockKind = "VS"
    linked: bool = False
    first: bool = True
    memory: Memory = "reversible"

    @property
    def estimator(self) -> dict[str, Any]:
        """Arguments of the scale's :class:`FourierKernelEstimator`."""
        return {
            "dim": self.dim,
            "counts": self.fke_blocks,
            "kind": self.fke_kind,
            "first": self.first,
            "memory": self.memory,
        }


class SubUNet(nn.Module):
    """One scale of a unit (paper, Figure 4): sub-encoder, sub-decoder and, at the end, a Fourier Kernel Estimator."""

    def __init__(self, settings: ScaleSettings) -> None:
        super().__init__()
        self.settings = settings
        dim, blocks, kinds, memory = settings.dim, settings.blocks, settings.kinds, settings.memory
        self.keep = keeps_between_columns(memory)
        self.embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.merge = None if settings.first else PointwiseConv2d(2 * dim, dim)
        self.encoder = sub_encoder(dim, blocks, kinds, settings.linked, memory)
        self.decoder = sub_decoder(dim, blocks, kinds, memory)
        self.decoded_head = nn.Conv2d(dim, 3, 3, padding=1)
        self.fke: FourierKernelEstimator | None = None
        self.deblurred_head: nn.Conv2d | None = None
        if settings.fke_blocks:
            self.fke = FourierKernelEstimator(**settings.estimator)
            self.deblurred_head = nn.Conv2d(dim, 3, 3, padding=1)

    def pool_locally(self, train_size: float) -> None:
        """Let channel attention average over windows; ``train_size`` in pixels of this scale."""
        for level, (down, up) in enumerate(zip(self.encoder.levels, reversed(self.decoder.levels), strict=True)):
            use_local_pooling(down, train_size / 2**level)
            use_local_pooling(up, train_size / 2**level)

    def estimate_in_windows(self, window: int, overlap: int) -> None:
        """Let the estimator work in windows; sizes in pixels of this scale."""
        if self.fke is not None:
            self.fke.window, self.fke.window_overlap = window, overlap

    def encode(self, image: Tensor, previous: ScaleFeatures | None, links: list[Tensor] | None = None) -> list[Tensor]:
        """Encode an image (B, 3, H, W) to features (B, dim 2^l, H / 2^l, W / 2^l) of every level l."""
        deblurred, levels = (previous.deblurred, previous.levels) if previous else (None, [None] * LEVELS)
        return self.encoder((image, deblurred), levels, links, first=self.embed_and_encode)

    def embed_and_encode(self, inputs: tuple[Tensor, Tensor | None], link: Tensor | None) -> Tensor:
        """Run the encoder's first level on an image (B, 3, H, W) and the deblurred features of the unit before."""
        image, deblurred = inputs
        x = self.embed(image)
        if self.merge is not None and deblurred is not None:
            x = self.merge(torch.cat([x, deblurred], dim=1))
        return self.encoder.levels[0](x, link)

    def decode(
        self, image: Tensor, latent: Tensor, encoded: list[Tensor], previous: ScaleFeatures | None
    ) -> tuple[ScaleFeatures, list[Tensor]]:
        """Decode the latent and the encoder's features to features for the next unit and this scale's restored images.

        Args:
            image: The blurred image (B, 3, H, W).
            latent: (B, 4 dim, H/4, W/4).
            encoded: What :meth:`encode` returned.
            previous: What the unit before handed on, if there is one.
        """
        *levels, decoded = self.decoder(latent, [*encoded[-2::-1], previous.decoded if previous else None])
        images, deblurred, kernel_features = call(
            self.tail, image, decoded, previous.kernel_features if previous else None, keep=self.keep
        )
        return ScaleFeatures([*levels[::-1], latent], decoded, deblurred, kernel_features), images

    def tail(
        self, image: Tensor, decoded: Tensor, previous: list[Tensor] | None
    ) -> tuple[list[Tensor], Tensor, list[Tensor] | None]:
        """Restore images from the decoder's last output (B, dim, H, W).

        Returns:
            The restored images (B, 3, H, W), the better one last; the deblurred features; and those of the estimator.
        """
        images = [self.decoded_head(decoded) + image]
        if self.fke is None or self.deblurred_head is None:
            return images, decoded, None
        deblurred, kernel_features = self.fke(decoded, previous)
        images.append(self.deblurred_head(deblurred) + image)
        return images, deblurred, kernel_features


class DMSUNet(nn.Module):
    """One unit (paper, Figure 3), the decoupled multi-scale UNet: a full-resolution sub-unet around a half-size one.

    The half scale reads the full scale's encoder features; its deblurred features join the full scale's latent.

    Args:
        full: Of the full scale.
        half: Of the half scale; None for a plain UNet at full resolution.
    """

    def __init__(self, full: ScaleSettings, half: ScaleSettings | None) -> None:
        super().__init__()
        self.keep = keeps_between_columns(full.memory)
        self.full_scale = SubUNet(full)
        self.half_scale: SubUNet | None = None
        if half is not None:
            widths = [full.dim * 2**level for level in range(len(full.blocks))]
            self.half_scale = SubUNet(half)
            self.full_to_half = nn.ModuleList(downsample(width, width) for width in widths)
            self.half_to_latent = downsample(full.dim, widths[-1])
            self.fuse_latent = PointwiseConv2d(2 * widths[-1], widths[-1])

    def forward(
        self, pyramid: Sequence[Tensor], previous: Sequence[ScaleFeatures] | None
    ) -> tuple[list[ScaleFeatures], list[list[Tensor]]]:
        """Run the unit.

        Args:
            pyramid: Blurred images of every scale, finest first.
            previous: What the unit before handed on, at every scale; None in the first unit.

        Returns:
            Features for the next unit, and restored images, of every scale.
        """
        before: Sequence[ScaleFeatures | None] = previous or [None] * len(pyramid)
        encoded = self.full_scale.encode(pyramid[0], before[0])
        latent = encoded[-1]
        features, images = [], []
        if self.half_scale is not None:
            links = [down(level) for down, level in zip(self.full_to_half, encoded, strict=True)]
            half_encoded = self.half_scale.encode(pyramid[1], before[1], links)
            half_features, half_images = self.half_scale.decode(pyramid[1], half_encoded[-1], half_encoded, before[1])
            latent = call(self.join, half_features.deblurred, latent, keep=self.keep)
            features, images = [half_features], [half_images]
        full_features, full_images = self.full_scale.decode(pyramid[0], latent, encoded, before[0])
        return [full_features, *features], [full_images, *images]

    def sub_unets(self) -> list[SubUNet]:
        """Return the scales, full scale first."""
        return [self.full_scale] if self.half_scale is None else [self.full_scale, self.half_scale]

    def join(self, deblurred: Tensor, encoded: Tensor) -> Tensor:
        """Fuse the half scale's deblurred and the full scale's deepest encoder features to the full scale's latent."""
        return self.fuse_latent(torch.cat([self.half_to_latent(deblurred), encoded], dim=1))


class DeepRFTv2(nn.Module):
    """DeepRFTv2 (paper, Section 3). The defaults build DeepRFTv2-B; NAF blocks everywhere build DeepRFTv2-S.

    Args:
        dim: Channels of the finest level, even. The paper has 48.
        units: Number of DMS-UNets, one after the other.
        scales: 2 for the decoupled multi-scale UNet, 1 for a plain UNet at full resolution.
        blocks: Blocks of each of the three encoder levels, finest first; the decoder mirrors them.
        full_kinds: Block kind of every level at full resolution: NAF, NAFEVS, VS or Res.
        half_kinds: Block kind of every level at half resolution.
        fke_blocks: Blocks of every level of the Fourier Kernel Estimators; empty for a network without them.
        fke_kind: Block kind of the estimators; the paper's ablation compares VS, NAF and Res.
        memory: What training keeps for the backward pass, for all units or one by one: ``none`` (everything),
            ``reversible`` (the level outputs; the levels run again) or ``lean`` (less, and block by block).
        tile: In eval mode, height and width of the tiles in which larger images are restored; None: whole.
        tile_overlap: Pixels that neighbouring tiles share; without ``tile`` of no effect.
        smallest_size: In eval mode, height and width to which smaller images are padded with zeros at the bottom and
            the right before they are restored; multiples of 8. The paper's for RealBlur is [776, 680].
        train_size: Where channel attention is to average over windows of 1.5 times this size (at half resolution half
            of it, and so on) instead of over the whole map, in training as in evaluation: local pooling, TLC. The
            paper's is 256 for REDS and 320 for DPDD, half of the patches of those trainings.
        fke_window: Height and width of the windows in which the estimators work on larger images (at half resolution
            half of it). The paper's is 320 for DPDD.
        fke_overlap: Pixels that neighbouring windows share in eval mode, where they are blended; without
            ``fke_window`` of no effect.

    Raises:
        OptionError: An argument is out of range, or lists that belong together differ in length.
    """

    def __init__(
        self,
        dim: int = 48,
        units: int = 2,
        scales: int = 2,
        blocks: Sequence[int] = (1, 4, 8),
        full_kinds: Sequence[BlockKind] = ("NAF", "NAFEVS", "NAFEVS"),
        half_kinds: Sequence[BlockKind] = ("NAF", "NAF", "NAF"),
        fke_blocks: Sequence[int] = (1, 1, 1, 1),
        fke_kind: BlockKind = "VS",
        memory: Memory | Sequence[Memory] = "reversible",
        tile: int | None = None,
        tile_overlap: int = 0,
        smallest_size: tuple[int, int] | None = None,
        train_size: int | None = None,
        fke_window: int | None = None,
        fke_overlap: int = 0,
    ) -> None:
        super().__init__()
        memories = [memory] * units if isinstance(memory, str) else list(memory)
        self.size_multiple = 2 ** (LEVELS - 1 + scales - 1)
        _check_arguments(dim, units, scales, blocks, full_kinds, half_kinds, fke_blocks, memories)
        _check_tiles("fke_window", fke_window, "fke_overlap", fke_overlap, self.size_multiple)
        _check_smallest_size(smallest_size, self.size_multiple)
        if train_size is not None and train_size < self.size_multiple:
            raise OptionError(f"DeepRFTv2: train_size must be at least {self.size_multiple} or null, got {train_size}")
        self.scales = scales
        self.use_tiles(tile, tile_overlap)
        self.smallest_size = smallest_size or (0, 0)
        units_in_order: list[DMSUNet] = []
        for used in memories:
            full = ScaleSettings(dim, blocks, full_kinds, fke_blocks, fke_kind, first=not units_in_order, memory=used)
            half = replace(full, kinds=half_kinds, linked=True) if scales == 2 else None
            units_in_order.append(DMSUNet(full, half))
        self.units = nn.ModuleList(units_in_order)
        for unit in units_in_order:
            for halvings, sub_unet in enumerate(unit.sub_unets()):
                if train_size is not None:
                    sub_unet.pool_locally(train_size / 2**halvings)
                if fke_window is not None:
                    sub_unet.estimate_in_windows(fke_window >> halvings, fke_overlap >> halvings)

    def use_tiles(self, tile: int | None, overlap: int = 0) -> None:
        """Choose the tiles of eval mode anew; see ``tile`` and ``tile_overlap`` of the class.

        Raises:
            OptionError: These tiles cannot be had.
        """
        _check_tiles("tile", tile, "tile_overlap", overlap, self.size_multiple)
        self.tile = tile
        self.tile_overlap = overlap

    @property
    def traits(self) -> NetworkTraits:
        """What callers have to know of the network."""
        return NetworkTraits(
            size_multiple=self.size_multiple,
            training_multiple=self.size_multiple,
            tile=self.tile,
            tile_overlap=self.tile_overlap,
        )

    @property
    def supervised_scales(self) -> tuple[str, ...]:
        """``full`` and, with two scales, ``half``."""
        return SCALES[: self.scales]

    @overload
    def forward(self, x: Tensor, supervise: Literal[False] = False) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, supervise: Literal[True]) -> dict[str, list[Tensor]]: ...

    def forward(self, x: Tensor, supervise: bool = False) -> Tensor | dict[str, list[Tensor]]:
        """Restore blurred images.

        In training every parameter gets a gradient, whether ``supervise`` or not: those behind images that are not
        returned get zero, so that DistributedDataParallel works with any loss of the result.

        Args:
            x: (B, 3, H, W), RGB in 0..1. In eval mode of any size: it is zero-padded at the bottom and the right to a
                multiple of 8 (4 with one scale), and to the smallest size, as in the paper's evaluation, and cropped
                back. In training, and with ``supervise``, height and width must be such multiples.
            supervise: Whether to return everything that the paper's training compares with sharp images.

        Returns:
            The restored images (B, 3, H, W), not clamped. With ``supervise`` every restored image by scale: ``full``
            (B, 3, H, W) and, with two scales, ``half`` (B, 3, H/2, W/2), in the order of the network, the best last.

        Raises:
            OptionError: ``x`` is not RGB, or must be of a fitting size and is not.
        """
        whole = supervise or self.training  # as it is: neither padded nor in tiles
        height, width = self._check_input(x, whole)
        x = x if whole else self._padded(x)
        pyramid = image_pyramid(x.contiguous(memory_format=torch.channels_last), self.scales)
        if supervise:
            return dict(zip(self.supervised_scales, self.restore(pyramid), strict=True))
        if not whole and self.tile is not None and max(x.shape[2:]) > self.tile:
            restored = run_in_tiles(lambda tiles: self.restore(tiles)[0][-1], pyramid, self.tile, self.tile_overlap)
        else:
            (*unused, restored), *of_smaller_scales = self.restore(pyramid)
            if self.training:
                restored = with_zero_gradients(restored, [*unused, *chain(*of_smaller_scales)])
        return restored[:, :, :height, :width]

    def restore(self, pyramid: Sequence[Tensor]) -> list[list[Tensor]]:
        """Restore the blurred images of every scale: all restored ones of every scale, the best of each scale last."""
        images: list[list[Tensor]] = [[] for _ in pyramid]
        features = None
        for unit in self.units:
            features, restored = unit(pyramid, features)
            for scale, new in zip(images, restored, strict=True):
                scale.extend(new)
        return images

    def _padded(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        below = max(self.smallest_size[0] - height, -height % self.size_multiple)
        right = max(self.smallest_size[1] - width, -width % self.size_multiple)
        return F.pad(x, (0, right, 0, below))

    def _check_input(self, x: Tensor, whole: bool) -> tuple[int, int]:
        if x.dim() != 4 or x.shape[1] != 3:
            raise OptionError(f"DeepRFTv2 restores RGB images (B, 3, H, W), got a tensor of shape {tuple(x.shape)}")
        height, width = x.shape[2:]
        if whole and (height % self.size_multiple or width % self.size_multiple):
            raise OptionError(
                f"DeepRFTv2 trains on images whose height and width are multiples of {self.size_multiple}, "
                f"got {height}x{width}; change patch_size"
            )
        return height, width


def _check_arguments(
    dim: int,
    units: int,
    scales: int,
    blocks: Sequence[int],
    full_kinds: Sequence[str],
    half_kinds: Sequence[str],
    fke_blocks: Sequence[int],
    memories: Sequence[str],
) -> None:
    if dim < 2 or dim % 2:
        raise OptionError(f"DeepRFTv2: dim must be an even number of channels, got {dim}")
    if units < 1:
        raise OptionError(f"DeepRFTv2: units must be at least 1, got {units}")
    if scales not in (1, 2):
        raise OptionError(f"DeepRFTv2: scales must be 1 or 2, got {scales}")
    for name, values in (("blocks", blocks), ("full_kinds", full_kinds), ("half_kinds", half_kinds)):
        if len(values) != LEVELS:
            raise OptionError(f"DeepRFTv2: {name} must have one entry for each of {LEVELS} levels, got {list(values)}")
    for name, counts in (("blocks", blocks), ("fke_blocks", fke_blocks)):
        if any(count < 1 for count in counts):
            raise OptionError(f"DeepRFTv2: every entry of {name} must be at least 1, got {list(counts)}")
    if len(memories) != units:
        raise OptionError(f"DeepRFTv2: memory must be one mode, or one per unit ({units}), got {list(memories)}")


def _check_tiles(name: str, tile: int | None, overlap_name: str, overlap: int, multiple: int) -> None:
    if tile is None:
        return
    if tile < multiple or tile % multiple or overlap % multiple:
        raise OptionError(
            f"DeepRFTv2: {name} and {overlap_name} must be multiples of {multiple}, got {tile}, {overlap}"
        )
    if not 0 <= overlap < tile:
        raise OptionError(
            f"DeepRFTv2: {overlap_name} must be from 0 on and smaller than {name}, got {overlap} and {tile}"
        )


def _check_smallest_size(size: Sequence[int] | None, multiple: int) -> None:
    if size is not None and (len(size) != 2 or any(side < multiple or side % multiple for side in size)):
        raise OptionError(
            f"DeepRFTv2: smallest_size must be a height and a width, multiples of {multiple}, got {list(size)}"
        )
