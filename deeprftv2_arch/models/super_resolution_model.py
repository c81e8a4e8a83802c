"""How a super-resolution network is trained within BasicSR."""

from torch import nn

from deeprftv2_arch.losses.criteria import SingleImageLoss
from deeprftv2_arch.models.restoration_model import RestorationModel


class SuperResolutionModel(RestorationModel):
    """The recipe of ATD, with and without Fourier Kernel Estimators (paper, Table 5).

    The network takes images of low resolution, (B, 3, H, W), and returns them enlarged, (B, 3, s * H, s * W), in
    training as in eval mode. Options are those of :class:`RestorationModel`.
    """

    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss of a single image; see :class:`SingleImageLoss`."""
        return SingleImageLoss(terms)
