"""Where figures come from: how the images were restored, and the versions of what computed."""

from collections.abc import Mapping
from typing import Any

import basicsr
import cv2
import numpy as np
import torch
from torch import nn

from deeprftv2_arch import __version__
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork


def versions() -> dict[str, str]:
    """Return the versions of everything that a figure may depend on."""
    return {
        "deeprftv2_arch": __version__,
        "torch": torch.__version__,
        "basicsr": basicsr.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def how_restored(network: nn.Module, arguments: Mapping[str, Any]) -> str:
    """Say what of an image the network sees at once, on which its results depend.

    Args:
        network: The network.
        arguments: What it was built from, the section ``network_g`` of the options.
    """
    tile = getattr(network, "tile", None)
    parts = ["whole" if tile is None else f"tiled ({tile}, {network.tile_overlap})"]
    if arguments.get("smallest_size"):
        height, width = arguments["smallest_size"]
        parts.append(f"padded to at least {height}x{width}")
    if arguments.get("fke_window"):
        parts.append(f"FKE in windows ({arguments['fke_window']}, {arguments.get('fke_overlap', 0)})")
    if arguments.get("train_size"):
        parts.append(f"TLC {arguments['train_size']}")
    if isinstance(network, KernelGuidedNetwork):
        parts.append(_how_kernels_are_drawn(network))
    return ", ".join(parts)


def _how_kernels_are_drawn(network: KernelGuidedNetwork) -> str:
    if network.samples == 0:
        return "kernels of the mean codes"
    seed = "unseeded" if network.seed is None else f"seed {network.seed}"
    return f"{network.samples} draw{'s' if network.samples > 1 else ''} of kernels, {seed}"
