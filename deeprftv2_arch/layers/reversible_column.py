"""The column: the one shape of sub-encoders, sub-decoders and the kernel estimator's sub-resnet (paper, Figure 4)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.block_stack import BlockKind, block_stack
from deeprftv2_arch.layers.pointwise import PointwiseConv2d
from deeprftv2_arch.layers.resample import downsample, upsample
from deeprftv2_arch.ops.reversible import Memory, call, check_memory_mode, column_step, keeps_between_columns

INITIAL_ALPHA = 0.5

Level = Callable[[Any, Tensor | None], Tensor]  # its input and its link -> F_l


class ColumnLevel(nn.Module):
    """One level F_l of a column: resample, fuse a link from another column, run the blocks, resample.

    Args:
        blocks: The level's blocks, on maps of ``channels`` channels.
        channels: Width of the blocks, and of the link if there is one.
        memory: How much the column keeps for the backward pass.
        before: Applied to the level's input, e.g. the sub-encoder's down-sampling.
        linked: Whether the level fuses a link, by concatenation and a 1x1 convolution.
        after: Applied to the blocks' output, e.g. the sub-decoder's up-sampling.
    """

    def __init__(
        self,
        blocks: nn.Sequential,
        channels: int,
        memory: Memory,
        before: nn.Module | None = None,
        linked: bool = False,
        after: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.keep = keeps_between_columns(memory)
        self.before = before or nn.Identity()
        self.fuse = PointwiseConv2d(2 * channels, channels) if linked else None
        self.blocks = blocks
        self.after = after or nn.Identity()

    def forward(self, x: Tensor, link: Tensor | None) -> Tensor:
        """Compute F_l from the level's input and, if it fuses one, the link."""
        x = self.before(x)
        if self.fuse is not None and link is not None:
            x = self.fuse(torch.cat([x, link], dim=1))
        # The last block needs no second run of its own: its backward pass is the first after the level's second run.
        *blocks, last = self.blocks
        for block in blocks:
            x = call(block, x, keep=self.keep)
        return self.after(last(x))


class ReversibleColumn(nn.Module):
    """Levels with c_l = F_l(c_{l-1}, link_l) + alpha_l * c_l^prev, see :mod:`deeprftv2_arch.ops.reversible`.

    Args:
        levels: F_0, F_1, ...
        channels: Width of every level's output.
        memory: How much the column keeps for the backward pass.

    Raises:
        OptionError: There is no such memory mode.
    """

    def __init__(self, levels: Sequence[ColumnLevel], channels: Sequence[int], memory: Memory) -> None:
        super().__init__()
        check_memory_mode(memory)
        self.memory = memory
        self.levels = nn.ModuleList(levels)
        self.alphas = nn.ParameterList(torch.full((1, c, 1, 1), INITIAL_ALPHA) for c in channels)

    def forward(
        self,
        x: Any,
        previous: Sequence[Tensor | None],
        links: Sequence[Tensor | None] | None = None,
        first: Level | None = None,
    ) -> list[Tensor]:
        """Run the column.

        Args:
            x: Input of the first level.
            previous: c_l^prev of every level, None where there is no column before.
            links: link_l of every level, None where the level has none.
            first: Stands for the first level, which it runs on what it makes of ``x``: where the level runs again for
                the backward pass, so does this.

        Returns:
            The outputs c_l of all levels.
        """
        levels: list[Level] = list(self.levels)
        if first is not None:
            levels[0] = first
        outputs: list[Tensor] = []
        for level, alpha, prev, link in zip(levels, self.alphas, previous, links or [None] * len(levels), strict=True):
            x = column_step(level, x, link, alpha, prev, self.memory)
            outputs.append(x)
        return outputs


def sub_encoder(
    dim: int, counts: Sequence[int], kinds: Sequence[BlockKind], linked: bool, memory: Memory
) -> ReversibleColumn:
    """Build the encoder of one scale of a unit: dim, 2 dim, 4 dim, ... channels, halving the size from level to level.

    A ``linked`` encoder fuses a link of its own width in every level (the features of the next finer scale).
    """
    widths = [dim * 2**level for level in range(len(counts))]
    levels = [
        ColumnLevel(
            block_stack(kind, width, count),
            width,
            memory,
            before=downsample(width // 2, width) if index else None,
            linked=linked,
        )
        for index, (kind, width, count) in enumerate(zip(kinds, widths, counts, strict=True))
    ]
    return ReversibleColumn(levels, widths, memory)


def sub_decoder(dim: int, counts: Sequence[int], kinds: Sequence[BlockKind], memory: Memory) -> ReversibleColumn:
    """Build the decoder of one scale: as :func:`sub_encoder` mirrored, a level's blocks before its up-sampling.

    ``counts`` and ``kinds`` are the encoder's, finest level first; the skip connections are the columns' alpha terms.
    """
    widths = [dim * 2**level for level in range(len(counts))][::-1]
    outputs = [*widths[1:], dim]
    levels = [
        ColumnLevel(
            block_stack(kind, width, count),
            width,
            memory,
            after=upsample(width, output) if output < width else None,
        )
        for kind, width, count, output in zip(kinds[::-1], widths, counts[::-1], outputs, strict=True)
    ]
    return ReversibleColumn(levels, outputs, memory)


def sub_resnet(dim: int, counts: Sequence[int], kind: BlockKind, first: bool, memory: Memory) -> ReversibleColumn:
    """Build the kernel network of a Fourier Kernel Estimator: levels of one width and one size.

    In every column but the ``first``, level l fuses the previous column's level l + 1 (the paper's skip links).
    """
    last = len(counts) - 1
    levels = [
        ColumnLevel(block_stack(kind, dim, count), dim, memory, linked=not first and index < last)
        for index, count in enumerate(counts)
    ]
    return ReversibleColumn(levels, [dim] * len(counts), memory)
