"""Stacks of blocks, chosen by the name that the paper's tables give them."""

from typing import Literal, get_args

from torch import nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.layers.nafevs_block import ORIENTATIONS, NAFEVSBlock
from deeprftv2_arch.layers.res_block import ResBlock
from deeprftv2_arch.layers.vs_block import VSBlock

BlockKind = Literal["NAF", "VS", "NAFEVS", "Res"]


def block_stack(kind: BlockKind, channels: int, count: int) -> nn.Sequential:
    """Build ``count`` blocks of one kind on maps of ``channels`` channels.

    Raises:
        OptionError: Unknown kind, or a NAFEVS stack that would hand its map on turned or transposed.
    """
    if kind not in get_args(BlockKind):
        raise OptionError(f"block kind '{kind}' is unknown; choose from {', '.join(get_args(BlockKind))}")
    if kind == "NAFEVS":
        if count % ORIENTATIONS:
            raise OptionError(f"a level of NAFEVS blocks must have a multiple of {ORIENTATIONS} blocks, got {count}")
        return nn.Sequential(*(NAFEVSBlock(channels, index) for index in range(count)))
    block = {"NAF": NAFBlock, "VS": VSBlock, "Res": ResBlock}[kind]
    return nn.Sequential(*(block(channels) for _ in range(count)))
