"""Other people's networks, which spandrel tells by their weights: NAFNet, Restormer, SwinIR, HAT, RealESRGAN, ..."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from torch import Tensor, nn

from deeprftv2_arch.errors import CheckpointError, DataError
from deeprftv2_arch.networks.protocol import NetworkTraits

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

CHANNELS = 3


class PeerNetwork(nn.Module):
    """A network that spandrel has built, called as spandrel calls it: padded as it needs, and clamped to 0..1.

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
        self._traits = NetworkTraits(upscale=descriptor.scale, channels=descriptor.input_channels)

    @property
    def traits(self) -> NetworkTraits:
        """What holds of it."""
        return self._traits

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (B, 3, H, W) in 0..1 to (B, 3, s H, s W).

        Raises:
            DataError: They are too small for the network.
        """
        try:
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
