"""States of optimisers and schedules in a form that any machine reads, and reads without executing anything."""

from typing import Any

import torch


def plain(value: Any) -> Any:
    """Return nested dictionaries (counters become such), lists and tuples as they are, with all tensors on the CPU."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value.cpu() if isinstance(value, torch.Tensor) else value
