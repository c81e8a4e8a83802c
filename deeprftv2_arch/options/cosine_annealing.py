"""The plain cosine schedule of the learning rate."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial learning rate to ``eta_min`` in ``T_max`` iterations, then ``eta_min``.

    A closed form, unlike PyTorch's recursion from the last value, which BasicSR's warm-up would spoil by setting that
    value itself.

    Args:
        optimizer: Whose learning rates to set.
        T_max: Number of iterations.
        eta_min: Last learning rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of every parameter group at the current iteration."""
        remaining = (1 + math.cos(math.pi * min(self.last_epoch / self.T_max, 1))) / 2
        return [self.eta_min + (base - self.eta_min) * remaining for base in self.base_lrs]
