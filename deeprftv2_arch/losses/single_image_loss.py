"""The training loss of a network that returns a single image."""

from collections.abc import Mapping

from torch import Tensor, nn

from deeprftv2_arch.ops.full_precision import at_least_float32


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
