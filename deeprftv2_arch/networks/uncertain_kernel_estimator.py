"""The kernel estimator with uncertainty learning: the second of UFPNet's three networks (CVPR 2023)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.res_block import ResBlock


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Build a 3x3 convolution with bias: the size stays or, with stride 2, is halved and rounded up."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


class PreActivationResBlock(ResBlock):
    """x + conv3x3(ReLU(conv3x3(ReLU(x)))), both with bias: (B, c, H, W) -> (B, c, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(F.relu(x))


def res_blocks(channels: int) -> nn.Sequential:
    """Build what every level has behind its head: two residual blocks and a ReLU."""
    return nn.Sequential(PreActivationResBlock(channels), PreActivationResBlock(channels), nn.ReLU())


class EstimatorEncoder(nn.Module):
    """An encoder level.

    Args:
        in_channels: Of its input.
        channels: Of its features.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.head = conv3x3(in_channels, channels)
        self.blocks = res_blocks(channels)
        self.down = conv3x3(channels, channels, stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode (B, in, H, W) to features (B, c, H, W), and the next level's input (B, c, ceil(H/2), ceil(W/2))."""
        features = self.blocks(self.head(x))
        return features, self.down(features)


class EstimatorDecoder(nn.Module):
    """A decoder level.

    Args:
        in_channels: Of the level below.
        channels: Of its features and of the encoder's.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, channels, 3, stride=2, padding=1)
        self.head = conv3x3(2 * channels, channels)
        self.blocks = res_blocks(channels)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        """Decode (B, in, ceil(H/2), ceil(W/2)) and the encoder's features (B, c, H, W) to (B, c, H, W)."""
        x = self.up(x, output_size=encoded.shape[2:])
        return self.blocks(self.head(torch.cat([x, encoded], dim=1)))


MIDDLE_CONVS = 5
DETAIL, NEIGHBOURHOOD = 3, 15  # sides of the squares of local_contrast
FLOOR = 1 / 255  # contrast below which differences are mostly rounding


def local_contrast(x: Tensor, floor: Tensor | float = FLOOR) -> Tensor:
    """Return the details of images, as strong in every place: the shape of edges, not their height.

    Detail is a pixel less the average of 3x3 pixels; it is divided by its root mean square, of all channels, over 15x15
    pixels. At the border both squares are continued by the border's pixels.

    Args:
        x: (B, C, H, W), values 0..1.
        floor: What is added to the root mean square, in squares.

    Returns:
        (B, C, H, W), of a root mean square of about 1, and less where an image has hardly any detail.
    """
    detail = x - _averaged(x, DETAIL)
    strength = _averaged(detail.square().mean(dim=1, keepdim=True), NEIGHBOURHOOD)
    return detail / (strength + floor**2).sqrt()


def _averaged(x: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(F.pad(x, [side // 2] * 4, mode="replicate"), side, stride=1)


class UncertainKernelEstimator(nn.Module):
    """Estimate, for every pixel of a blurred image, the code of its blur kernel, and how sure the code is.

    A U-Net of three levels at the image's full resolution. A code has one entry for every entry of a kernel; the flow
    prior decodes it (:func:`deeprftv2_arch.layers.kernel_field.estimate_kernel_field`).

    Args:
        width: Channels of the finest level; 2 and 4 times as many below.
        kernel_size: Height and width of the kernels, those of the flow.
        contrast: Whether it reads the :func:`local_contrast` of colours instead of these. A blur is told by the shape
            of edges, which is a small part of what colours vary by; by the contrast it is learned in far fewer steps.

    Attributes:
        kernel_size: As above.

    Raises:
        OptionError: An argument is out of range.
    """

    contrast_floor: Tensor

    def __init__(self, width: int = 64, kernel_size: int = 19, contrast: bool = False) -> None:
        super().__init__()
        if width < 1:
            raise OptionError(f"UncertainKernelEstimator: width must be at least 1, got {width}")
        if kernel_size < 2:
            raise OptionError(f"UncertainKernelEstimator: kernel_size must be at least 2, got {kernel_size}")
        self.kernel_size = kernel_size
        self.contrast = contrast
        if contrast:  # a part of the weights, which tells that there is one
            self.register_buffer("contrast_floor", torch.tensor([FLOOR]))
        self.encoders = nn.ModuleList([EstimatorEncoder(3, width), EstimatorEncoder(width, 2 * width)])
        self.middle = nn.Sequential()
        for index in range(MIDDLE_CONVS):
            self.middle.extend([conv3x3((4 if index else 2) * width, 4 * width), nn.ReLU()])
        self.decoders = nn.ModuleList([EstimatorDecoder(4 * width, 2 * width), EstimatorDecoder(2 * width, width)])
        self.mean_head = _head(width, kernel_size**2)
        self.sigma_head = _head(width, kernel_size**2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate codes.

        Args:
            x: Blurred images (B, 3, H, W), RGB in 0..1, of any size.

        Returns:
            The codes (B, D, H, W), softmax over D = kernel_size**2, still to be standardised; and sigma (B, 1, H, W) in
            0..1, the standard deviation of a code of which each entry has a variance of 1.
        """
        x = local_contrast(x, self.contrast_floor) if self.contrast else x
        x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for encoder in self.encoders:
            skip, x = encoder(x)
            skips.append(skip)
        x = self.middle(x)
        for decoder in self.decoders:
            x = decoder(x, skips.pop())
        sigma = self.sigma_head(x).sigmoid().mean(dim=1, keepdim=True)
        # Over the last axis, which keeps the memory format: the kernel field reads the code of one pixel at a time.
        mean = self.mean_head(x).permute(0, 2, 3, 1).softmax(dim=3).permute(0, 3, 1, 2)
        return mean, sigma


def _head(width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(conv3x3(width, width), nn.ReLU(), conv3x3(width, channels))
