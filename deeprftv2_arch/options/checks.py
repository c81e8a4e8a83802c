"""Checks of an option file against what reads it: no unknown key, none missing, no wrong type, no refused value.

Every check returns a line for each fault, so that all faults of a file are reported at once.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from basicsr.models import lr_scheduler as basicsr_schedulers
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY
from torch import nn

from deeprftv2_arch.common.path_parts import is_path_part
from deeprftv2_arch.errors import OptionError, shown
from deeprftv2_arch.metrics.metric_values import needs_ground_truth
from deeprftv2_arch.options.building import arguments_in, build_network, construct
from deeprftv2_arch.options.cosine_annealing import CosineAnnealingLR
from deeprftv2_arch.options.late_refusals import logger_faults, paired_image_faults, single_image_faults
from deeprftv2_arch.options.model_types import DATA_SET_TYPES, OTHER, model_type_named
from deeprftv2_arch.options.optimisers import OPTIMISERS
from deeprftv2_arch.options.sections import (
    DataSection,
    OptimisationSection,
    OtherDataSection,
    OtherTrainingDataSection,
    Positive,
    RunOptions,
)
from deeprftv2_arch.options.validation import (
    argument_faults,
    below,
    raise_faults,
    section_faults,
    suggestion,
    type_faults,
)

SCHEDULERS: dict[str, Callable[..., Any]] = {
    "CosineAnnealingLR": CosineAnnealingLR,
    "CosineAnnealingRestartLR": basicsr_schedulers.CosineAnnealingRestartLR,
    "MultiStepLR": basicsr_schedulers.MultiStepRestartLR,
    "MultiStepRestartLR": basicsr_schedulers.MultiStepRestartLR,
}


def check_options(
    content: Mapping[str, Any], file: str, is_train: bool, evaluates: bool = False
) -> tuple[RunOptions, dict[str, DataSection]]:
    """Check the content of an option file, and return it as values.

    Of sections that this project does not know (another ``model_type`` or data set of BasicSR's), what the loops read
    is checked and the rest left to their owners; networks and metrics are checked whoever owns them.

    Args:
        content: What :func:`~deeprftv2_arch.options.option_file.read_option_file` returned.
        file: The file's name, for the messages.
        is_train: Whether it is for training or for testing.
        evaluates: Whether it is for an evaluation, for which a file for testing may lack what is about saved images.

    Returns:
        The options, and the sections of the data sets by their names.

    Raises:
        OptionError: Has a line for every fault, each with the file, the section and the key, and what is expected.
    """
    options = model_type_named(content.get("model_type")).options(is_train, evaluates)
    faults = [
        *section_faults(options, content, file),
        *name_faults(content.get("name"), f"{file}: name"),
        *name_faults(_mapping(content.get("val")).get("suffix") or None, f"{file}: val: suffix"),
        *model_faults(content.get("model_type"), f"{file}: model_type"),
        *data_faults(content.get("datasets"), content.get("model_type"), f"{file}: datasets", is_train),
    ]
    refused: dict[str, list[str]] = {}
    for section in ("network_g", "network_flow"):
        if section in content:
            refused[section] = list(registered_faults(content[section], ARCH_REGISTRY, f"{file}: {section}"))
            faults += refused[section]
    for name, metric in _mapping(_mapping(content.get("val")).get("metrics")).items():
        faults += registered_faults(
            metric, METRIC_REGISTRY, below(f"{file}: val: metrics", name), ("img", "img2"), ("better",)
        )
    faults += _late_faults(content, file, is_train)
    train = options.model_fields.get("train")
    if train and inspect.isclass(train.annotation) and issubclass(train.annotation, OptimisationSection):
        faults += recipe_faults(_mapping(content.get("train")), f"{file}: train")
    if not is_train:
        faults += published_faults(content.get("published"), f"{file}: published")
    if faults and refused.get("network_g") == []:  # else it is built soon
        try:
            build_network(content["network_g"], f"{file}: network_g", "meta")
        except OptionError as error:
            faults.append(str(error))
    raise_faults(list(dict.fromkeys(faults)))
    sections = {phase: _data_section(phase, section) for phase, section in content["datasets"].items()}
    data = {phase: section.model_validate(content["datasets"][phase]) for phase, section in sections.items()}
    return options.model_validate(content), data


def _late_faults(content: Mapping[str, Any], file: str, is_train: bool) -> Iterator[str]:
    """Find what BasicSR would refuse only after it has renamed the folder of an earlier run."""
    for phase, section in _mapping(content.get("datasets")).items():
        if isinstance(section, Mapping) and section.get("type") == "PairedImageDataset":
            yield from paired_image_faults(section, str(phase), below(f"{file}: datasets", phase))
    metrics = _mapping(_mapping(content.get("val")).get("metrics"))
    of_basicsr = model_type_named(content.get("model_type")) is OTHER
    if of_basicsr:
        with_truth = [str(name) for name, metric in metrics.items() if _compares(metric)]
        yield from single_image_faults(content, with_truth, not is_train, f"{file}: datasets")
    if not is_train:
        return
    yield from logger_faults(content, f"{file}: logger")
    if content.get("model_type") == "SRModel":
        yield from _loss_faults_of_basicsr(_mapping(content.get("train")), f"{file}: train")


def _compares(metric: object) -> bool:
    kind = _mapping(metric).get("type")
    return kind in METRIC_REGISTRY and needs_ground_truth(_mapping(metric))


def _loss_faults_of_basicsr(train: Mapping[str, Any], where: str) -> Iterator[str]:
    losses = {key: train[key] for key in ("pixel_opt", "perceptual_opt") if train.get(key)}
    if not losses:
        yield f"{where}: pixel_opt: missing, and perceptual_opt too; SRModel needs one of these losses"
    for key, loss in losses.items():
        found = list(registered_faults(loss, LOSS_REGISTRY, f"{where}: {key}"))
        yield from found or _refusals(LOSS_REGISTRY.get(loss["type"]), loss, f"{where}: {key}")


def name_faults(name: object, where: str) -> Iterator[str]:
    """Check what becomes the name of a folder, or a part of a file's: it must not lead elsewhere."""
    if isinstance(name, str) and not is_path_part(name):
        yield f"{where}: expected the name of a folder, without a path, not {shown(name)}"


def model_faults(name: object, where: str) -> Iterator[str]:
    """Check that a ``model_type`` is registered."""
    if isinstance(name, str):
        for fault in _name_faults(name, MODEL_REGISTRY, where):
            yield f"{fault} (what depends on it was not checked)"


def data_faults(data: object, model: object, where: str, is_train: bool) -> Iterator[str]:
    """Check the entries of ``datasets``; the phase of each is the part of its name before the first underscore."""
    if not isinstance(data, Mapping):
        return
    pattern, names = ("train|val(_.*)?", "train, val") if is_train else ("(test|val)(_.*)?", "test, val")
    takes = model_type_named(model).data
    for phase, section in data.items():
        place = below(where, phase)
        if not isinstance(phase, str) or not re.fullmatch(pattern, phase):
            yield f"{place}: data sets are called {names} or val_<anything> here"
        elif isinstance(section, Mapping):
            yield from name_faults(section.get("name"), f"{place}: name")
            kind = section.get("type")
            unknown = list(_name_faults(kind, DATASET_REGISTRY, f"{place}: type"))
            if unknown:
                yield from (f"{fault} (the rest of this section was not checked)" for fault in unknown)
                continue
            yield from section_faults(_data_section(phase, section), section, place)
            if takes is not None and kind in DATA_SET_TYPES and kind not in takes:
                yield f"{place}: type: {model} takes {' or '.join(takes)}, not {kind}"
    measured = [_mapping(section).get("name") for phase, section in data.items() if phase != "train"]
    for name in dict.fromkeys(name for name in measured if isinstance(name, str) and measured.count(name) > 1):
        yield f"{where}: two are called {shown(name)}; results are kept by name, so rename one"
    if is_train and "train" not in data:
        yield f"{where}: train: missing; training needs a training set"


def _data_section(phase: str, section: Mapping[str, Any]) -> type[DataSection]:
    """Return what the section of a data set holds."""
    known = DATA_SET_TYPES.get(section["type"])
    if known is None:
        return OtherTrainingDataSection if phase == "train" else OtherDataSection
    return known.training if phase == "train" else known.held_out


def published_faults(published: object, where: str) -> Iterator[str]:
    """Check the published metrics that the report of a test shows: {name, <test set>: {<metric>: value}}.

    Those of sets and metrics that this file does not test may stay in it. Those of a part of a set, such as the indoor
    images, follow as ``<test set> <part>``.
    """
    if not isinstance(published, Mapping):
        return
    if "name" not in published:
        yield f"{where}: name: missing; say whose figures these are"
    elif not isinstance(published["name"], str):
        yield f"{where}: name: expected text, not {shown(published['name'])}"
    for data_set, values in published.items():
        if data_set != "name":
            yield from type_faults(values, Mapping[str, float], below(where, data_set))


def recipe_faults(train: Mapping[str, Any], where: str) -> Iterator[str]:
    """Check the losses, the optimiser and the schedule of ``train``."""
    yield from _loss_faults(train, where)
    yield from _optimisation_faults(train, where)


def _loss_faults(train: Mapping[str, Any], where: str) -> Iterator[str]:
    if train.get("losses") == {}:
        yield f"{where}: losses: empty; name at least one loss"
    for key in ("losses", "kernel_losses", "reblur_losses"):
        for name, loss in _mapping(train.get(key)).items():
            place = below(f"{where}: {key}", name)
            yield from term_name_faults(name, place)
            found = list(registered_faults(loss, LOSS_REGISTRY, place))
            if isinstance(loss, Mapping):
                yield from found or _refusals(LOSS_REGISTRY.get(loss["type"]), loss, place)


def _optimisation_faults(train: Mapping[str, Any], where: str) -> Iterator[str]:
    """Check the optimiser, and only where it can be built the schedule, which is built on it."""
    built: Any = [nn.Parameter(torch.zeros(1))]
    for key, choices, supplied in (("optim_g", OPTIMISERS, "params"), ("scheduler", SCHEDULERS, "optimizer")):
        section, place = train.get(key), f"{where}: {key}"
        if not isinstance(section, Mapping):
            return
        found = list(registered_faults(section, choices, place, (supplied,)))
        if key == "optim_g" and "lr" not in section:
            found.append(f"{place}: lr: missing")
        if "T_max" in section:
            found += type_faults(section["T_max"], Positive, f"{place}: T_max")
        if found:
            yield from found
            return
        try:
            built = construct(choices[section["type"]], section, place, built)
        except OptionError as error:
            yield str(error)
            return


def term_name_faults(name: object, where: str) -> Iterator[str]:
    """Check the name of a loss: it becomes part of names in the log, and the name of a submodule."""
    problem = None if isinstance(name, str) and name.isidentifier() else "expected letters, digits and underscores"
    if problem is None:
        try:
            nn.ModuleDict({str(name): nn.Identity()})
        except KeyError:
            problem = "PyTorch needs this name itself"
    if problem:
        yield f"{where}: {problem}; give this loss another name, such as 'l1'"


def registered_faults(
    section: object, registry: Any, where: str, supplied: Collection[str] = (), extra: Collection[str] = ()
) -> Iterator[str]:
    """Check a section with a ``type`` against the signature of the class or function registered under that name.

    Args:
        section: The section.
        registry: One of BasicSR's registries, or a dictionary.
        where: File and section, for the messages.
        supplied: Arguments that the program gives.
        extra: Keys that are read by somebody else.
    """
    if not isinstance(section, Mapping):
        yield from type_faults(section, Mapping, where)
        return
    unknown = list(_name_faults(section.get("type"), registry, f"{where}: type"))
    if unknown:
        yield from unknown
        return
    values = {key: value for key, value in arguments_in(section).items() if key not in extra}
    # BasicSR's metrics take **kwargs for the sake of the keys in `extra`; with these aside it only hides misspellings.
    open_ended = False if extra else None
    yield from argument_faults(values, registry.get(section["type"]), where, supplied, open_ended)


def _name_faults(name: object, known: Any, where: str) -> Iterator[str]:
    if name is None:
        yield f"{where}: missing; choose one of {', '.join(sorted(known.keys()))}"
    elif not isinstance(name, str):
        yield f"{where}: expected text, not {shown(name)}"
    elif name not in known and f"{name}_basicsr" not in known:
        yield f"{where}: nothing is called {shown(name)}{suggestion(name, known.keys())}"


def _refusals(target: Callable[..., Any], section: Mapping[str, Any], where: str) -> Iterator[str]:
    """Build what a section describes, to see whether its constructor refuses an argument."""
    try:
        construct(target, section, where)
    except OptionError as error:
        yield str(error)


def _mapping(value: Any) -> Mapping[Any, Any]:
    """Return a section, or none where there is none or something else."""
    return value if isinstance(value, Mapping) else {}
