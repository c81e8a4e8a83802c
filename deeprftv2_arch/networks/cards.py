"""All networks of this package, each by its card; a new one is a line here."""

from torch import nn

from deeprftv2_arch.networks.ablation import DeepRFTv2Ablation
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.atd_card import ATDCard
from deeprftv2_arch.networks.card import AuthorsLayout, NetworkCard, State
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.deeprftv2_card import DeepRFTv2Card, DeepRFTv2FamilyCard
from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.kernel_guided_unet import KernelGuidedUNet
from deeprftv2_arch.networks.mimo_unet import MIMOUNet
from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.networks.ufpnet_card import StageCard, UFPNetCard
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator

# Registered with BasicSR in this order; of two cards that recognise the same weights the first one counts.
CARDS: list[NetworkCard] = [
    DeepRFTv2Card(DeepRFTv2),
    ATDCard(ATD),
    UFPNetCard(UFPNet),
    DeepRFTv2FamilyCard(DeepRFTv2Ablation),
    StageCard(KernelGuidedUNet, "flow.layers.1.log_gamma"),
    StageCard(UncertainKernelEstimator, "mean_head.2.weight"),
    StageCard(KernelFlow, "layers.1.log_gamma"),
    NetworkCard(MIMOUNet),
    NetworkCard(Identity),
]


def add_card(card: NetworkCard) -> None:
    """Add the card of a network from elsewhere, instead of an earlier one of the same class."""
    CARDS[:] = [other for other in CARDS if other.network is not card.network] + [card]


def card_of(network: nn.Module) -> NetworkCard:
    """Return the card of a network, of a sub-class of one that has a card, or of one of which nothing is known."""
    of_its_class = (card for kind in type(network).__mro__ for card in CARDS if card.network is kind)
    return next(of_its_class, NetworkCard(type(network)))


def card_of_weights(state: State) -> NetworkCard | None:
    """Return the card of the network that has such weights; None if none is known."""
    return next((card for card in CARDS if card.recognises(state)), None)


def authors_layouts() -> dict[str, AuthorsLayout]:
    """Return how the authors' own implementations name weights, by the names of these implementations."""
    return {card.layout.name: card.layout for card in CARDS if card.layout is not None}
