"""Between maps (B, C, H, W), which convolutions read, and pixels as tokens (B, H, W, C), which attention reads."""

from torch import Tensor


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def to_map(x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W).

    By way of (B, C, H W), because of the strides that this gives a batch of one: they decide by which algorithm a
    convolution runs, and with it whether the last digit is that of the public implementation.
    """
    return x.flatten(1, 2).transpose(1, 2).unflatten(2, x.shape[1:3])
