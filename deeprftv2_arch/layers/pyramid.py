"""The image pyramid that feeds and supervises the scales of the network."""

import torch
import torch.nn.functional as F
from torch import Tensor

from deeprftv2_arch.ops.full_precision import without_autocast

SCALES = ("full", "half", "quarter")  # names of the levels, finest first
BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def image_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Blur with the 5x5 binomial kernel (reflected border), then average 2x2 pixels; again for every further level.

    Both steps are one 6x6 convolution of stride 2, since only every second average is kept.

    Args:
        image: (B, C, H, W), height and width divisible by 2^(levels - 1) and at least 4 before every halving.
        levels: Number of images to return.

    Returns:
        ``levels`` images, from (B, C, H, W) to (B, C, H / 2^(levels - 1), W / 2^(levels - 1)).
    """
    pyramid = [image]
    while len(pyramid) < levels:
        pyramid.append(_halve(pyramid[-1]))
    return pyramid


def _halve(image: Tensor) -> Tensor:
    channels = image.shape[1]
    blur = F.pad(torch.tensor(BINOMIAL, dtype=image.dtype) / 16, (0, 1))
    taps = (blur + blur.roll(1)) / 2
    kernel = torch.outer(taps, taps).expand(channels, 1, -1, -1).to(image.device)
    with without_autocast(image):  # half precision would round images by more than half of an 8-bit step
        return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=channels)
