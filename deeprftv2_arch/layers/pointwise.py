"""1x1 convolutions, which PyTorch computes fast on one thread of a CPU too."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve a map (B, in, H, W) with a kernel (out, in, 1, 1) to (B, out, H, W).

    On one thread and for batches below 16, PyTorch keeps 1x1 convolutions away from oneDNN, whose products and their
    gradients take half of the time; dilated ones it never does. A kernel of one pixel is the same however it is
    dilated.
    """
    return F.conv2d(x, weight, bias, dilation=2 if _may_go_to_onednn(x) else 1)


def _may_go_to_onednn(x: Tensor) -> bool:
    if torch.compiler.is_compiling():  # as export is too: other programs need not be told of a dilation
        return False
    return x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution, (B, in, H, W) -> (B, out, H, W), by :func:`pointwise`.

    Args:
        in_channels: Of the map.
        out_channels: Of the result.
        bias: Whether a bias is added.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)
