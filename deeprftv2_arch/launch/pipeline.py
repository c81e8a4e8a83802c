"""BasicSR's own training loop, with the pieces that the released version gets wrong replaced."""

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import basicsr.train

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
from deeprftv2_arch.launch.processes import begin_process, process_group
from deeprftv2_arch.launch.resume import load_resume_state
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import Options, check_first_weights, load_options


def run_training(arguments: Arguments, root: Path) -> None:
    """Run BasicSR's ``train_pipeline``.

    Options, data and weights are checked before the loop begins, since its first act is to rename the folder of an
    earlier run of the same name.

    Args:
        arguments: The command line.
        root: Folder that gets ``experiments/``.

    Raises:
        DeepRFTv2Error: Anything that the user can put right.
    """
    run = load_options(arguments, root, is_train=True)
    process = begin_process(run, arguments.launcher)
    opt = run.to_basicsr() | process.for_basicsr()
    with process_group(process):
        datasets = build_datasets(opt)
        state = load_resume_state(opt)
        if state is None:
            check_first_weights(run)
        check_sizes_for_niqe(run, datasets)
        own: dict[str, Any] = parts_of_loop(opt, basicsr.train.build_model)
        own["parse_options"] = lambda root_path, is_train: (opt, argparse.Namespace(opt=str(arguments.opt)))
        own["load_resume_state"] = lambda opt: state
        if goes_in_stages(run.data["train"]):
            # Also the full check of the stages: whether they last to the end, and divide by the number of processes.
            train_loader = training_loader(run, process, datasets["train"], start_iter=state["iter"] if state else 0)
            own["create_train_val_dataloader"] = partial(_loaders, datasets=datasets, train_loader=train_loader)
        else:
            require_a_batch(run, process, datasets["train"])
            own["create_train_val_dataloader"] = with_enough_epochs(basicsr.train.create_train_val_dataloader)
        if (opt["logger"].get("wandb") or {}).get("project") is not None:
            repair_wandb()
        with replaced(basicsr.train, **own):
            basicsr.train.train_pipeline(str(root))


def _loaders(opt: Options, logger: logging.Logger, datasets: dict[str, Any], train_loader: Any) -> LoadersOfBasicSR:
    return loaders_for_basicsr(opt, datasets, train_loader, logger)


@contextmanager
def replaced(module: ModuleType, **functions: Any) -> Iterator[None]:
    """Give functions of a module other definitions for the time of a with-block."""
    originals = {name: getattr(module, name) for name in functions}
    vars(module).update(functions)
    try:
        yield
    finally:
        vars(module).update(originals)
