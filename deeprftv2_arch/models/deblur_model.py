"""How a deblurring network is trained within BasicSR."""

from torch import Tensor, nn

from deeprftv2_arch.layers.pyramid import SCALES
from deeprftv2_arch.losses.criteria import MultiScaleLoss
from deeprftv2_arch.models.restoration_model import RestorationModel
from deeprftv2_arch.networks.protocol import MultiScaleNetwork
from deeprftv2_arch.options.sections import DeblurModelOptions


class DeblurModel(RestorationModel):
    """The recipe of the paper for deblurring (implementation details of its experiments).

    Every loss is applied at every scale to each image that the network offers for supervision; of a network that is no
    :class:`MultiScaleNetwork` that is the restored image. Options of the section ``train`` beyond those of
    :class:`RestorationModel`:

        scale_weights  {full: 1.0, half: 1.0}
    """

    options_type = DeblurModelOptions

    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss over scales and images; see :class:`MultiScaleLoss`."""
        weights = self.recipe.scale_weights
        return MultiScaleLoss(terms, weights and weights.model_dump())

    def supervised_images(self) -> dict[str, list[Tensor]]:
        """Restore the batch, to every supervised image by scale."""
        if isinstance(self.get_bare_model(self.net_g), MultiScaleNetwork):
            return self.net_g(self.lq, supervise=True)
        return {SCALES[0]: [self.net_g(self.lq)]}
