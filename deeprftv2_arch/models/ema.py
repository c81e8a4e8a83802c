"""Exponential moving average of a network, buffers included."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move an average towards a network: ``average = decay * average + (1 - decay) * net``.

    Args:
        average: A network of the same architecture; changed in place. Integer buffers are copied.
        net: The network.
        decay: 0 copies the network, values near 1 average over about ``1 / (1 - decay)`` updates.
    """
    current = net.state_dict()
    for name, value in average.state_dict().items():
        if decay == 0 or not value.is_floating_point():
            value.copy_(current[name])
        else:
            value.lerp_(current[name], 1 - decay)
