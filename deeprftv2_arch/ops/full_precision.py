"""Arithmetic that must not run in half precision, whatever autocast says."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x`` as float32, or unchanged when it is float64 already."""
    return x if x.dtype == torch.float64 else x.float()


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Return the context in which autocast is off for the device of ``x``."""
    if not _has_autocast(x.device.type):  # such as tensors without data, on the device "meta"
        return nullcontext()
    return torch.autocast(device_type=x.device.type, enabled=False)


@torch.compiler.assume_constant_result  # torch 2.4 cannot trace the question
def _has_autocast(device_type: str) -> bool:
    return torch.amp.is_autocast_available(device_type)
