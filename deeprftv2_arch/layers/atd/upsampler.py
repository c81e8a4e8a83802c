"""From features to the enlarged image: the three ways of the public ATD."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError

UpsamplerKind = Literal["pixelshuffledirect", "pixelshuffle", "nearest+conv"]

FEATURES = 64  # channels between the steps
SLOPE = 0.2  # of the leaky rectifiers around nearest neighbours


def upsampling_steps(kind: UpsamplerKind, upscale: int, dim: int, channels: int) -> dict[str, nn.Module]:
    """Build modules that, one after the other, make an image (B, channels, upscale H, upscale W) of (B, dim, H, W).

    They come by name instead of as one module, because the public checkpoints have them at their top level.

    Args:
        kind: ``pixelshuffledirect``: one convolution and shuffle (ATD-light); ``pixelshuffle``: steps of 2 or 3;
            ``nearest+conv``: two steps of 2 by nearest neighbours.
        upscale: Any factor; 3 or a power of two with ``pixelshuffle``; 4 with ``nearest+conv``.
        dim: Channels of the features.
        channels: Of the image.

    Raises:
        OptionError: The kind is unknown or cannot enlarge by ``upscale``.
    """
    if kind == "pixelshuffledirect":
        return {"upsample": nn.Sequential(_conv(dim, channels * upscale**2), nn.PixelShuffle(upscale))}
    if kind == "pixelshuffle" and (upscale == 3 or upscale.bit_count() == 1):
        factors = [3] if upscale == 3 else [2] * (upscale.bit_length() - 1)
        steps = [(_conv(FEATURES, FEATURES * factor**2), nn.PixelShuffle(factor)) for factor in factors]
        return {
            "conv_before_upsample": nn.Sequential(_conv(dim, FEATURES), nn.LeakyReLU()),
            "upsample": nn.Sequential(*(module for step in steps for module in step)),
            "conv_last": _conv(FEATURES, channels),
        }
    if kind == "nearest+conv" and upscale == 4:
        return {
            "conv_before_upsample": nn.Sequential(_conv(dim, FEATURES), nn.LeakyReLU()),
            "conv_up1": _DoublingConv(),
            "conv_up2": _DoublingConv(),
            "conv_hr": _RectifiedConv(),
            "conv_last": _conv(FEATURES, channels),
        }
    raise OptionError(
        f"ATD: upsampler {kind!r} cannot enlarge by {upscale}; there are pixelshuffledirect (any factor), pixelshuffle "
        "(3 and powers of two) and nearest+conv (4)"
    )


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class _RectifiedConv(nn.Conv2d):
    """A convolution and a leaky rectifier; itself the convolution, for the sake of its weights' names."""

    def __init__(self) -> None:
        super().__init__(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), SLOPE)


class _DoublingConv(_RectifiedConv):
    """The same on a map that nearest neighbours double in height and width before."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))
