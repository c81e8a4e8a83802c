"""What an exported file says about itself."""

from torch import nn

import deeprftv2_arch
from deeprftv2_arch.checkpoints.recognition import describe
from deeprftv2_arch.networks.protocol import traits_of

LICENCE = "Apache-2.0"  # of the code; weights have that of whoever trained them


def metadata_of(network: nn.Module) -> dict[str, str]:
    """Return network, scale, version, licence, and the ranges of input and output."""
    traits = traits_of(network)
    return {
        "network": describe(network.state_dict()),
        "scale": str(traits.upscale),
        "size_multiple": str(traits.size_multiple),
        "version": deeprftv2_arch.__version__,
        "licence": LICENCE,
        "input": f"(1, {traits.channels}, height, width), RGB in 0..1",
        "output": "of the same range, not clamped",
    }
