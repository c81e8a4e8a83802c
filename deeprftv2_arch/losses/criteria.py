"""What is minimised: how loss terms are applied to what a network returns, and to the ground truth."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.pyramid import SCALES, image_pyramid
from deeprftv2_arch.ops.full_precision import at_least_float32
from deeprftv2_arch.ops.reblur import reblur


class SingleImageLoss(nn.Module):
    """Every term, applied to the restored image and the ground truth.

    Args:
        terms: Losses of (restored, ground truth) by name; each has its weight inside.
    """

    def __init__(self, terms: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)

    def forward(self, restored: Tensor, gt: Tensor) -> dict[str, Tensor]:
        """Compare a batch of restored images with the ground truth, both (B, 3, H, W).

        Returns:
            Scalars by the names of the terms, in float32 or float64. Their sum is the loss to minimise.
        """
        return {name: term(at_least_float32(restored), gt) for name, term in self.terms.items()}


class MultiScaleLoss(nn.Module):
    """Weighted terms, each averaged over the images that the network restored at a scale (paper, "Loss function").

    The paper's terms are L1 and 0.01 times :class:`FrequencyLoss`, at the full and the half scale.

    Args:
        terms: Losses of (restored, sharp) by name; each has its weight inside.
        scale_weights: Weight of each scale; 1 where none is given.

    Raises:
        OptionError: A weight is for a scale that does not exist.
    """

    def __init__(self, terms: Mapping[str, nn.Module], scale_weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        scale_weights = scale_weights or {}
        unknown = [scale for scale in scale_weights if scale not in SCALES]
        if unknown:
            raise OptionError(f"train: scale_weights: there is no scale {unknown[0]!r}; the scales are {list(SCALES)}")
        self.terms = nn.ModuleDict(terms)
        self.scale_weights = {scale: float(scale_weights.get(scale, 1)) for scale in SCALES}

    def forward(self, restored: Mapping[str, Sequence[Tensor]], sharp: Tensor) -> dict[str, Tensor]:
        """Compare everything that the network restored with the sharp images of the same scale.

        Args:
            restored: Restored images by scale, as networks return them with ``supervise``.
            sharp: (B, 3, H, W), of the full scale.

        Returns:
            Scalars named ``<term>_<scale>``, in float32 or float64. Their sum is the loss to minimise.
        """
        pyramid = dict(zip(SCALES, image_pyramid(sharp, len(restored)), strict=False))
        return {
            f"{name}_{scale}": self.scale_weights[scale]
            * torch.stack([term(at_least_float32(image), pyramid[scale]) for image in images]).mean()
            for scale, images in restored.items()
            for name, term in self.terms.items()
        }


class ReblurLoss(nn.Module):
    """Every term, applied to ``image * field`` and the blurred image that it should give.

    With the restored image it asks the restoration to agree with what is known of the blur.

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


class KernelEstimationLoss(nn.Module):
    """The loss of kernels that are to turn sharp patches into blurred ones.

    Pixels whose kernels reach beyond the patch do not count: what lies there has a part in the blurred pixel, but is
    not known. Of patches of 32x32 and kernels of 11x11 these are half of the pixels.

    Args:
        terms: Losses of (blurred again, blurred) by name; each has its weight inside.
        kernel_terms: Losses of (sharp, kernels, blurred) by name; may be empty.
    """

    def __init__(self, terms: Mapping[str, nn.Module], kernel_terms: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.comparing = SingleImageLoss(terms)
        self.kernel_terms = nn.ModuleDict(kernel_terms)

    def forward(self, sharp: Tensor, kernels: Tensor, blurred: Tensor) -> dict[str, Tensor]:
        """Blur a batch of patches and compare.

        Args:
            sharp: (B, 3, H, W), not smaller than a kernel.
            kernels: (B, D, h, w), a kernel for every pixel or, of smaller size, for all pixels around.
            blurred: (B, 3, H, W).

        Returns:
            Scalars by the names of the terms. Their sum is the loss to minimise.
        """
        field = kernels if kernels.shape[2:] == sharp.shape[2:] else F.interpolate(kernels, sharp.shape[2:])
        radius = math.isqrt(kernels.shape[1]) // 2
        inner = [slice(radius, side - radius) for side in sharp.shape[2:]]
        again, wanted = (x[:, :, inner[0], inner[1]] for x in (reblur(sharp, field), blurred))
        losses = self.comparing(again, wanted)
        return losses | {name: term(sharp, kernels, blurred) for name, term in self.kernel_terms.items()}


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
        """Compare what the network returns with ``supervise``.

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
