"""Stops a training whose loss or gradient is infinite or not a number."""

import math
from collections.abc import Mapping, Sequence

from basicsr.utils import get_root_logger

from deeprftv2_arch.errors import NonFiniteError
from deeprftv2_arch.models.processes import gathered

SHOWN = 32  # samples that a message names


class NonFiniteGuard:
    """Decides whether the weights may be updated.

    Args:
        max_skipped_steps: So many steps in a row may be skipped; the next one raises.
        sample_kind: What a batch is made of, for the messages.

    Attributes:
        skipped: Number of steps skipped since the last good one.
    """

    def __init__(self, max_skipped_steps: int, sample_kind: str = "images") -> None:
        self.max_skipped_steps = max_skipped_steps
        self.sample_kind = sample_kind
        self.skipped = 0

    def allows(self, iteration: int, values: Mapping[str, float], names: Sequence[str]) -> bool:
        """Look at one step.

        Args:
            iteration: Its number.
            values: Losses and gradient norm, the same in all processes, so that all decide alike.
            names: Those of this process's samples, such as the paths of the degraded images.

        Returns:
            Whether every value is finite; if not, the step must be skipped.

        Raises:
            NonFiniteError: One is not, and no more steps may be skipped.
        """
        bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if not bad:
            self.skipped = 0
            return True
        everybodys = [name for share in gathered(list(names)) for name in share]
        what = f"iteration {iteration}: {', '.join(bad)}; {self.sample_kind}: {', '.join(everybodys[:SHOWN])}"
        if len(everybodys) > SHOWN:
            what += f" and {len(everybodys) - SHOWN} more"
        if self.skipped >= self.max_skipped_steps:
            raise NonFiniteError(
                f"{what}; stopped after {self.skipped} skipped steps, the weights are those before iteration "
                f"{iteration - self.skipped}: look at the {self.sample_kind}, lower the learning rate or raise train: "
                "max_skipped_steps"
            )
        self.skipped += 1
        get_root_logger().warning("%s; step skipped (%d of %d)", what, self.skipped, self.max_skipped_steps)
        return False
