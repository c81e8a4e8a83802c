"""Other people's networks, which spandrel tells by their weights: NAFNet, SwinIR, HAT, RealESRGAN, ...

Those that are free for some uses only, such as Restormer and MPRNet, are in its package spandrel_extra_arches.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from torch import Tensor, nn

from deeprftv2_arch.errors import CheckpointError, DataError, OptionError
from deeprftv2_arch.layers.tiling import run_in_tiles
from deeprftv2_arch.networks.protocol import NetworkTraits

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

CHANNELS = 3
MORE_ARCHITECTURES = "spandrel_extra_arches"


class PeerNetwork(nn.Module):
    """A network that spandrel has built, called as spandrel calls it: padded as it needs, and clamped to 0..1.

    Larger images are restored whole unless :meth:`use_tiles` was called.

    Args:
        descriptor: What spandrel's loader returned.

    Attributes:
        name: What spandrel calls the architecture.
        network: The network itself.
    """

    def __init__(self, descriptor: "ImageModelDescriptor[nn.Module]") -> None:
        super().__init__()
        self.name = str(descriptor.architecture.name)
        self.network: nn.Module = descriptor.model
        # Not as an attribute of its own, since it is no module and holds the network a second time.
        self._call = descriptor.__call__
        self._smallest = descriptor.size_requirements.minimum
        self._cuts_its_own_tiles = descriptor.tiling.name == "INTERNAL"
        self._traits = NetworkTraits(
            upscale=descriptor.scale,
            channels=descriptor.input_channels,
            size_multiple=descriptor.size_requirements.multiple_of,
        )

    @property
    def traits(self) -> NetworkTraits:
        """What holds of it."""
        return self._traits

    def use_tiles(self, tile: int | None, overlap: int = 0) -> None:
        """Choose the tiles anew; see :class:`deeprftv2_arch.networks.protocol.TiledNetwork`.

        Raises:
            OptionError: The network cuts tiles of its own, or these do not fit its sizes.
        """
        multiple = self._traits.size_multiple
        smallest = max(self._smallest, multiple)
        if tile is not None:
            if self._cuts_its_own_tiles:
                raise OptionError(f"{self.name} cuts tiles of its own; restore images whole")
            if tile < smallest or tile % multiple or overlap % multiple or not 0 <= overlap < tile:
                raise OptionError(
                    f"{self.name}: tile must be a multiple of {multiple} from {smallest} on, the overlap one that is "
                    f"smaller than the tile, got {tile}, {overlap}"
                )
        self._traits = replace(self._traits, tile=tile, tile_overlap=overlap if tile is not None else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (B, 3, H, W) in 0..1 to (B, 3, s H, s W).

        Raises:
            DataError: They are too small for the network.
        """
        tile, overlap = self._traits.tile, self._traits.tile_overlap
        if tile is None or max(x.shape[2:]) <= tile:
            return self._restored(x)
        return run_in_tiles(lambda parts: self._restored(parts[0]), [x], tile, overlap, self._traits.upscale)

    def _restored(self, x: Tensor) -> Tensor:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                restored: Tensor = self._call(x)
        except RuntimeError as error:
            if "out of memory" in str(error):
                raise
            raise DataError(f"{self.name} does not restore {x.shape[3]}x{x.shape[2]} pixels: {error}") from error
        return restored.clone()  # of inference mode, which other operations refuse


def peer_of_weights(state: Mapping[str, Tensor]) -> PeerNetwork | None:
    """Build the network that spandrel knows by its weights; None where it knows none, or is not installed.

    Raises:
        CheckpointError: It is one that restores no RGB images.
    """
    if find_spec("spandrel") is None:
        return None
    import spandrel

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch, about how these networks are written
            if find_spec(MORE_ARCHITECTURES) is not None:
                import_module(MORE_ARCHITECTURES).install(ignore_duplicates=True)
            descriptor = spandrel.ModelLoader("cpu").load_from_state_dict(spandrel.canonicalize_state_dict(dict(state)))
    except spandrel.UnsupportedModelError:
        return None
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"looks like another project's network, which spandrel cannot build: {reason}") from error
    image_model = isinstance(descriptor, spandrel.ImageModelDescriptor)
    if not image_model or descriptor.input_channels != CHANNELS or descriptor.output_channels != CHANNELS:
        raise CheckpointError(f"holds {descriptor.architecture.name}, which restores no RGB images")
    return PeerNetwork(descriptor.eval())
