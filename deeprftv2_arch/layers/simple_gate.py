"""The gate that stands for an activation in NAFNet (Chen et al., ECCV 2022)."""

from torch import Tensor


def simple_gate(x: Tensor) -> Tensor:
    """Product of the two halves of the channels: (B, 2C, H, W) -> (B, C, H, W)."""
    first, second = x.chunk(2, dim=1)
    return first * second
