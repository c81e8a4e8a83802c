"""NAFBlocks in fewer operations, for graphs that run without this package's own tricks.

A runtime does one operation after the other, each over whole maps. So what can be done to weights beforehand is, and
gates get two convolutions instead of one whose result is split: the numbers are the same up to rounding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.layers.naf_block import NAFBlock


class FoldedNAFBlock(nn.Module):
    """What a :class:`NAFBlock` computes in eval mode.

    Args:
        block: Its weights are copied.
    """

    def __init__(self, block: NAFBlock) -> None:
        super().__init__()
        self.norm, self.ffn_norm = block.norm, block.ffn_norm
        self.expand = nn.ModuleList(_halves(block.expand))
        self.depthwise = nn.ModuleList(_halves(block.depthwise))
        self.channel_attention = block.channel_attention
        self.project = _scaled(block.project, block.beta)
        self.ffn_expand = nn.ModuleList(_halves(block.ffn_expand))
        self.ffn_project = _scaled(block.ffn_project, block.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (B, c, H, W) -> (B, c, H, W)."""
        normal = self.norm(x)
        first, second = (
            depthwise(expand(normal)) for expand, depthwise in zip(self.expand, self.depthwise, strict=True)
        )
        g = first * second
        y = x + self.project(g * self.channel_attention(g))
        normal = self.ffn_norm(y)
        first, second = (expand(normal) for expand in self.ffn_expand)
        return y + self.ffn_project(first * second)


def fold_blocks(network: nn.Module) -> None:
    """Put folded blocks in the place of all NAFBlocks of a network."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is NAFBlock:
                setattr(module, name, FoldedNAFBlock(child))


class _Convolution(nn.Module):
    """A convolution that keeps heights and widths, depthwise where ``groups`` is the number of channels."""

    def __init__(self, weight: Tensor, bias: Tensor, groups: int = 1) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(tensor.detach().clone(), requires_grad=False) for tensor in (weight, bias)
        )
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[2] // 2, groups=self.groups)


def _halves(convolution: nn.Conv2d) -> list[_Convolution]:
    """Return convolutions that give the first and the second half of the channels of one."""
    groups = max(1, convolution.groups // 2)
    parts = zip(convolution.weight.chunk(2), _bias(convolution).chunk(2), strict=True)
    return [_Convolution(weight, bias, groups) for weight, bias in parts]


def _scaled(convolution: nn.Conv2d, scale: Tensor) -> _Convolution:
    """Return a convolution whose result is that of another one times (1, C, 1, 1)."""
    return _Convolution(convolution.weight * scale.reshape(-1, 1, 1, 1), _bias(convolution) * scale.flatten())


def _bias(convolution: nn.Conv2d) -> Tensor:
    return torch.zeros_like(convolution.weight[:, 0, 0, 0]) if convolution.bias is None else convolution.bias
