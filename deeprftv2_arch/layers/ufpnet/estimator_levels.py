"""The levels of UFPNet's kernel estimator, a U-Net without normalisation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.layers.res_block import ResBlock


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution with bias that keeps the size, or halves it upwards with stride 2."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


class PreActivationResBlock(ResBlock):
    """x + conv3x3(ReLU(conv3x3(ReLU(x)))), both with bias: (B, c, H, W) -> (B, c, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(F.relu(x))


def res_blocks(channels: int) -> nn.Sequential:
    """What every level has behind its head: two residual blocks and a ReLU."""
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
        """(B, in, H, W) -> features (B, c, H, W), and the next level's input (B, c, ceil(H/2), ceil(W/2))."""
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
        """(B, in, ceil(H/2), ceil(W/2)) and the encoder's features (B, c, H, W) -> (B, c, H, W)."""
        x = self.up(x, output_size=encoded.shape[2:])
        return self.blocks(self.head(torch.cat([x, encoded], dim=1)))
