"""BasicSR's own training loop, with the pieces that the released version gets wrong replaced."""

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import basicsr.train
from torch.utils.data import DataLoader

from deeprftv2_arch.common.stopping import Stopped, signals_wait
from deeprftv2_arch.launch.image_sizes import check_sizes_for_niqe
from deeprftv2_arch.launch.loaders import (
    LoadersOfBasicSR,
    build_datasets,
    goes_in_stages,
    loaders_for_basicsr,
    require_a_batch,
    training_loader,
    with_enough_epochs,
)
from deeprftv2_arch.launch.loop import parts_of_loop, repair_wandb
from deeprftv2_arch.launch.processes import Process, begin_process, only_run_in, process_group
from deeprftv2_arch.launch.rehearsal import Rehearsed
from deeprftv2_arch.launch.resume import load_resume_state, unvalidated
from deeprftv2_arch.launch.stoppable import Progress, StoppableBatches, saved_where_stopped
from deeprftv2_arch.models.state_check import require_fitting
from deeprftv2_arch.models.training_model import TrainingModel
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import Options, Run, check_first_weights, load_options


def run_training(arguments: Arguments, root: Path) -> None:
    """Run BasicSR's ``train_pipeline``.

    Options, data and weights are checked before the loop begins, the model is built and one step tried, since the
    loop's first act is to rename the folder of an earlier run of the same name. A signal ends the loop between two
    steps, with everything saved.

    Args:
        arguments: The command line.
        root: Folder that gets ``experiments/``.

    Raises:
        DeepRFTv2Error: Anything that the user can put right.
        Stopped: A signal has ended the training; says where it was saved.
    """
    run = load_options(arguments, root, is_train=True)
    process = begin_process(run, arguments.launcher)
    opt = run.to_basicsr() | process.for_basicsr()
    with process_group(process), only_run_in(run.folder):
        datasets = build_datasets(opt)
        state = load_resume_state(opt)
        if state is None:
            check_first_weights(run)
        check_sizes_for_niqe(run, datasets)
        train_loader = _training_loader(run, process, datasets["train"], state)
        if (opt["logger"].get("wandb") or {}).get("project") is not None:
            repair_wandb()
        rehearsed = Rehearsed(opt, train_loader, run.file)
        model: Any = rehearsed.model
        _require_fitting(state, model)
        tb_loggers: list[Any] = []
        held_out: list[Any] = []
        progress = Progress()

        def init_tb_loggers(opt: Options) -> Any:
            tb_loggers.append(original_init_tb_loggers(opt))
            return tb_loggers[0]

        def create_loaders(opt: Options, logger: logging.Logger) -> LoadersOfBasicSR:
            if goes_in_stages(run.data["train"]):
                loaders = loaders_for_basicsr(opt, datasets, train_loader, logger)
            else:
                loaders = with_enough_epochs(original_create_loaders)(opt, logger)
            held_out.extend(loaders[2])
            progress.follow(model, loaders[1])
            return StoppableBatches(loaders[0], validate_what_is_left, model.device), *loaders[1:]

        def validate_what_is_left() -> None:
            """Do so ahead of the first epoch alone."""
            _validate_left(model, held_out, state, opt, tb_loggers[0])
            held_out.clear()

        original_init_tb_loggers = basicsr.train.init_tb_loggers
        original_create_loaders = basicsr.train.create_train_val_dataloader
        with (
            signals_wait(),
            replaced(
                basicsr.train,
                parse_options=lambda root_path, is_train: (opt, argparse.Namespace(opt=str(arguments.opt))),
                load_resume_state=lambda opt: state,
                init_tb_loggers=init_tb_loggers,
                create_train_val_dataloader=create_loaders,
                **parts_of_loop(opt, rehearsed.take),
            ),
        ):
            try:
                basicsr.train.train_pipeline(str(root))
            except Stopped as stop:
                if stop.at_once:
                    raise
                raise saved_where_stopped(stop, model, opt, progress) from None


def _training_loader(run: Run, process: Process, dataset: Any, state: dict[str, Any] | None) -> DataLoader[Any]:
    """Check a training set in full, and build a loader of it."""
    if goes_in_stages(run.data["train"]):
        # Whether the stages last to the end, and divide by the number of processes, is checked here too.
        return training_loader(run, process, dataset, start_iter=state["iter"] if state else 0)
    require_a_batch(run, process, dataset)
    # For the step that is tried alone; the loop has BasicSR's own.
    return DataLoader(dataset, run.content["datasets"]["train"]["batch_size_per_gpu"])


def _require_fitting(state: dict[str, Any] | None, model: Any) -> None:
    """Refuse a state that is damaged or another training's, also for a model of BasicSR's, which would take it."""
    if state is not None and isinstance(model, TrainingModel):
        model.require_fitting(state)
    elif state is not None:
        require_fitting(state, model.optimizers, model.schedulers)


def _validate_left(
    model: Any, held_out: list[DataLoader[Any]], state: dict[str, Any] | None, opt: Options, tb_logger: Any
) -> None:
    """Validate what a run that was killed had saved and not yet validated."""
    left = unvalidated(state, opt)
    for loader in held_out:
        dataset: Any = loader.dataset
        if state is not None and dataset.opt["name"] in left:
            model.validation(loader, state["iter"], tb_logger, opt["val"]["save_img"])


@contextmanager
def replaced(module: ModuleType, **functions: Any) -> Iterator[None]:
    """Give functions of a module other definitions for the time of a with-block."""
    originals = {name: getattr(module, name) for name in functions}
    vars(module).update(functions)
    try:
        yield
    finally:
        vars(module).update(originals)
