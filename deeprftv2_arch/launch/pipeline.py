"""BasicSR's own training loop, with the pieces that the released version gets wrong replaced."""

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import basicsr.train

from deeprftv2_arch.common.stopping import Stopped, signals_wait
from deeprftv2_arch.launch.loaders import LoadersOfBasicSR, build_datasets, loaders_for_basicsr, training_loader
from deeprftv2_arch.launch.processes import begin_process, only_run_in, process_group
from deeprftv2_arch.launch.rehearsal import Rehearsed
from deeprftv2_arch.launch.resume import load_resume_state, unvalidated
from deeprftv2_arch.launch.stoppable import StoppableBatches, saved_where_stopped
from deeprftv2_arch.models.training_model import TrainingModel
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import Options, check_first_weights, load_options


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
        # Also the full check of the stages: whether they last to the end, and divide by the number of processes.
        train_loader = training_loader(run, process, datasets["train"], start_iter=state["iter"] if state else 0)
        rehearsed = Rehearsed(opt, train_loader, run.file)
        model: Any = rehearsed.model
        if state is not None and isinstance(model, TrainingModel):
            model.require_fitting(state)
        tb_loggers: list[Any] = []
        held_out: list[Any] = []

        def init_tb_loggers(opt: Options) -> Any:
            tb_loggers.append(original_init_tb_loggers(opt))
            return tb_loggers[0]

        def create_loaders(opt: Options, logger: logging.Logger) -> LoadersOfBasicSR:
            batches = StoppableBatches(train_loader, validate_what_is_left, model.device)
            loaders = loaders_for_basicsr(opt, datasets, train_loader, logger)
            held_out.extend(loaders[2])
            return batches, *loaders[1:]

        def validate_what_is_left() -> None:
            """Validate what a run that was killed had saved and not yet validated."""
            left = unvalidated(state, opt)
            for loader in held_out:
                if state is not None and loader.dataset.opt["name"] in left:
                    model.validation(loader, state["iter"], tb_loggers[0], opt["val"]["save_img"])

        original_init_tb_loggers = basicsr.train.init_tb_loggers
        with (
            signals_wait(),
            replaced(
                basicsr.train,
                parse_options=lambda root_path, is_train: (opt, argparse.Namespace(opt=str(arguments.opt))),
                load_resume_state=lambda opt: state,
                init_tb_loggers=init_tb_loggers,
                create_train_val_dataloader=create_loaders,
                build_model=rehearsed.take,
            ),
        ):
            try:
                basicsr.train.train_pipeline(str(root))
            except Stopped as stop:
                if stop.at_once:
                    raise
                raise saved_where_stopped(stop, model, opt) from None


@contextmanager
def replaced(module: ModuleType, **functions: Any) -> Iterator[None]:
    """Give functions of a module other definitions for the time of a with-block."""
    originals = {name: getattr(module, name) for name in functions}
    vars(module).update(functions)
    try:
        yield
    finally:
        vars(module).update(originals)
