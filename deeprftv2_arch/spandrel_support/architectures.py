"""The networks of this package as spandrel's architectures."""

from spandrel import Architecture, ImageModelDescriptor, ModelTiling, StateDict
from torch import nn

from deeprftv2_arch.checkpoints.building import network_of_weights
from deeprftv2_arch.checkpoints.io import bare_names
from deeprftv2_arch.checkpoints.reference import under_our_names
from deeprftv2_arch.networks.card import NetworkCard
from deeprftv2_arch.networks.protocol import traits_of


class CardArchitecture(Architecture[nn.Module]):
    """A network as its card tells, under this package's names or those of the authors' reference.

    Args:
        card: Of the network; has a ``spandrel_id``.
    """

    def __init__(self, card: NetworkCard) -> None:
        super().__init__(id=str(card.spandrel_id), detect=lambda state: card.spandrel_opens(_ours(state)))
        self.card = card

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[nn.Module]:
        """Build the network of these weights."""
        state = _ours(state_dict)
        arguments = self.card.deduce_arguments(state)
        published = self.card.published_name(arguments)
        network = network_of_weights(state)
        traits = traits_of(network)
        return ImageModelDescriptor(
            network,
            state,
            architecture=self,
            purpose="Restoration" if traits.upscale == 1 else "SR",
            tags=[
                *([published] if published else []),
                *(f"{arguments[argument]}{suffix}" for argument, suffix in self.card.spandrel_tags),
            ],
            # The spectra are of float32, and what they are multiplied with as well.
            supports_half=False,
            supports_bfloat16=False,
            scale=traits.upscale,
            input_channels=traits.channels,
            output_channels=traits.channels,
            # No requirements as to size: the networks themselves continue an image as they were trained to.
            tiling=ModelTiling.INTERNAL if traits.keeps_tiles else ModelTiling.SUPPORTED,
        )


def _ours(state: StateDict) -> StateDict:
    return dict(under_our_names(bare_names(state), "the checkpoint"))
