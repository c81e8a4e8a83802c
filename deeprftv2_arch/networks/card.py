"""The card of a network: what the program knows of it beside its code.

A card says how the network's weights are recognised, described and turned into the arguments that build it, which names
the authors' own implementation gives them, how much memory the network takes, what a graph for all image sizes has to
do around it, and where its kernel estimators are. :class:`NetworkCard` is the card of a network of which nothing is
known; the cards of this package stand beside their networks, and all are listed in
:mod:`deeprftv2_arch.networks.cards`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.layers.estimator_taps import estimators
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.networks.protocol import KernelGuided

State = Mapping[str, Tensor]  # weights by name

# A network takes so many bytes for every pixel that it works on at once and every channel of its first features, beyond
# its weights and the images themselves. Measured on a CPU in float32: DeepRFTv2-S 111 at 256x256 and 99 at 512x512,
# -B 95 at 512x512 and 118 with 24 channels instead of 48, ATD-light 111 at x2 and 113 at x4, ATD 97 at 192x192.
BYTES = 120
# A network that keeps to its own small tiles has for every pixel around them shallow features alone (ATD-light+FKE: 12
# at 256x256).
KEPT_BYTES = 16
# A kernel field has D channels, whatever the width of its network. Measured on UFPNets with D = 361: 4057 bytes a pixel
# with 16 channels, 5753 with 64.
FIELD_BYTES = 12
WIDTH = 64  # channels of the features of a network that does not begin with a convolution


@dataclass(frozen=True)
class AuthorsLayout:
    """How the authors' own implementation names the weights of a network.

    Attributes:
        name: Of the implementation, for the command line.
        mark: A name that all its checkpoints have, and no others.
        translate: Gives a tensor our name, or several parts of it theirs; the values stay. Nothing comes of a tensor
            that has no effect.
        left_out: The tensors of a whole checkpoint of which nothing comes, as far as their names and shapes count.
    """

    name: str
    mark: str
    translate: Callable[[str, Tensor], dict[str, Tensor]]
    left_out: Callable[[State], dict[str, Tensor]] = lambda params: {}


@dataclass(frozen=True)
class EstimatorPlace:
    """A Fourier Kernel Estimator of a network.

    Attributes:
        name: Of its module.
        label: For people and files.
        halvings: How often the image is halved at its scale.
        estimator: The module itself.
    """

    name: str
    label: str
    halvings: int
    estimator: FourierKernelEstimator


class NetworkCard:
    """The card of a network; whatever a sub-class leaves out is as for a network of which nothing is known.

    Args:
        network: The class of the network.

    Attributes:
        mark: The name of a weight that all checkpoints of the network have, and no others; None: not recognised.
        layout: The authors' names of its weights, if these are others.
        published: Arguments of the published networks by their names.
        unpublished: What any other network of the class is called; by default "a" and the name of the class.
        continuation: How an image is continued to a multiple of the network's size: what an exported graph does around
            the network. None: the network cannot be exported.
        spandrel_id: The name under which spandrel opens the network; None: it does not.
        spandrel_tags: Arguments that spandrel shows, with what stands behind their values: ``("width", "w")`` is "64w".
    """

    mark: ClassVar[str | None] = None
    layout: ClassVar[AuthorsLayout | None] = None
    published: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    unpublished: ClassVar[str | None] = None
    continuation: ClassVar[Literal["zeros", "mirror"] | None] = None
    spandrel_id: ClassVar[str | None] = None
    spandrel_tags: ClassVar[Sequence[tuple[str, str]]] = ()

    def __init__(self, network: type[nn.Module]) -> None:
        self.network = network

    @property
    def name(self) -> str:
        """The name of the network's class."""
        return self.network.__name__

    @property
    def builds(self) -> bool:
        """Whether weights alone build the network."""
        return type(self).arguments_of is not NetworkCard.arguments_of

    def recognises(self, state: State) -> bool:
        """Tell whether these are weights of the network."""
        return self.mark is not None and self.mark in state

    def arguments_of(self, state: State) -> dict[str, Any]:
        """Deduce the arguments that build a network with these weights, as far as they tell.

        Sub-classes need not look whether there is everything that they read: see :meth:`deduce_arguments`.
        """
        raise CheckpointError(f"weights alone do not build {self._phrase}")

    def untold(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what weights do not tell, where it is not to be the default, by what they tell."""
        return {}

    def deduce_arguments(self, state: State) -> dict[str, Any]:
        """Deduce the arguments that build a network with these weights, as far as they tell.

        Raises:
            CheckpointError: These are not the weights of such a network.
        """
        if not self.recognises(state):
            raise CheckpointError(f"these are not the keys of {self._phrase}: '{self.mark}' is missing")
        try:
            return self.arguments_of(state)
        except KeyError as error:
            raise CheckpointError(f"these are not the keys of a whole {self.name}: {error} is missing") from error
        except (IndexError, ValueError, ZeroDivisionError) as error:
            raise CheckpointError(f"these are not the tensors of {self._phrase}: they have other dimensions") from error

    def build(self, state: State, told: Mapping[str, Any] | None = None) -> nn.Module:
        """Build the network that these weights fit, without them.

        Args:
            state: Weights by name.
            told: Arguments that are known from elsewhere.

        Raises:
            CheckpointError: These are not the weights of such a network.
            OptionError: There is no such network.
        """
        arguments = self.deduce_arguments(state)
        return self.network(**{**arguments, **self.untold(arguments), **(told or {})})

    def published_name(self, arguments: Mapping[str, Any]) -> str | None:
        """Return the name of the published network with these deduced arguments; None if there is none."""
        return next((name for name, published in self.published.items() if published == arguments), None)

    def describe(self, state: State) -> str:
        """Describe the network of these weights in one phrase: "DeepRFTv2-B with dim 48, ...".

        Raises:
            CheckpointError: These are not the weights of such a network.
        """
        arguments = self.deduce_arguments(state)
        name = self.published_name(arguments) or self.unpublished or self._phrase
        return f"{name} with " + ", ".join(f"{argument} {value}" for argument, value in arguments.items())

    def estimators(self, network: nn.Module) -> list[EstimatorPlace]:
        """Find the Fourier Kernel Estimators of a network of this class, in the order in which they run."""
        return [
            EstimatorPlace(name, self.estimator_label(name), self.estimator_halvings(name), part)
            for name, part in estimators(network).items()
        ]

    def estimator_label(self, name: str) -> str:
        """Return what people call the estimator with that module name."""
        return name

    def estimator_halvings(self, name: str) -> int:
        """Return how often the image is halved at the scale of the estimator with that module name."""
        return 0

    def bytes_per_pixel(self, network: nn.Module) -> int:
        """Return the bytes that a network of this class takes for every pixel that it works on at once."""
        field = network.kernel_size**2 if isinstance(network, KernelGuided) else 0
        return max(BYTES * _width(network), FIELD_BYTES * field)

    def bytes_around_tiles(self, network: nn.Module) -> int:
        """Return the bytes that it takes for every pixel of a larger image around its own tiles."""
        return KEPT_BYTES * _width(network)

    def export_hindrance(self, network: nn.Module) -> str | None:
        """Return what of this very network one graph for all sizes cannot hold, and what to do; None: all can be."""
        return None

    def spandrel_opens(self, state: State) -> bool:
        """Tell whether spandrel is to open these weights with the network."""
        return self.recognises(state)

    @property
    def _phrase(self) -> str:
        return f"{'an' if self.name[0] in 'AEIO' else 'a'} {self.name}"


def count_entries(state: State, prefix: str) -> int:
    """Count the entries of the module list ``prefix`` that have weights."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for key in state if (match := pattern.match(key))})


def _width(network: nn.Module) -> int:
    """Return the channels of a network's first features."""
    return next((layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)), WIDTH)
