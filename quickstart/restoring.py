"""Restores the held-out photographs with the trained network and looks into its last kernel estimator."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from quickstart.training import read_options


@dataclass(frozen=True)
class Restored:
    """A restored photograph.

    Attributes:
        photograph: (H, W, 3) uint8 RGB.
        kernels: (C, H', W') the kernels that the last Fourier Kernel Estimator multiplies the features' spectra by, one
            per channel, as pictures; zero lag is in the corner, H' and W' are H and W padded.
        seconds: What the network took.
    """

    photograph: np.ndarray
    kernels: np.ndarray
    seconds: float


def load_network(weights: Path) -> DeepRFTv2:
    """The network of options/quickstart.yml with trained weights, for evaluation."""
    arguments = {key: value for key, value in read_options()["network_g"].items() if key != "type"}
    network = DeepRFTv2(**arguments)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["params"])
    return network.eval()


@torch.no_grad()
def restore(network: DeepRFTv2, blurred: np.ndarray) -> Restored:
    """Restores one (H, W, 3) uint8 RGB photograph."""
    spectra: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        spectra.append(output)

    x = torch.from_numpy(np.ascontiguousarray(blurred.transpose(2, 0, 1))).float().div(255)[None]
    kernel_head = network.get_submodule(f"units.{len(network.units) - 1}.full_scale.fke.kernel_head")
    handle = kernel_head.register_forward_hook(keep)
    try:
        start = time.perf_counter()
        y = network(x)
        seconds = time.perf_counter() - start
    finally:
        handle.remove()
    real, imaginary = spectra[-1].chunk(2, dim=1)
    kernels = torch.fft.irfft2(torch.complex(real, imaginary))[0].numpy()
    photograph = y[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    return Restored(photograph, kernels, seconds)
