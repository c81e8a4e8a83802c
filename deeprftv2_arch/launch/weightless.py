"""Networks that are built to be looked at, not to be run."""

from collections.abc import Mapping
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn


def network_without_memory(section: Mapping[str, Any]) -> nn.Module:
    """Build the network of a section with shapes but no weights, which takes neither memory nor random numbers."""
    arguments = {key: value for key, value in section.items() if key != "type"}
    with torch.device("meta"):
        return ARCH_REGISTRY.get(section["type"])(**arguments)
