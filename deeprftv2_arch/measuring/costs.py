"""What a network costs: parameters and operations."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.networks.protocol import traits_of

SIDE = 256  # pixels of the image on which networks are counted that do not enlarge, as papers on deblurring do
ENLARGED = (720, 1280)  # height and width of the image that others make, as papers on super-resolution count
COUNTED_ON = "256x256 pixels; of networks that enlarge, for an enlarged image of 1280x720"


@dataclass(frozen=True)
class Costs:
    """What a network costs.

    Attributes:
        parameters: Their number.
        macs: Multiply-accumulates of its convolutions and matrix products, for one image of :data:`COUNTED_ON`; None
            where the network does not restore that size.
    """

    parameters: int
    macs: int | None


@torch.no_grad()
def costs_of(network: nn.Module) -> Costs:
    """Count on the device of the network, which also does what a first run does, such as compiling."""
    weight = next(network.parameters(), torch.empty(0))
    upscale = traits_of(network).upscale
    height, width = (SIDE, SIDE) if upscale == 1 else (ENLARGED[0] // upscale, ENLARGED[1] // upscale)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Costs(parameters, count_macs(network, torch.zeros(1, 3, height, width, device=weight.device)))


@torch.no_grad()
def count_macs(network: nn.Module, image: torch.Tensor) -> int | None:
    """Count the multiply-accumulates of convolutions and matrix products, by PyTorch's counter.

    Args:
        network: The network, in eval mode.
        image: (B, 3, H, W).

    Returns:
        Their number, or None where the network does not restore such an image.
    """
    try:
        with FlopCounterMode(display=False) as counter:
            network(image)
    except (DataError, torch.cuda.OutOfMemoryError):
        return None
    return int(counter.get_total_flops()) // 2
