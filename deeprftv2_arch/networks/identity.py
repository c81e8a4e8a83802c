"""A network that restores nothing."""

from torch import Tensor, nn


class Identity(nn.Module):
    """Returns its input, so that evaluating it measures the degraded images themselves; it has no weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, C, H, W) itself."""
        return x
