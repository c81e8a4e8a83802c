"""Which network weights belong to, and what in them does not fit."""

from collections.abc import Mapping

from torch import Tensor, nn

from deeprftv2_arch.checkpoints.peers import PeerNetwork
from deeprftv2_arch.errors import LONGEST_VALUE, CheckpointError, shortened
from deeprftv2_arch.networks.card import NetworkCard
from deeprftv2_arch.networks.cards import card_of_weights

NO_NETWORK_OF_OURS = "no network of this package"
SHOWN = 3  # keys named in an error, of every sort


def require_buildable(state: Mapping[str, Tensor]) -> NetworkCard:
    """Return the card of the network that weights build.

    Raises:
        CheckpointError: There is none.
    """
    card = card_of_weights(state)
    if card is None:
        first = ", ".join(list(state)[:SHOWN])
        raise CheckpointError(
            f"holds weights of no network of this package, e.g. {first}; those of others open with the package "
            "spandrel, where it knows them"
        )
    if not card.builds:
        raise CheckpointError(f"holds {card.describe(state)}, which weights alone do not build")
    return card


def describe(state: Mapping[str, Tensor]) -> str:
    """Describe the network of weights: "DeepRFTv2-B with dim 48, ...", "ATD-light at x4 with fke", or say: none."""
    card = card_of_weights(state)
    if card is None:
        return NO_NETWORK_OF_OURS
    try:
        return card.describe(state)
    except CheckpointError:
        return f"a part of a network {card.name}"


def name_of(network: nn.Module) -> str:
    """Return what people call a network: "DeepRFTv2-B", "ATD-light+FKE", "NAFNet", or the name of its class."""
    kind = type(network).__name__
    if isinstance(network, PeerNetwork):
        return network.name
    state = network.state_dict()
    card = card_of_weights(state)
    if card is None or not card.builds or card.network is not type(network):
        return kind
    arguments = card.deduce_arguments(state)
    return (card.published_name(arguments) or kind) + ("+FKE" if arguments.get("fke") is True else "")


def difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Name the arguments in which two networks of one kind differ: "upscale 2 instead of 4"; nothing if they do not."""
    card = card_of_weights(found)
    if card is None or not card.builds or card is not card_of_weights(expected):
        return ""
    try:
        ours, theirs = card.deduce_arguments(found), card.deduce_arguments(expected)
    except CheckpointError:
        return ""
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return ", ".join(f"{name} {ours.get(name)} instead of {theirs.get(name)}" for name in names)


def mismatch(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], names: Mapping[str, str] | None = None
) -> str | None:
    """Say what of ``found`` does not fit ``expected``, naming the first keys of every sort; None if all fits.

    ``names`` has the names of the keys of ``found`` in the user's file, where they are others.
    """
    names = names or {}
    missing = [key for key in expected if key not in found]
    unexpected = [shortened(names.get(key, key), LONGEST_VALUE) for key in found if key not in expected]
    misshaped = [
        f"{names.get(key, key)} {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    sorts = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    parts = [f"{len(keys)} {sort}, e.g. {', '.join(keys[:SHOWN])}" for sort, keys in sorts.items() if keys]
    return "; ".join(parts) or None
