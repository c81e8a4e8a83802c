"""How a deblurring network is trained within BasicSR."""

from torch import nn

from deeprftv2_arch.losses.multi_scale_loss import MultiScaleLoss
from deeprftv2_arch.models.restoration_model import RestorationModel
from deeprftv2_arch.options.sections import DeblurModelOptions


class DeblurModel(RestorationModel):
    """The recipe of the paper for deblurring (implementation details of its experiments).

    In training the network returns all supervised images by scale, and every loss is applied at every scale to each
    of them. Options of the section ``train`` beyond those of :class:`RestorationModel`:

        scale_weights  {full: 1.0, half: 1.0}
    """

    options_type = DeblurModelOptions

    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss over scales and images; see :class:`MultiScaleLoss`."""
        weights = self.recipe.scale_weights
        return MultiScaleLoss(terms, weights and weights.model_dump())
