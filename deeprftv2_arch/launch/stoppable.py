"""A training loop that a signal ends between two steps, with everything saved."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch.utils.data import DataLoader

from deeprftv2_arch.common.stopping import Stopped, asked_to_stop, let_parent_alone_end, signals_held
from deeprftv2_arch.launch.resume import load_whole_state
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
        loader.worker_init_fn = partial(_begin_worker, loader.worker_init_fn)
        self.first = first
        self.device = device

    def __iter__(self) -> Iterator[Any]:
        self.first()
        self._stop_together()
        with signals_held():  # until the workers can say what they do about it
            batches = iter(self.loader)
        for batch in batches:
            yield batch
            self._stop_together()

    def _stop_together(self) -> None:
        # All or none, since a process that is alone would wait for the others.
        noted = float(asked_to_stop() or 0)
        numbers = mean_over_processes(torch.tensor([noted, noted > 0], device=self.device)).tolist()
        if numbers[1] > 0:
            raise Stopped(round(numbers[0] / numbers[1]))


def _begin_worker(begin: Callable[[int], None] | None, number: int) -> None:
    let_parent_alone_end()  # the step that is being done may need another batch
    if begin is not None:
        begin(number)


class Progress:
    """How far the loop has come with a model of BasicSR's, which does not know that itself.

    Attributes:
        epoch: The one it is in.
        iteration: The last one that was done; None before the first.
        saved: The last one that was saved.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.iteration: int | None = None
        self.saved: int | None = None

    def follow(self, model: Any, sampler: Any) -> None:
        """Take note of what the loop has a model and the sampler of its batches do."""
        optimize, save, set_epoch = model.optimize_parameters, model.save, sampler.set_epoch

        def optimize_parameters(current_iter: int) -> None:
            optimize(current_iter)
            self.iteration = current_iter

        def save_all(epoch: int, current_iter: int) -> None:
            save(epoch, current_iter)
            self.saved = current_iter

        def begin_epoch(epoch: int) -> None:
            set_epoch(epoch)
            self.epoch = epoch

        model.optimize_parameters, model.save, sampler.set_epoch = optimize_parameters, save_all, begin_epoch


def saved_where_stopped(stop: Stopped, model: Any, opt: Options, progress: Progress) -> Stopped:
    """Save what is not saved yet, in every process.

    Returns:
        The signal, with a note that says where it is saved.

    Raises:
        DeepRFTv2Error: It cannot be saved.
    """
    if not isinstance(model, TrainingModel):
        return _saved_by_basicsr(stop, model, opt, progress)
    if model.iteration is None:
        return Stopped(stop.number, "before the first step, so that there was nothing to save")
    if not model.is_saved:
        model.save(0, model.iteration)
    if not model.is_saved:
        return Stopped(stop.number, f"iteration {model.iteration} was skipped and is not saved")
    return _saved(stop, opt, model.iteration)


def _saved_by_basicsr(stop: Stopped, model: Any, opt: Options, progress: Progress) -> Stopped:
    """Save by a model that says nothing where it could not, and look whether it has."""
    if progress.iteration is None:
        return Stopped(stop.number, "before the first step, so that there was nothing to save")
    if progress.saved != progress.iteration:
        model.save(progress.epoch, progress.iteration)
    if opt["rank"] == 0:
        load_whole_state(Path(opt["path"]["training_states"]) / f"{progress.iteration}.state", opt)
    return _saved(stop, opt, progress.iteration)


def _saved(stop: Stopped, opt: Options, iteration: int) -> Stopped:
    state = Path(opt["path"]["training_states"]) / f"{iteration}.state"
    note = f"iteration {iteration} is saved in {state}; --auto_resume goes on from there"
    get_root_logger().info("Stopped by a signal: %s", note)
    return Stopped(stop.number, note)
