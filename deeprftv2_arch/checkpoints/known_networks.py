"""The networks whose checkpoints are recognised by their names and shapes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from deeprftv2_arch.checkpoints import atd_variant, deeprftv2_variant, ufpnet_variant
from deeprftv2_arch.checkpoints.stage_marks import describe_stage
from deeprftv2_arch.errors import CheckpointError

State = Mapping[str, Tensor]


class KnownNetwork(NamedTuple):
    """A network that is told from its weights.

    Attributes:
        name: Of its class.
        mark: The name of a weight that all its checkpoints have, and no others.
        deduce_arguments: The arguments that build a network with these weights, as far as they tell.
        describe: One phrase for people.
        build: A network that these weights fit, still without them.
    """

    name: str
    mark: str
    deduce_arguments: Callable[[State], dict[str, Any]]
    describe: Callable[[State], str]
    build: Callable[[State], nn.Module]


KNOWN = tuple(
    KnownNetwork(name, variant.MARK, variant.deduce_arguments, variant.describe, variant.build)
    for name, variant in {"DeepRFTv2": deeprftv2_variant, "ATD": atd_variant, "UFPNet": ufpnet_variant}.items()
)


def require_known_network(state: State) -> KnownNetwork:
    """As :func:`known_network`.

    Raises:
        CheckpointError: There is none.
    """
    known = known_network(state)
    if known is None:
        stage = describe_stage(state)
        if stage is not None:
            raise CheckpointError(f"holds {stage}, which weights alone do not build")
        first = ", ".join(list(state)[:3])
        raise CheckpointError(f"holds weights of no network of this package, e.g. {first}")
    return known


def known_network(state: State) -> KnownNetwork | None:
    """The network of this package that has such weights; None if there is none."""
    return next((known for known in KNOWN if known.mark in state), None)
