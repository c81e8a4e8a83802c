"""Train-size local pooling: means over windows instead of over the whole map (TLC, Chu et al., ECCV 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.ops.full_precision import at_least_float32

WINDOW = 1.5  # times the train size


class LocalMeanPool(nn.Module):
    """The mean of the window around every pixel; of the whole map where the window is not smaller in either direction.

    Windows lie inside the map: what the outermost one gives is repeated up to the border.

    Args:
        window: Height and width of the window in pixels.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, C, H, W) to (B, C, H, W), or (B, C, 1, 1) where there is one mean for all."""
        height, width = x.shape[2:]
        if self.window >= height and self.window >= width:
            return x.mean(dim=(2, 3), keepdim=True)
        means = _sliding_mean(_sliding_mean(at_least_float32(x), 3, self.window), 2, self.window)
        missing = height - means.shape[2], width - means.shape[3]
        left, top = missing[1] // 2, missing[0] // 2
        return F.pad(means, (left, missing[1] - left, top, missing[0] - top), mode="replicate").to(x.dtype)


def _sliding_mean(x: Tensor, axis: int, window: int) -> Tensor:
    """Average all stretches of ``window`` pixels along an axis, or the whole axis if it is not longer."""
    length = x.shape[axis]
    if window >= length:
        return x.mean(dim=axis, keepdim=True)
    sums = x.cumsum(dim=axis)
    first = sums.narrow(axis, window - 1, 1)
    others = sums.narrow(axis, window, length - window) - sums.narrow(axis, 0, length - window)
    return torch.cat([first, others], dim=axis) / window


def use_local_pooling(level: nn.Module, train_size: float) -> None:
    """Make the channel attentions of a level average over windows of 1.5 times a size.

    Args:
        level: Has NAFBlocks; the first part of their ``channel_attention`` is replaced, weights stay.
        train_size: In pixels of the level.
    """
    for module in level.modules():
        if isinstance(module, NAFBlock):
            module.channel_attention[0] = LocalMeanPool(int(WINDOW * train_size))
