"""What cards tell of networks, those of this package and those of which nothing is known."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from basicsr.archs.edsr_arch import EDSR
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn
from ufpnet_helpers import NARROW

from deeprftv2_arch.checkpoints.building import NetworkOfCheckpoint, network_of_weights
from deeprftv2_arch.checkpoints.recognition import describe, require_buildable
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.ablation import DeepRFTv2Ablation
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.card import NetworkCard, State, count_entries
from deeprftv2_arch.networks.cards import CARDS, add_card, authors_layouts, card_of, card_of_weights
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.deeprftv2_card import DeepRFTv2Card
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.ufpnet import UFPNet

TINY: dict[str, Any] = {"dim": 4, "blocks": (1, 4, 4), "fke_blocks": (1,)}
ATD_TINY: dict[str, Any] = {"embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}


class Stack(nn.Sequential):
    """A network of a user's: convolutions, one after the other."""

    def __init__(self, dim: int = 3, depth: int = 1) -> None:
        super().__init__(*(nn.Conv2d(3 if index == 0 else dim, dim, 1) for index in range(depth)))


class StackCard(NetworkCard):
    """Recognises them by the first one."""

    mark = "0.weight"

    def arguments_of(self, state: State) -> dict[str, Any]:
        """Deduce both arguments."""
        return {
            "dim": state["0.weight"].shape[0],
            "depth": count_entries({f"x.{name}": w for name, w in state.items()}, "x"),
        }


@pytest.fixture
def _with_the_card_of_a_user() -> Iterator[None]:
    before = list(CARDS)
    add_card(StackCard(Stack))
    yield
    CARDS[:] = before


def test_the_cards_are_basicsr_s_registry_of_this_package_s_networks() -> None:
    registered = {name for name, kind in ARCH_REGISTRY if kind.__module__.startswith("deeprftv2_arch.")}
    registered -= {NetworkOfCheckpoint.__name__}  # a name for whatever network a file is of
    assert registered == {card.name for card in CARDS}
    assert len(registered) == len(CARDS) == 9


@pytest.mark.parametrize(
    ("network", "name", "kind"),
    [
        (DeepRFTv2(**TINY), "DeepRFTv2", "DeepRFTv2Card"),
        (DeepRFTv2Ablation("added", **{**TINY, "blocks": (1, 1, 1)}), "DeepRFTv2Ablation", "DeepRFTv2FamilyCard"),
        (type("Mine", (DeepRFTv2,), {})(**TINY), "DeepRFTv2", "DeepRFTv2Card"),  # a sub-class without a card
        (EDSR(3, 3, 4, 1), "EDSR", "NetworkCard"),
    ],
)
def test_every_network_has_a_card(network: nn.Module, name: str, kind: str) -> None:
    card = card_of(network)
    assert (card.name, type(card).__name__) == (name, kind)


def test_estimators_have_the_names_and_scales_of_their_networks() -> None:
    def places(network: nn.Module) -> list[tuple[str, str, int]]:
        return [(place.name, place.label, place.halvings) for place in card_of(network).estimators(network)]

    assert places(DeepRFTv2(**TINY)) == [
        ("units.0.full_scale.fke", "unit1_full", 0),
        ("units.0.half_scale.fke", "unit1_half", 1),
        ("units.1.full_scale.fke", "unit2_full", 0),
        ("units.1.half_scale.fke", "unit2_half", 1),
    ]
    assert places(ATD(**ATD_TINY, img_size=8, tile_overlap=4, fke=True)) == [
        ("fkes.0", "group1", 0),
        ("fkes.1", "group2", 0),
    ]
    assert places(EDSR(3, 3, 4, 1)) == []


def test_memory_of_a_pixel_is_the_measured_one_by_the_first_features() -> None:
    edsr, ufpnet = EDSR(3, 3, 7, 1), UFPNet(**NARROW)
    assert card_of(edsr).bytes_per_pixel(edsr) == 7 * 120
    assert card_of(edsr).bytes_around_tiles(edsr) == 7 * 16
    first = next(layer for layer in ufpnet.modules() if isinstance(layer, nn.Conv2d)).out_channels
    assert card_of(ufpnet).bytes_per_pixel(ufpnet) == max(120 * first, 12 * NARROW["kernel_size"] ** 2)
    assert card_of(nn.Identity()).bytes_per_pixel(nn.Identity()) == 64 * 120


def test_the_authors_layouts_are_those_of_the_command_line() -> None:
    assert list(authors_layouts()) == ["deeprftv2", "ufpnet"]


@pytest.mark.usefixtures("_with_the_card_of_a_user")
def test_weights_of_a_user_s_network_are_recognised_described_and_build_it() -> None:
    network = Stack(5, 2)
    state = network.state_dict()
    assert describe(state) == "a Stack with dim 5, depth 2"
    built = network_of_weights(state)
    assert isinstance(built, Stack)
    assert all(torch.equal(value, state[name]) for name, value in built.state_dict().items())
    with pytest.raises(CheckpointError, match=r"^looks like a Stack with dim 5, depth 2, but has tensors 1 missing"):
        network_of_weights({name: value for name, value in state.items() if name != "1.bias"})
    with pytest.raises(CheckpointError, match=r"^these are not the tensors of a Stack: they have other dimensions$"):
        require_buildable(state).deduce_arguments({"0.weight": torch.tensor(0.0)})


@pytest.mark.usefixtures("_with_the_card_of_a_user")
def test_a_later_card_of_the_same_class_replaces_the_earlier_one() -> None:
    count = len(CARDS)
    add_card(NetworkCard(Stack))
    assert len(CARDS) == count
    assert card_of_weights(Stack().state_dict()) is None


def test_a_card_says_what_is_missing() -> None:
    card = DeepRFTv2Card(DeepRFTv2)
    with pytest.raises(
        CheckpointError, match=r"^these are not the keys of a DeepRFTv2: 'units.0.full_scale.embed.weight'"
    ):
        card.deduce_arguments({})
    flow = KernelFlow(3, 1, 2).state_dict()
    assert describe(flow) == "a flow prior (stage 1)"
    with pytest.raises(CheckpointError, match=r"^holds a flow prior \(stage 1\), which weights alone do not build$"):
        require_buildable(flow)
