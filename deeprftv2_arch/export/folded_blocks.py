"""NAFBlocks in fewer operations, for graphs that run without this package's own tricks.

A runtime does one operation after the other, each over whole maps. So what can be done to weights beforehand is, and
gates get two convolutions instead of one whose result is split: the numbers are the same up to rounding.
"""

import torch
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


def _halves(convolution: nn.Conv2d) -> list[nn.Conv2d]:
    """Return convolutions that give the first and the second half of the channels of one."""
    halves = []
    for weight, bias in zip(*(tensor.chunk(2) for tensor in (convolution.weight, convolution.bias)), strict=True):
        halves.append(_with(convolution, weight, bias))
    return halves


def _scaled(convolution: nn.Conv2d, scale: Tensor) -> nn.Conv2d:
    """Return a convolution whose result is that of another one times (1, C, 1, 1)."""
    return _with(convolution, convolution.weight * scale.reshape(-1, 1, 1, 1), convolution.bias * scale.flatten())


def _with(convolution: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Return a convolution like one with these weights, (out, in / groups, h, w) and (out,)."""
    outputs = len(weight)
    like = nn.Conv2d(
        outputs if convolution.groups > 1 else convolution.in_channels,
        outputs,
        convolution.kernel_size,
        padding=convolution.padding,
        groups=outputs if convolution.groups > 1 else 1,
        device=weight.device,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        like.weight.copy_(weight)
        like.bias.copy_(bias)
    return like.requires_grad_(False)
