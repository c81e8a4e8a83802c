"""Data sets and loaders of a run."""

import logging
import math
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import lmdb
import torch
from basicsr.data import build_dataloader
from basicsr.utils.registry import DATASET_REGISTRY
from pydantic import BaseModel
from torch.utils.data import DataLoader

from deeprftv2_arch.data.batch_samplers import KernelBatchSampler, ProgressiveBatchSampler
from deeprftv2_arch.data.preparing import preparing_command
from deeprftv2_arch.errors import DataError, DeepRFTv2Error
from deeprftv2_arch.launch.processes import Process
from deeprftv2_arch.models.processes import is_first_process
from deeprftv2_arch.options.loading import Options, Run
from deeprftv2_arch.options.model_types import DATA_SET_TYPES
from deeprftv2_arch.options.sections import DataSection, TrainingKernelsSection

logger = logging.getLogger(__name__)

LoadersOfBasicSR = tuple[Any, Any, list[DataLoader[Any]], int, int]


def build_datasets(opt: Options) -> dict[str, Any]:
    """Build every data set of the options, in their order.

    BasicSR's own builder also writes to the log, and so cannot be used before the run's folder is there, which is when
    missing and empty folders should be found.

    Returns:
        The data sets by the names of their sections.

    Raises:
        DataError: Images are missing or do not pair.
    """
    return {name: _build_dataset(name, section) for name, section in opt["datasets"].items()}


def build_held_out(sections: Mapping[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Build data sets to measure on, and leave out, with a warning, those that are not there or not whole.

    Args:
        sections: Their sections by name.

    Returns:
        The data sets by the names of their sections, and why others were left out, by the names of the sets.
    """
    built, missing = {}, {}
    for name, section in sections.items():
        try:
            built[name] = _build_dataset(name, section)
        except DataError as error:
            missing[str(section["name"])] = str(error)
    for name, reason in missing.items() if is_first_process() else ():
        logger.warning("%s is not measured: %s", name, reason)
    return built, missing


def require_one(found: Collection[Any], missing: Mapping[str, str]) -> None:
    """Refuse to measure on nothing.

    Args:
        found: The data sets that are there.
        missing: Why others are not.

    Raises:
        DataError: None is there; says why the first one is not.
    """
    if not found:
        raise DataError(next(iter(missing.values())))


def _build_dataset(name: str, section: dict[str, Any]) -> Any:
    if section["type"] not in DATA_SET_TYPES:
        _require_folders(name, section)
    try:
        return DATASET_REGISTRY.get(section["type"])(deepcopy(section))
    except DeepRFTv2Error:
        raise
    except (AssertionError, KeyError, OSError, ValueError, lmdb.Error) as error:  # of a data set of BasicSR's
        raise DataError(f"datasets: {name}: {one_line_of(error)}; correct its paths and keys") from error


def _require_folders(name: str, section: dict[str, Any]) -> None:
    """Say what makes a folder or LMDB that is missing, as this project's own data sets do."""
    for key, root in section.items():
        if key.startswith("dataroot_") and isinstance(root, str) and not Path(root).exists():
            raise DataError(
                f"datasets: {name}: {section['name']}: {key}: there is no {root}; correct the path, or make it by "
                f"{preparing_command(Path(root))}"
            )


def one_line_of(error: Exception) -> str:
    """Return what an error of another package says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def training_loader(run: Run, process: Process, dataset: Any, start_iter: int) -> DataLoader[Any]:
    """Build the loader of this process's share of every batch, from the iteration after ``start_iter`` to the last.

    Raises:
        OptionError: The stages of the patches are missing, too short, or do not divide by the number of processes.
    """
    section: Any = run.data["train"]
    shared: dict[str, Any] = {
        "dataset_size": len(dataset),
        "seed": run.options.manual_seed,
        "rank": process.rank,
        "world_size": process.world_size,
        "start_iter": start_iter,
        "total_iter": run.options.train.total_iter,
    }
    sampler: KernelBatchSampler | ProgressiveBatchSampler
    if isinstance(section, TrainingKernelsSection):
        sampler = KernelBatchSampler(redraw=section.redraw, batch_size=section.batch_size_per_gpu, **shared)
    else:
        stages = [
            stage.model_dump() if isinstance(stage, BaseModel) else stage
            for stage in getattr(section, "patch_stages", ())
        ]
        _extend_last_stage(stages, start_iter, run.options.train.total_iter)
        sampler = ProgressiveBatchSampler(stages=stages, **shared)
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=section.num_worker_per_gpu,
        pin_memory=process.num_gpu > 0 and bool(getattr(section, "pin_memory", False)),
        generator=own_generator(run.options.manual_seed),
    )


def _extend_last_stage(stages: list[dict[str, Any]], start_iter: int, total_iter: int) -> None:
    """Let the last stage of a training that is resumed last as long as its ``total_iter`` now says."""
    if start_iter == 0 or not stages:
        return
    missing = total_iter - sum(stage["iters"] for stage in stages)
    if missing > 0:
        stages[-1] = stages[-1] | {"iters": stages[-1]["iters"] + missing}
        logger.warning("patch_stages: the last stage goes on for %d more iterations, to total_iter", missing)


def goes_in_stages(section: DataSection) -> bool:
    """Tell whether a training set is asked for patches; BasicSR's are asked by number, epoch by epoch."""
    return section.type in DATA_SET_TYPES or hasattr(section, "patch_stages")


def require_a_batch(run: Run, process: Process, dataset: Any) -> None:
    """Refuse a data set of BasicSR's that has no whole batch, of which its loop would train on nothing.

    Raises:
        DataError: It has none.
    """
    section = run.content["datasets"]["train"]
    samples = len(dataset) * section.get("dataset_enlarge_ratio", 1) // process.world_size
    if samples < section["batch_size_per_gpu"]:
        raise DataError(
            f"{run.file}: datasets: train: batch_size_per_gpu: {section['batch_size_per_gpu']}, but there are "
            f"{samples} images for each process; raise dataset_enlarge_ratio"
        )


def with_enough_epochs(create: Callable[[Options, logging.Logger], LoadersOfBasicSR]) -> Any:
    """Let BasicSR's own loaders of a training and its validation go on to the last iteration.

    BasicSR counts the broken last batch of a pass, which its loader drops, and so may end early.
    """

    def loaders(opt: Options, logger: logging.Logger) -> LoadersOfBasicSR:
        train_loader, sampler, validation, _, total_iter = create(opt, logger)
        return train_loader, sampler, validation, math.ceil(total_iter / len(train_loader)), total_iter

    return loaders


def loaders_for_basicsr(
    opt: Options, datasets: Mapping[str, Any], train_loader: DataLoader[Any], logger: logging.Logger
) -> LoadersOfBasicSR:
    """Return what BasicSR's training loop asks for.

    Args:
        opt: The options.
        datasets: What ``build_datasets`` returned.
        train_loader: The loader of the training set.
        logger: Gets a line for every data set.

    Returns:
        Training loader, its sampler, validation loaders, last epoch and last iteration. All iterations form epoch 0.
    """
    validation_loaders = []
    for name, dataset in datasets.items():
        section = opt["datasets"][name]
        known = DATA_SET_TYPES.get(section["type"])
        kind = known.items if known else "pairs"
        logger.info("Data set %s: %d %s for %s", section["name"], len(dataset), kind, section["phase"])
        if section["phase"] == "val":
            validation_loaders.append(evaluation_loader(opt, section, dataset))
    return train_loader, train_loader.batch_sampler, validation_loaders, 0, opt["train"]["total_iter"]


def evaluation_loader(opt: Options, section: dict[str, Any], dataset: Any) -> DataLoader[Any]:
    """Build BasicSR's loader of whole images, one at a time and in order."""
    loader: DataLoader[Any] = build_dataloader(
        dataset, section, num_gpu=opt["num_gpu"], dist=opt["dist"], sampler=None, seed=opt["manual_seed"]
    )
    loader.generator = own_generator(opt["manual_seed"])
    return loader


def own_generator(seed: int) -> torch.Generator:
    """Return a generator for a loader; without one, each pass would draw a number from the state that training uses."""
    return torch.Generator().manual_seed(seed)
