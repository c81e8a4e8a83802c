"""From an option file to the options that BasicSR's loops work with."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from basicsr.utils.options import ordered_yaml

from deeprftv2_arch.checkpoints.io import load_params, require_fit
from deeprftv2_arch.data.patches import height_and_width
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.weightless import network_without_memory
from deeprftv2_arch.ops.scan.backends import choose_backend, set_backend_of_options
from deeprftv2_arch.options.checks import check_options
from deeprftv2_arch.options.kernel_checks import check_kernels, check_stage_files

Options = dict[str, Any]

DEBUG_INTERVAL = 8


def load_options(arguments: Arguments, root: Path, is_train: bool, evaluates: bool = False) -> Options:
    """Read, change, check and complete the options of a run; nothing is written and no process group is needed.

    Args:
        arguments: The command line.
        root: Folder that gets ``experiments/`` or ``results/``.
        is_train: Whether the options are for training or for testing.
        evaluates: Whether they are for an evaluation, for which fewer need be there than for testing.

    Returns:
        The options as BasicSR's own parser completes them, except for what depends on the processes.

    Raises:
        OptionError: The file is missing or no option file, a key is unknown or missing, a value is of a wrong type or
            refused by the network, or a file that it names is not there.
    """
    opt = read_option_file(arguments.opt)
    change_options(opt, arguments.force_yml)
    check_options(opt, str(arguments.opt), is_train, evaluates)
    opt["auto_resume"] = arguments.auto_resume
    opt["is_train"] = is_train
    if arguments.debug:
        _set_debug(opt)
    opt["manual_seed"] = opt.get("manual_seed") or 0  # a run that is to be repeated exactly cannot draw its seed
    _complete_datasets(opt)
    _complete_paths(opt, root)
    _check_files(opt, arguments.opt)
    _check_prefetching(opt, arguments.opt)
    _check_network(opt, arguments.opt, evaluates)
    _check_scan_backend(opt)
    return opt


def read_option_file(path: Path) -> Options:
    """Read an option file as BasicSR does.

    Raises:
        OptionError: The file is missing, no YAML, or holds something else than keys with values.
    """
    try:
        with path.open(encoding="utf-8") as file:
            opt = yaml.load(file, Loader=ordered_yaml()[0])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise OptionError(f"{path}: cannot read the option file: {reason}; check the path") from error
    except yaml.YAMLError as error:
        raise OptionError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(opt, Mapping):
        raise OptionError(f"{path}: not an option file: expected keys with values, such as 'name: ...'")
    return dict(opt)


def change_options(opt: Options, changes: Iterable[str]) -> None:
    """Apply changes of the form ``section:key=value``, values being YAML.

    Raises:
        OptionError: A change has another form or names a section that is not there.
    """
    for change in changes:
        keys, equals, value = change.partition("=")
        *sections, last = (key.strip() for key in keys.split(":"))
        target: Any = opt
        for section in sections:
            target = target.get(section) if isinstance(target, Mapping) else None
        if not equals or not isinstance(target, dict):
            raise OptionError(f"--force_yml {change}: expected section:key=value, with a section of the option file")
        try:
            target[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise OptionError(f"--force_yml {change}: the value is not valid YAML") from error


def _set_debug(opt: Options) -> None:
    if not opt["name"].startswith("debug"):
        opt["name"] = f"debug_{opt['name']}"
    if opt["is_train"]:
        opt["logger"] |= {"print_freq": 1, "save_checkpoint_freq": DEBUG_INTERVAL}
        if opt.get("val"):
            opt["val"]["val_freq"] = DEBUG_INTERVAL


def _complete_datasets(opt: Options) -> None:
    for name, dataset in opt["datasets"].items():
        dataset["phase"] = name.split("_")[0]
        if "scale" in opt:
            dataset["scale"] = opt["scale"]
        for key in ("dataroot_gt", "dataroot_lq"):
            if dataset.get(key) is not None:
                dataset[key] = os.path.expanduser(dataset[key])


def _complete_paths(opt: Options, root: Path) -> None:
    paths = opt["path"]
    for key, value in paths.items():
        if value is not None and ("resume_state" in key or "pretrain_network" in key):
            paths[key] = os.path.expanduser(value)
    opt["root_path"] = str(root)
    if opt["is_train"]:
        experiment = root / "experiments" / opt["name"]
        paths["experiments_root"] = paths["log"] = str(experiment)
        for key in ("models", "training_states", "visualization"):
            paths[key] = str(experiment / key)
    else:
        results = root / "results" / opt["name"]
        paths["results_root"] = paths["log"] = str(results)
        paths["visualization"] = str(results / "visualization")


def _check_files(opt: Options, file: Path) -> None:
    """Refuse what would only fail after BasicSR has renamed the folder of an earlier run of the same name."""
    paths = opt["path"]
    if paths.get("resume_state") is not None and not Path(paths["resume_state"]).is_file():
        raise OptionError(f"{file}: path: resume_state: there is no file {paths['resume_state']}")
    if Path(paths["log"]).resolve() in file.resolve().parents:
        raise OptionError(
            f"{file}: lies in the folder that this run writes ({paths['log']}); start from a copy elsewhere"
        )


def _check_prefetching(opt: Options, file: Path) -> None:
    """Refuse what BasicSR's loop would only refuse after it has made or renamed folders."""
    section = opt["datasets"].get("train", {})
    if section.get("prefetch_mode") != "cuda":
        return
    where = f"{file}: datasets: train"
    if opt["num_gpu"] == 0 or not torch.cuda.is_available():
        raise OptionError(f"{where}: prefetch_mode: cuda needs a GPU, and this run is on the CPU; set null or cpu")
    if section.get("pin_memory") is not True:
        raise OptionError(f"{where}: pin_memory: prefetch_mode cuda needs true here")


def _check_network(opt: Options, file: Path, evaluates: bool) -> None:
    """Let the network's constructor judge its arguments, and see that it gets weights; one without has evaluations."""
    try:
        network = network_without_memory(opt["network_g"])
    except OptionError as error:
        raise OptionError(f"{file}: network_g: {error}") from error
    if not opt["is_train"] and opt["path"].get("pretrain_network_g") is None:
        where = f"{file}: path: pretrain_network_g"
        if network.state_dict():
            raise OptionError(f"{where}: missing; testing needs the weights of a trained network")
        if not evaluates:
            raise OptionError(
                f"{where}: missing; a network without weights is measured by python -m deeprftv2_arch evaluate"
            )
    check_kernels(opt, network, str(file))
    multiple = getattr(network, "size_multiple", 1)
    for number, stage in enumerate(opt["datasets"].get("train", {}).get("patch_stages", ()), 1):
        if any(side % multiple for side in height_and_width(stage["patch_size"])):
            raise OptionError(
                f"{file}: datasets: train: patch_stages: item {number}: patch_size: {stage['patch_size']} is no "
                f"multiple of {multiple}, which this network trains on"
            )


def _check_scan_backend(opt: Options) -> None:
    """Refuse a scan backend that was chosen by name, here or in the environment, and cannot serve on this machine."""
    set_backend_of_options(opt.get("scan_backend", "auto"))
    choose_backend("cuda" if opt["num_gpu"] != 0 and torch.cuda.is_available() else "cpu")


def check_first_weights(opt: Options) -> None:
    """Refuse weights to start from that cannot be read or do not fit; to be called where no state is resumed.

    Raises:
        OptionError: The file lies in the folder that this run is about to rename.
        CheckpointError: The file is missing, torn, unsafe to read, or belongs to another network.
    """
    paths = opt["path"]
    for option in paths:
        if option.startswith("pretrain_network_") and paths[option] is not None:
            _check_elsewhere(option, Path(paths[option]), Path(paths["log"]))
    network = network_without_memory(opt["network_g"])
    check_stage_files(opt, network)
    if paths.get("pretrain_network_g") is None:
        return
    file = Path(paths["pretrain_network_g"])
    weights = load_params(file, paths.get("param_key_g", "params"))
    if paths.get("strict_load_g", True):
        require_fit(network.state_dict(), weights, file)


def _check_elsewhere(option: str, file: Path, folder: Path) -> None:
    if folder.resolve() in file.resolve().parents:
        raise OptionError(
            f"path: {option}: {file} lies in the folder that a new run of this name renames; "
            "copy it elsewhere, or give the run another name"
        )
