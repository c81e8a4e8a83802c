"""The negative peak signal-to-noise ratio, as a loss."""

import math

from torch import Tensor, nn

from deeprftv2_arch.ops.full_precision import at_least_float32

SMALLEST_ERROR = 1e-8  # added to the mean squared error, so that equal images have a finite loss


class PSNRLoss(nn.Module):
    """Minus the PSNR in dB, averaged over the batch: ``loss_weight * mean_b (10 / ln 10) ln(mse_b + 1e-8)``.

    The mean squared error is each sample's own, over its channels and pixels; the peak is 1. That of NAFNet and UFPNet.

    Args:
        loss_weight: Factor of the result.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare restored with sharp images.

        Args:
            pred: (B, C, H, W).
            target: Of the same shape.

        Returns:
            A scalar, in float32 or float64.
        """
        difference = at_least_float32(pred) - at_least_float32(target)
        errors = difference.square().mean(dim=(1, 2, 3))
        return self.loss_weight * 10 / math.log(10) * (errors + SMALLEST_ERROR).log().mean()
