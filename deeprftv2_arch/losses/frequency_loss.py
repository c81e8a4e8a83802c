"""Distance of two images in the frequency domain (paper, the second term of the training loss)."""

from torch import Tensor, nn

from deeprftv2_arch.ops.fourier import rfft2
from deeprftv2_arch.ops.full_precision import at_least_float32


class FrequencyLoss(nn.Module):
    """Mean modulus of the difference of two spectra: ``loss_weight * mean |rfft2(pred) - rfft2(target)|``.

    The transforms are not normalised, the modulus is that of the complex difference, and the mean runs over batch,
    channels and the H x (W // 2 + 1) frequencies of the real transform. Computed in float32 (float64 if an input is),
    also under autocast.

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
            A scalar.
        """
        # The transform is linear: one of the difference is the difference of two.
        difference = rfft2(at_least_float32(pred) - at_least_float32(target))
        return self.loss_weight * difference.abs().mean()
