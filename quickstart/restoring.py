"""Photographs restored by a trained network."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Restored:
    """A restored photograph.

    Attributes:
        photograph: (H, W, 3) uint8 RGB.
        seconds: What the network took.
        kernels: (C, H', W') the kernels that the last Fourier Kernel Estimator multiplies the features' spectra by, one
            per channel, as images; zero lag is in the corner, H' and W' are H and W padded. None if nobody looked.
    """

    photograph: np.ndarray
    seconds: float
    kernels: np.ndarray | None = None


def load_network(network_class: type[nn.Module], options: Mapping[str, Any], weights: Path) -> nn.Module:
    """Build the network of an option file with trained weights, for evaluation."""
    network = network_class(**{key: value for key, value in options.items() if key != "type"})
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["params"])
    return network.eval()


@torch.no_grad()
def restore(network: nn.Module, degraded: np.ndarray) -> Restored:
    """Restore one (H, W, 3) uint8 RGB photograph."""
    x = torch.from_numpy(np.ascontiguousarray(degraded.transpose(2, 0, 1))).float().div(255)[None]
    start = time.perf_counter()
    y = network(x)
    seconds = time.perf_counter() - start
    return Restored(y[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy(), seconds)
