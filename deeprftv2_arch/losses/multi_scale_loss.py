"""The total of the training loss: every term, at every scale, over every supervised image."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.pyramid import SCALES, image_pyramid
from deeprftv2_arch.ops.full_precision import at_least_float32


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
            restored: Restored images by scale, as the network returns them in training.
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
