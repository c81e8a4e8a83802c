"""A training loop that a signal ends between two steps, with everything saved."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch.utils.data import DataLoader

from deeprftv2_arch.common.stopping import Stopped, asked_to_stop
from deeprftv2_arch.models.processes import mean_over_processes
from deeprftv2_arch.models.training_model import TrainingModel
from deeprftv2_arch.options.loading import Options


class StoppableBatches:
    """The batches of a training; before each is asked for, the loop has done all that belongs to the step before.

    Args:
        loader: Gives the batches.
        first: Called before the first batch.
        device: Where processes exchange whether one of them is to end.

    Raises:
        Stopped: While it iterates: a signal has asked this process, or another one of the run, to end.
    """

    def __init__(self, loader: DataLoader[Any], first: Callable[[], None], device: torch.device) -> None:
        self.loader = loader
        self.first = first
        self.device = device

    def __iter__(self) -> Iterator[Any]:
        self.first()
        self._stop_together()
        for batch in self.loader:
            yield batch
            self._stop_together()

    def _stop_together(self) -> None:
        # All or none, since a process that is alone would wait for the others.
        noted = float(asked_to_stop() or 0)
        numbers = mean_over_processes(torch.tensor([noted, noted > 0], device=self.device)).tolist()
        if numbers[1] > 0:
            raise Stopped(round(numbers[0] / numbers[1]))


def saved_where_stopped(stop: Stopped, model: Any, opt: Options) -> Stopped:
    """Save what is not saved yet, in every process.

    Returns:
        The signal, with a note that says where it is saved.
    """
    if not isinstance(model, TrainingModel):
        return Stopped(stop.number, "what was saved last is kept; --auto_resume goes on from there")
    if model.iteration is None:
        return Stopped(stop.number, "before the first step, so that there was nothing to save")
    if not model.is_saved:
        model.save(0, model.iteration)
    if not model.is_saved:
        return Stopped(stop.number, f"iteration {model.iteration} was skipped and is not saved")
    state = Path(opt["path"]["training_states"]) / f"{model.iteration}.state"
    note = f"iteration {model.iteration} is saved in {state}; --auto_resume goes on from there"
    get_root_logger().info("Stopped by a signal: %s", note)
    return Stopped(stop.number, note)
