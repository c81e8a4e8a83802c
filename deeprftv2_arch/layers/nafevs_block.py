"""The block of DeepRFTv2-B's inner levels: a NAFBlock with a selective scan beside its local branch."""

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.layer_norm import LayerNorm2d
from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.layers.vs_block import SelectiveScan2d
from deeprftv2_arch.ops.strips import by_strips

ORIENTATIONS = 4  # blocks after which the map has its first orientation again


class NAFEVSBlock(NAFBlock):
    """NAFBlock whose first half adds a scan branch m to its local branch l.

        g = SG(dw3x3(1x1(LN(x))));  l = 1x1(g * SCA(g));  m = (alpha + 1) * SelectiveScan2d(LN(g))
        y = x + beta * (lambda_l * l + lambda_g * m)

    Before that the map is transposed (even ``index``) or turned by half a turn (odd ``index``), and it is handed on as
    it is then: four consecutive blocks scan in four orders and leave the map as they found it.

    Args:
        channels: c; the block maps (B, c, H, W) to (B, c, W, H) if ``index`` is even, else to (B, c, H, W).
        index: Position of the block in its level.
    """

    def __init__(self, channels: int, index: int) -> None:
        super().__init__(channels)
        self.transposes = index % 2 == 0
        self.scan_norm = LayerNorm2d(channels)
        self.scan = SelectiveScan2d(channels)
        self.lambda_local = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.lambda_scan = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(2, 3).contiguous(memory_format=torch.channels_last) if self.transposes else x.flip(2, 3)
        g = self.gated(x)
        scanned = self.scan(self.scan_norm(g))
        to_local, to_scan = self.beta * self.lambda_local, self.beta * self.lambda_scan * (self.alpha + 1)

        def rest(x: Tensor, g: Tensor, scanned: Tensor, attention: Tensor) -> Tensor:
            y = torch.addcmul(x, to_local, self.project(g * attention))
            return self.feed_forward(torch.addcmul(y, to_scan, scanned))

        return by_strips(rest, x, g, scanned, self.channel_attention(g))
