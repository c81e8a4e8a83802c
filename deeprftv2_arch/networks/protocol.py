"""What the rest of the program may ask of a network, of this package or of somebody else's.

A network that restores images is any :class:`torch.nn.Module` that maps images (B, C, H, W) in 0..1 to restored ones
(B, C, s H, s W), in training as in eval mode. It may tell more of itself (:func:`traits_of`), let its tiles be chosen
(:class:`TiledNetwork`), and be supervised at more than the restored image: what training asks for by
``network(x, supervise=True)``, through the same call, so that the hooks of DistributedDataParallel and of
``torch.compile`` apply.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkTraits:
    """What a caller has to know of a network; the defaults are those of a network that does not say.

    Attributes:
        upscale: s, the factor by which images are enlarged.
        channels: C, of the images: 3 for RGB, or 1.
        size_multiple: Height and width that are multiples of it are worked on without padding.
        training_multiple: Of what height and width of the images of a training must be multiples.
        tile: Height and width of the tiles in which eval mode works on larger images; None: whole.
        tile_overlap: Pixels that neighbouring tiles share.
        keeps_tiles: Whether the network is bound to its own tiles, also inside of larger ones that a caller cuts.
    """

    upscale: int = 1
    channels: int = 3
    size_multiple: int = 1
    training_multiple: int = 1
    tile: int | None = None
    tile_overlap: int = 0
    keeps_tiles: bool = False


@runtime_checkable
class TraitedNetwork(Protocol):
    """A network that tells its traits."""

    @property
    def traits(self) -> NetworkTraits:
        """What holds now; tiles may change."""


@runtime_checkable
class TiledNetwork(Protocol):
    """A network whose tiles of eval mode can be chosen."""

    def use_tiles(self, tile: int | None, overlap: int = 0) -> None:
        """Choose the tiles anew.

        Args:
            tile: Height and width, in pixels of the input, of the tiles in which larger images are restored; None:
                whole.
            overlap: Pixels that neighbouring tiles share.

        Raises:
            OptionError: The network cannot work in such tiles.
        """


@runtime_checkable
class MultiScaleNetwork(Protocol):
    """A network that training supervises at several images, of several scales.

    Attributes:
        supervised_scales: Names of the scales, the first ones of :data:`deeprftv2_arch.layers.pyramid.SCALES`.
    """

    @property
    def supervised_scales(self) -> tuple[str, ...]:
        """See the class."""

    def __call__(self, x: Tensor, supervise: bool = ...) -> Any:
        """Restore images (B, 3, H, W).

        Returns:
            The restored images (B, 3, H, W) or, with ``supervise``, every supervised image by scale: a list of (B, 3,
            H / 2^i, W / 2^i) for the i-th of ``supervised_scales``.
        """


@runtime_checkable
class KernelGuided(Protocol):
    """A network that restores with blur kernels which it estimates, and that training also supervises by these.

    Attributes:
        estimator: Estimates codes of kernels; frozen.
        flow: Decodes them; frozen.
        kernel_size: Height and width of a kernel.
        samples: Draws of kernels whose restored images are averaged in eval mode; 0: the mean codes' kernels.
        seed: Of the draws in eval mode; None: every call draws anew.
    """

    samples: int
    seed: int | None

    @property
    def estimator(self) -> nn.Module:
        """See the class."""

    @property
    def flow(self) -> nn.Module:
        """See the class."""

    @property
    def kernel_size(self) -> int:
        """See the class."""

    def __call__(self, x: Tensor, *, supervise: bool = ...) -> Any:
        """Restore images (B, 3, H, W).

        Returns:
            The restored images (B, 3, H, W) or, with ``supervise``, these as ``restored`` and the kernel field
            (B, D, H, W) as ``kernels``.
        """


def traits_of(network: nn.Module) -> NetworkTraits:
    """Return the traits of any network.

    Those of a network that does not tell them are the defaults of :class:`NetworkTraits`, but for whole numbers that it
    has as attributes under the names which BasicSR's networks and their kin use: ``upscale`` and ``in_chans``.
    """
    if isinstance(network, TraitedNetwork):
        return network.traits
    upscale, channels = (getattr(network, name, None) for name in ("upscale", "in_chans"))
    return NetworkTraits(
        upscale=upscale if isinstance(upscale, int) else NetworkTraits.upscale,
        channels=channels if isinstance(channels, int) else NetworkTraits.channels,
    )
