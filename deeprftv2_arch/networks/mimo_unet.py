"""MIMO-UNet (Cho et al., ICCV 2021) of NAFBlocks: the multi-scale network that the decoupled one is compared with."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.block_stack import block_stack
from deeprftv2_arch.layers.pointwise import PointwiseConv2d
from deeprftv2_arch.layers.pyramid import SCALES, image_pyramid
from deeprftv2_arch.layers.resample import downsample, upsample
from deeprftv2_arch.layers.tiling import run_in_tiles
from deeprftv2_arch.networks.protocol import NetworkTraits
from deeprftv2_arch.ops.reversible import with_zero_gradients

SIZE_MULTIPLE = 8


class MIMOUNet(nn.Module):
    """One encoder that takes the image at three scales, and one decoder that restores it at three (Table 6, row 2).

        e_l = blocks(fuse[down e_{l-1}, embed B_l]);  d_l = blocks(skip[up d_{l+1}, e_l]);  S_l = head d_l + B_l

    The paper gives the row's 36.42 GMACs and no layout. This one has them, 36.425, with the parts of the paper's other
    networks where MIMO-UNet has heavier ones: the smaller images are embedded by a 3x3 convolution like the full one
    (for SCM), fused by concatenation and a 1x1 convolution (for FAM), and levels see their own encoder features by
    concatenation and a 1x1 convolution, without asymmetric feature fusion. None of these convolutions has a bias.

    Args:
        dim: Channels of the finest level.
        blocks: NAFBlocks of the three encoder levels, finest first; the decoder mirrors them.
        tile: In eval mode, height and width of the tiles in which larger images are restored; None: whole.
        tile_overlap: Pixels that neighbouring tiles share.

    Raises:
        OptionError: An argument is out of range.
    """

    def __init__(
        self, dim: int = 56, blocks: Sequence[int] = (1, 4, 8), tile: int | None = None, tile_overlap: int = 0
    ) -> None:
        super().__init__()
        if dim < 1 or len(blocks) != len(SCALES) or any(count < 1 for count in blocks):
            raise OptionError(
                f"MIMOUNet: dim and three numbers of blocks must be at least 1, got {dim}, {list(blocks)}"
            )
        self.use_tiles(tile, tile_overlap)
        widths = [dim * 2**level for level in range(len(blocks))]
        finer = list(pairwise(widths))
        self.embed = nn.ModuleList(nn.Conv2d(3, dim, 3, padding=1, bias=False) for _ in widths)
        self.down = nn.ModuleList(downsample(fine, coarse) for fine, coarse in finer)
        self.fuse = nn.ModuleList(PointwiseConv2d(width + dim, width, bias=False) for width in widths[1:])
        self.up = nn.ModuleList(upsample(coarse, fine) for fine, coarse in finer)
        self.skip = nn.ModuleList(PointwiseConv2d(2 * width, width, bias=False) for width in widths[:-1])
        self.encoder = nn.ModuleList(
            block_stack("NAF", width, count) for width, count in zip(widths, blocks, strict=True)
        )
        self.decoder = nn.ModuleList(
            block_stack("NAF", width, count) for width, count in zip(widths, blocks, strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 3, 3, padding=1) for width in widths)

    def use_tiles(self, tile: int | None, overlap: int = 0) -> None:
        """Choose the tiles of eval mode anew; see ``tile`` and ``tile_overlap`` of the class.

        Raises:
            OptionError: These tiles cannot be had.
        """
        if tile is not None and (tile < 1 or tile % SIZE_MULTIPLE or overlap % SIZE_MULTIPLE):
            raise OptionError(
                f"MIMOUNet: tile and tile_overlap must be multiples of {SIZE_MULTIPLE}, got {tile}, {overlap}"
            )
        if tile is not None and not 0 <= overlap < tile:
            raise OptionError(f"MIMOUNet: tile_overlap must be from 0 on and smaller than tile, got {overlap}, {tile}")
        self.tile, self.tile_overlap = tile, overlap

    @property
    def traits(self) -> NetworkTraits:
        """What callers have to know of the network."""
        return NetworkTraits(
            size_multiple=SIZE_MULTIPLE,
            training_multiple=SIZE_MULTIPLE,
            tile=self.tile,
            tile_overlap=self.tile_overlap,
        )

    @property
    def supervised_scales(self) -> tuple[str, ...]:
        """``full``, ``half`` and ``quarter``."""
        return SCALES

    @overload
    def forward(self, x: Tensor, supervise: Literal[False] = False) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, supervise: Literal[True]) -> dict[str, list[Tensor]]: ...

    def forward(self, x: Tensor, supervise: bool = False) -> Tensor | dict[str, list[Tensor]]:
        """Restore blurred images; in training with a gradient, maybe of zero, for every parameter.

        Args:
            x: (B, 3, H, W), RGB in 0..1. In training, and with ``supervise``, H and W are multiples of 8. In eval mode
                it is padded with zeros at the bottom and the right and cropped back.
            supervise: Whether to return the images of all scales.

        Returns:
            The restored images (B, 3, H, W), not clamped. With ``supervise`` one image at each of the scales ``full``,
            ``half`` and ``quarter``, in lists.

        Raises:
            OptionError: ``x`` is not RGB, or must be of a fitting size and is not.
        """
        height, width = x.shape[2:]
        below, right = -height % SIZE_MULTIPLE, -width % SIZE_MULTIPLE
        whole = supervise or self.training  # as it is: neither padded nor in tiles
        if x.shape[1] != 3 or (whole and (below or right)):
            raise OptionError(f"MIMOUNet: no RGB images of a multiple of {SIZE_MULTIPLE} pixels: {tuple(x.shape)}")
        pyramid = image_pyramid(
            F.pad(x, (0, right, 0, below)).contiguous(memory_format=torch.channels_last), len(SCALES)
        )
        if supervise:
            return {scale: [image] for scale, image in zip(SCALES, self.restore(pyramid), strict=True)}
        if not whole and self.tile is not None and max(pyramid[0].shape[2:]) > self.tile:
            restored = run_in_tiles(lambda tiles: self.restore(tiles)[0], pyramid, self.tile, self.tile_overlap)
        else:
            restored, *of_smaller_scales = self.restore(pyramid)
            if self.training:
                restored = with_zero_gradients(restored, of_smaller_scales)
        return restored[:, :, :height, :width]

    def restore(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Restore the blurred images of every scale, finest first."""
        encoded: list[Tensor] = []
        for level, (image, embed, blocks) in enumerate(zip(pyramid, self.embed, self.encoder, strict=True)):
            e = embed(image)
            if level:
                e = self.fuse[level - 1](torch.cat([self.down[level - 1](encoded[-1]), e], dim=1))
            encoded.append(blocks(e))
        d = self.decoder[-1](encoded[-1])
        restored = [self.heads[-1](d) + pyramid[-1]]
        for level in reversed(range(len(encoded) - 1)):
            d = self.decoder[level](self.skip[level](torch.cat([self.up[level](d), encoded[level]], dim=1)))
            restored.insert(0, self.heads[level](d) + pyramid[level])
        return restored
