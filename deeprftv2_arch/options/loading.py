"""From an option file to a run: its options as values, checked against all that can be known before it begins."""

import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deeprftv2_arch.checkpoints.building import is_of_checkpoint
from deeprftv2_arch.checkpoints.io import TOP_LEVEL, find_params, require_fit
from deeprftv2_arch.checkpoints.stages import read_stage
from deeprftv2_arch.data.patches import height_and_width
from deeprftv2_arch.errors import OptionError, shortened
from deeprftv2_arch.networks.protocol import traits_of
from deeprftv2_arch.ops.scan.backends import choose_backend, set_backend_of_options
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.building import build_network
from deeprftv2_arch.options.checks import check_options
from deeprftv2_arch.options.model_types import ModelType, model_type_named, patch_sizes
from deeprftv2_arch.options.option_file import Content, change_options, read_option_file
from deeprftv2_arch.options.sections import DataSection, RunOptions
from deeprftv2_arch.options.training_file import as_testing, is_training_file
from deeprftv2_arch.options.validation import raise_faults

Options = dict[str, Any]  # as BasicSR's loops and models take them

DEBUG_INTERVAL = 8


@dataclass(frozen=True)
class Run:
    """What is to be trained, tested or evaluated.

    Attributes:
        file: The option file.
        root: Folder that gets ``experiments/`` or ``results/``.
        is_train: Whether it is a training.
        auto_resume: Whether to go on from the newest readable training state.
        options: What the file says.
        data: The sections of its data sets by their names.
        content: The same as plain dictionaries, for BasicSR.
    """

    file: Path
    root: Path
    is_train: bool
    auto_resume: bool
    options: Any
    data: dict[str, DataSection]
    content: Content

    @property
    def model_type(self) -> ModelType:
        """What depends on the ``model_type`` of the file."""
        return model_type_named(self.options.model_type)

    @property
    def folder(self) -> Path:
        """The folder of the run, which BasicSR makes, and renames if it is there already."""
        return self.root / ("experiments" if self.is_train else "results") / str(self.options.name)

    @cached_property
    def network(self) -> nn.Module:
        """The network on the device ``meta``: with shapes but without weights.

        Raises:
            OptionError: It refuses an argument.
        """
        return build_network(self.options.network_g, f"{self.file}: network_g", "meta")

    def to_basicsr(self) -> Options:
        """Return the options as BasicSR's own parser completes them, except for what depends on the processes."""
        opt = deepcopy(self.content)
        opt |= {"auto_resume": self.auto_resume, "is_train": self.is_train, "root_path": str(self.root)}
        opt["manual_seed"] = self.options.manual_seed  # a run that is to be repeated exactly cannot draw its seed
        for name, section in opt["datasets"].items():
            section["phase"] = name.split("_")[0]
            if "scale" in opt:
                section["scale"] = opt["scale"]
        paths, folder = opt["path"], str(self.folder)
        if self.is_train:
            paths["param_key_g"] = self.options.path.param_key_g or "params"
            paths |= {"experiments_root": folder, "log": folder}
            paths |= {key: str(self.folder / key) for key in ("models", "training_states", "visualization")}
        else:
            paths |= {"results_root": folder, "log": folder, "visualization": str(self.folder / "visualization")}
        return opt


def load_options(arguments: Arguments, root: Path, is_train: bool, evaluates: bool = False) -> Run:
    """Read, change and check the options of a run; nothing is written and no process group is needed.

    Args:
        arguments: The command line.
        root: Folder that gets ``experiments/`` or ``results/``.
        is_train: Whether the options are for training or for testing; a file for training is tested by its section
            ``val``, with the network that it has trained.
        evaluates: Whether they are for an evaluation, for which fewer need be there than for testing.

    Raises:
        OptionError: The file is missing or no option file, a key is unknown or missing, a value is of a wrong type or
            refused by the network, or a file that it names is not there. All faults of the file are reported at once,
            a line each.
    """
    content = read_content(arguments, root, is_train)
    return run_of(content, arguments, root, is_train, evaluates)


def read_content(arguments: Arguments, root: Path, is_train: bool) -> Content:
    """Read an option file and change it as the command line says, without checking what it says.

    Raises:
        OptionError: The file is missing or no option file, or it cannot be changed so.
    """
    content = read_option_file(arguments.opt)
    start = (content.get("path") or {}).get("pretrain_network_g") if isinstance(content.get("path"), dict) else None
    change_options(content, arguments.force_yml)
    if not is_train and is_training_file(content):
        content = as_testing(content, start, root)
    return content


def run_of(content: Content, arguments: Arguments, root: Path, is_train: bool, evaluates: bool = False) -> Run:
    """Check the content of an option file, as :func:`load_options` does, and return the run.

    Args:
        content: The content; that of a file that is not there, too.
        arguments: The command line; its ``opt`` is what messages name.
        root: Folder that gets ``experiments/`` or ``results/``.
        is_train: Whether it is for training or for testing.
        evaluates: Whether it is for an evaluation.

    Raises:
        OptionError: See :func:`load_options`.
    """
    _expand_users(content)
    options, data = check_options(content, str(arguments.opt), is_train, evaluates)
    if arguments.debug:
        _set_debug(content, is_train)
        options, data = check_options(content, str(arguments.opt), is_train, evaluates)
    run = Run(arguments.opt, root, is_train, arguments.auto_resume, options, data, content)
    faults = [*_file_faults(run), *_prefetching_faults(run), *_network_faults(run, evaluates)]
    raise_faults([f"{run.file}: {fault}" for fault in faults])
    _check_scan_backend(options)
    return run


def _expand_users(content: Content) -> None:
    """Put the user's folder in place of ``~`` where files are named."""
    sections: list[tuple[Any, tuple[str, ...]]] = [(content.get("path"), ("resume_state", "pretrain_network"))]
    data = content.get("datasets")
    sections += [(section, ("dataroot_",)) for section in (data.values() if isinstance(data, dict) else ())]
    for section, beginnings in sections:
        for key, value in section.items() if isinstance(section, dict) else ():
            if isinstance(key, str) and key.startswith(beginnings) and isinstance(value, str):
                section[key] = os.path.expanduser(value)  # noqa: PTH111  (else the text stays as it is)


def _set_debug(content: Content, is_train: bool) -> None:
    if not content["name"].startswith("debug"):
        content["name"] = f"debug_{content['name']}"
    if is_train:
        content["logger"] |= {"print_freq": 1, "save_checkpoint_freq": DEBUG_INTERVAL}
        if content.get("val"):
            content["val"]["val_freq"] = DEBUG_INTERVAL


def _file_faults(run: Run) -> Iterator[str]:
    """Name what would only fail after BasicSR has renamed the folder of an earlier run of the same name."""
    state = run.options.path.resume_state
    if state is not None and not Path(state).is_file():
        yield f"path: resume_state: there is no file {shortened(state)}"
    if run.folder.resolve() in run.file.resolve().parents:
        yield f"lies in the folder that this run writes ({run.folder}); start from a copy elsewhere"


def _prefetching_faults(run: Run) -> Iterator[str]:
    """Name what BasicSR's loop would only refuse after it has made or renamed folders."""
    train: Any = run.data.get("train")
    if getattr(train, "prefetch_mode", None) != "cuda":
        return
    if run.options.num_gpu == 0 or not torch.cuda.is_available():
        yield "datasets: train: prefetch_mode: cuda needs a GPU, and this run is on the CPU; set null or cpu"
    elif getattr(train, "pin_memory", None) is not True:
        yield "datasets: train: pin_memory: prefetch_mode cuda needs true here"


def _network_faults(run: Run, evaluates: bool) -> Iterator[str]:
    """Build the network to check its arguments, and check that it fits the rest of the file.

    An evaluation may measure a network that has no weights; a test may not.
    """
    try:
        network = run.network
    except OptionError as error:
        yield str(error).removeprefix(f"{run.file}: ")
        return
    has_weights = run.options.path.pretrain_network_g is not None or is_of_checkpoint(run.options.network_g)
    if not run.is_train and not has_weights:
        if network.state_dict():
            yield "path: pretrain_network_g: missing; testing needs the weights of a trained network"
        elif not evaluates:
            yield (
                "path: pretrain_network_g: missing; a network without weights is measured by python -m deeprftv2_arch "
                "evaluate"
            )
    try:
        yield from run.model_type.check(run.options, run.data, network)
    except OptionError as error:  # of another network of the file
        yield str(error)
    multiple = traits_of(network).training_multiple
    for place, patch_size in patch_sizes(run.data):
        if any(side % multiple for side in height_and_width(patch_size)):
            size = patch_size if isinstance(patch_size, int) else list(patch_size)
            yield f"{place}: {size} is no multiple of {multiple}, which this network trains on"


def _check_scan_backend(options: RunOptions) -> None:
    """Refuse a scan backend that was chosen by name, here or in the environment, and cannot serve on this machine."""
    set_backend_of_options(options.scan_backend)
    choose_backend("cuda" if options.num_gpu != 0 and torch.cuda.is_available() else "cpu")


def check_first_weights(run: Run) -> str | None:
    """Refuse weights to start from that cannot be read or do not fit; to be called where no state is resumed.

    Returns:
        Under which key of their file they are; None where there are none, or where they are at its top level.

    Raises:
        OptionError: A file is not named, or lies in the folder that this run is about to rename.
        CheckpointError: A file is missing, torn, unsafe to read, of another stage, or belongs to another network.
    """
    path, named = run.options.path, run.content["path"]
    for option, file in named.items():
        if option.startswith("pretrain_network_") and file is not None:
            _check_elsewhere(option, Path(file), run.folder)
    for option, part in run.model_type.stages(run.options, run.network).items():
        read_stage(option, part, named)
    if path.pretrain_network_g is None:
        return None
    file = Path(path.pretrain_network_g)
    weights, key = find_params(file, path.param_key_g or ("params" if run.is_train else "params_ema"))
    if path.strict_load_g:
        require_fit(run.network.state_dict(), weights, file)
    return None if key == TOP_LEVEL else key


def _check_elsewhere(option: str, file: Path, folder: Path) -> None:
    if folder.resolve() in file.resolve().parents:
        raise OptionError(
            f"path: {option}: {file} lies in the folder that a new run of this name renames; "
            "copy it elsewhere, or give the run another name"
        )
