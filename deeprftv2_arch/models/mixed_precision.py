"""Automatic mixed precision: which arithmetic the forward pass uses, and the scale of its gradients."""

from contextlib import AbstractContextManager
from typing import Any

import torch

from deeprftv2_arch.errors import OptionError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class MixedPrecision:
    """Autocast and, in float16, a gradient scaler; with ``name`` None both do nothing.

    Args:
        name: ``bf16``, ``fp16`` or None.
        device: Where the network runs.

    Raises:
        OptionError: There is no such precision.
    """

    def __init__(self, name: str | None, device: torch.device) -> None:
        if name is not None and name not in DTYPES:
            raise OptionError(f"train: amp: expected {' or '.join(DTYPES)} or nothing, not {name!r}")
        self.dtype = DTYPES.get(name or "")
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of the forward pass."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    @property
    def calibrating(self) -> bool:
        """Whether an overflow of the gradients may be the scaler's: it then skips the step and halves its scale."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1
