"""Comparing blurred images with sharp or restored ones that are blurred again (UFPNet)."""

from collections.abc import Mapping

from torch import Tensor, nn

from deeprftv2_arch.losses.single_image_loss import SingleImageLoss
from deeprftv2_arch.ops.reblur import reblur


class ReblurLoss(nn.Module):
    """Every term, applied to ``image * field`` and the blurred image that it should give.

    With the sharp image and a term L1 this is the loss of kernel estimation, ``L_KE = mean |x * K - y|``; with the
    restored image it asks the restoration to agree with what is known of the blur.

    Args:
        terms: Losses of (blurred again, blurred) by name; each has its weight inside.
    """

    def __init__(self, terms: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.compare = SingleImageLoss(terms)

    def forward(self, image: Tensor, field: Tensor, blurred: Tensor) -> dict[str, Tensor]:
        """Blur a batch of images and compare.

        Args:
            image: Sharp or restored, (B, 3, H, W).
            field: A kernel for every pixel, (B, D, H, W), see :func:`reblur`.
            blurred: (B, 3, H, W).

        Returns:
            Scalars by the names of the terms. Their sum is the loss to minimise.
        """
        return self.compare(reblur(image, field), blurred)


class KernelGuidedLoss(nn.Module):
    """The loss of a network that restores images with the help of estimated kernels.

    UFPNet's terms are :class:`PSNRLoss` and, in its training on GoPro, 0.01 times the reblurring L1.

    Args:
        terms: Losses of (restored, sharp) by name; each has its weight inside.
        reblur_terms: Losses of (restored and blurred again, blurred) by name; may be empty.
    """

    def __init__(self, terms: Mapping[str, nn.Module], reblur_terms: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.restoring = SingleImageLoss(terms)
        self.reblurring = ReblurLoss(reblur_terms) if reblur_terms else None

    def forward(self, restored: Mapping[str, Tensor], sharp: Tensor, blurred: Tensor) -> dict[str, Tensor]:
        """Compare what the network returns in training.

        Args:
            restored: ``restored`` (B, 3, H, W) and ``kernels`` (B, D, H, W), through which no gradient flows.
            sharp: (B, 3, H, W).
            blurred: (B, 3, H, W).

        Returns:
            Scalars by the names of the terms. Their sum is the loss to minimise.
        """
        losses = self.restoring(restored["restored"], sharp)
        if self.reblurring is not None:
            losses |= self.reblurring(restored["restored"], restored["kernels"].detach(), blurred)
        return losses
