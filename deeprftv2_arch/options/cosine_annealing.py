"""The plain cosine schedule of the learning rate."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class CosineAnnealingLR(LRScheduler):
    """The initial learning rate for ``hold`` iterations, then half a cosine to ``eta_min`` in ``T_max``, then that.

    A training that held its rate can be lengthened, or ended sooner, from any state before the cosine begins.

    A closed form, unlike PyTorch's recursion from the last value, which BasicSR's warm-up would spoil by setting that
    value itself.

    Args:
        optimizer: Whose learning rates to set.
        T_max: Number of iterations of the cosine.
        eta_min: Last learning rate.
        hold: Number of iterations before it.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, hold: int = 0) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        self.hold = hold
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of every parameter group at the current iteration."""
        progress = min(max(0, self.last_epoch - self.hold) / self.T_max, 1)
        remaining = (1 + math.cos(math.pi * progress)) / 2
        return [self.eta_min + (base - self.eta_min) * remaining for base in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another schedule was: as that one would, or as this one while both still hold the rate."""
        own = {"hold": self.hold, "T_max": self.T_max, "eta_min": self.eta_min}
        super().load_state_dict(state_dict)
        if self.last_epoch <= min(self.hold, own["hold"]):
            vars(self).update(own)
