"""The residual block with a ReLU, as in the Fourier Kernel Estimator's ablation (paper, Table 6, "Res")."""

from torch import Tensor, nn


class ResBlock(nn.Module):
    """x + conv3x3(ReLU(conv3x3(x))), both with bias.

    Args:
        channels: c; the block maps (B, c, H, W) to (B, c, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
