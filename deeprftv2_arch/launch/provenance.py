"""Where figures come from: the weights, how the pictures were restored, and the versions of what computed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import basicsr
import cv2
import numpy as np
import torch
from torch import nn

from deeprftv2_arch import __version__
from deeprftv2_arch.checkpoints.io import find_params

BLOCK = 1 << 20  # bytes of a file that are read at once


@dataclass(frozen=True)
class Weights:
    """The weights that are measured.

    Attributes:
        file: Where they are.
        key: Under which key of the file.
        sha256: Of the file.
    """

    file: str
    key: str
    sha256: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Weights":
        """Look up the weights that the section ``path`` of the options names."""
        file = Path(options["pretrain_network_g"])
        return cls(str(file), find_params(file, options.get("param_key_g", "params"))[1], sha256(file))


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


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
    """Say what of a picture the network sees at once, on which its results depend.

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
    return ", ".join(parts)
