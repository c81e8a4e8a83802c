"""How a deblurring network is trained within BasicSR."""

from torch import nn

from deeprftv2_arch.losses.multi_scale_loss import MultiScaleLoss
from deeprftv2_arch.models.restoration_model import RestorationModel


class DeblurModel(RestorationModel):
    """The recipe of the paper for deblurring (implementation details of its experiments).

    In training the network returns all supervised images by scale, and every loss is applied at every scale to each
    of them. Options of the section ``train`` beyond those of :class:`RestorationModel`:

        scale_weights  {full: 1.0, half: 1.0}
    """

    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss over scales and images; see :class:`MultiScaleLoss`."""
        return MultiScaleLoss(terms, self.opt["train"].get("scale_weights"))
