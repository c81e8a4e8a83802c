"""Checks of an option file against what reads it: no unknown key, none missing, no wrong type, no refused value."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from basicsr.models import lr_scheduler as basicsr_schedulers
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY
from torch import nn, optim

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.models.cosine_annealing import CosineAnnealingLR
from deeprftv2_arch.options.bounds import NotNegative, Positive
from deeprftv2_arch.options.schema import (
    CommonSections,
    DataSection,
    DeblurTrainingOptions,
    EvaluationDataSection,
    EvaluationOptions,
    KernelDataSection,
    KernelEstimationTestingOptions,
    KernelEstimationTrainingOptions,
    KernelFlowTestingOptions,
    KernelFlowTrainingOptions,
    KernelTrainingDataSection,
    LoggerSection,
    LoopSection,
    SyntheticBlurDataSection,
    SyntheticBlurTrainingDataSection,
    TestingOptions,
    TrainingDataSection,
    TrainingOptions,
    TrainingValidationSection,
    UFPNetTrainingOptions,
    ValidationSection,
)
from deeprftv2_arch.options.signatures import check_arguments, check_value, suggestion

OPTIMISERS: dict[str, Callable[..., Any]] = {"Adam": optim.Adam, "AdamW": optim.AdamW}
SCHEDULERS: dict[str, Callable[..., Any]] = {
    "CosineAnnealingLR": CosineAnnealingLR,
    "CosineAnnealingRestartLR": basicsr_schedulers.CosineAnnealingRestartLR,
    "MultiStepLR": basicsr_schedulers.MultiStepRestartLR,
    "MultiStepRestartLR": basicsr_schedulers.MultiStepRestartLR,
}
# The types of this project, whose sections are checked to the last key.
TRAINING_OPTIONS: dict[str, Callable[..., Any]] = {
    "DeblurModel": DeblurTrainingOptions,
    "KernelEstimationModel": KernelEstimationTrainingOptions,
    "KernelFlowModel": KernelFlowTrainingOptions,
    "SuperResolutionModel": TrainingOptions,
    "UFPNetModel": UFPNetTrainingOptions,
}
TESTING_OPTIONS: dict[str, Callable[..., Any]] = {
    "KernelEstimationModel": KernelEstimationTestingOptions,
    "KernelFlowModel": KernelFlowTestingOptions,
}
BLURRED_AND_SHARP = ("DeblurPairDataset", "SyntheticBlurDataset")
DATASETS = {
    "DeblurModel": BLURRED_AND_SHARP,
    "KernelEstimationModel": BLURRED_AND_SHARP,
    "KernelFlowModel": ("MotionKernelDataset",),
    "SuperResolutionModel": ("SuperResolutionPairDataset",),
    "UFPNetModel": BLURRED_AND_SHARP,
}
# What training and held-out data sets of each type may hold.
DATA_SECTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "DeblurPairDataset": (TrainingDataSection, EvaluationDataSection),
    "MotionKernelDataset": (KernelTrainingDataSection, KernelDataSection),
    "SuperResolutionPairDataset": (TrainingDataSection, EvaluationDataSection),
    "SyntheticBlurDataset": (SyntheticBlurTrainingDataSection, SyntheticBlurDataSection),
}


def check_options(opt: Mapping[str, Any], file: str, is_train: bool, evaluates: bool = False) -> None:
    """Check a whole option file.

    Of sections that this project does not know (another ``model_type`` or data set of BasicSR's), what the loops read
    is checked and the rest left to their owners; networks and metrics are checked whoever owns them.

    Args:
        opt: The file's content.
        file: The file's name, for the messages.
        is_train: Whether it is for training or for testing.
        evaluates: Whether it is for an evaluation, for which a file for testing may lack what is about saved images.

    Raises:
        OptionError: Names the file, the section and the key, and says what is expected.
    """
    training_options = TRAINING_OPTIONS.get(str(opt.get("model_type")))
    if training_options:
        measuring_options = EvaluationOptions if evaluates else TESTING_OPTIONS.get(opt["model_type"], TestingOptions)
        check_arguments(opt, training_options if is_train else measuring_options, file)
    else:
        check_other_model(opt, file, is_train, evaluates)
    check_name(opt["name"], f"{file}: name")
    for section in ("path", "network_g", "datasets"):
        check_value(opt.get(section), Mapping, f"{file}: {section}")
    for section in ("network_g", "network_flow"):
        if section in opt:
            check_registered(opt[section], ARCH_REGISTRY, f"{file}: {section}")
    for phase, section in opt["datasets"].items():
        check_dataset(phase, section, f"{file}: datasets: {phase}", is_train)
        check_suits(section["type"], opt["model_type"], f"{file}: datasets: {phase}: type")
    measured = [section["name"] for phase, section in opt["datasets"].items() if phase != "train"]
    for name in measured:
        if measured.count(name) > 1:
            raise OptionError(f"{file}: datasets: two are called {name!r}; results are kept by name, so rename one")
    if is_train and "train" not in opt["datasets"]:
        raise OptionError(f"{file}: datasets: train: missing; training needs a training set")
    for name, metric in ((opt.get("val") or {}).get("metrics") or {}).items():
        check_registered(metric, METRIC_REGISTRY, f"{file}: val: metrics: {name}", ("img", "img2"), ("better",))
    if opt["model_type"] == "SuperResolutionModel":
        check_scale(opt, file)
    if is_train and training_options:
        check_recipe(opt["train"], f"{file}: train")
    if not is_train and training_options and opt.get("published") is not None:
        check_published(opt["published"], f"{file}: published")


def check_other_model(opt: Mapping[str, Any], file: str, is_train: bool, evaluates: bool) -> None:
    """Check what BasicSR's loops read of an option file with another ``model_type``; the model has further keys."""
    check_registered_name(opt.get("model_type"), MODEL_REGISTRY, f"{file}: model_type")
    check_arguments(opt, CommonSections, file, open_ended=True)
    sections: dict[str, Callable[..., Any]] = {} if evaluates else {"val": ValidationSection}
    if is_train:
        sections = {"train": LoopSection, "logger": LoggerSection}
        if opt.get("val") is not None:
            sections["val"] = TrainingValidationSection
    for name, section in sections.items():
        check_arguments(opt.get(name), section, f"{file}: {name}", open_ended=True)


def check_name(name: str, where: str) -> None:
    """Check the name of a run: it becomes a folder, and BasicSR renames what is there already."""
    if not name.strip() or name in (".", "..") or re.search(r"[/\\\0]", name):
        raise OptionError(f"{where}: expected the name of a folder, without a path, not {name!r}")


def check_dataset(phase: str, section: Mapping[str, Any], where: str, is_train: bool) -> None:
    """Check one entry of ``datasets``; its phase is the part of its name before the first underscore."""
    pattern, names = ("train|val(_.*)?", "train, val") if is_train else ("(test|val)(_.*)?", "test, val")
    if not re.fullmatch(pattern, phase):
        raise OptionError(f"{where}: data sets are called {names} or val_<anything> here")
    check_value(section, Mapping, where)
    check_registered_name(section.get("type"), DATASET_REGISTRY, f"{where}: type")
    if section["type"] in DATA_SECTIONS:
        training, held_out = DATA_SECTIONS[section["type"]]
        check_arguments(section, training if phase == "train" else held_out, where)
        return
    check_arguments(section, DataSection, where, open_ended=True)
    if phase == "train":
        check_value(section.get("num_worker_per_gpu"), NotNegative, f"{where}: num_worker_per_gpu")


def check_suits(data_set: str, model: str, where: str) -> None:
    """Check that model and data set, if both are this project's, are for the same task."""
    if model in DATASETS and data_set in DATA_SECTIONS and data_set not in DATASETS[model]:
        raise OptionError(f"{where}: {model} takes {' or '.join(DATASETS[model])}, not {data_set}")


def check_scale(opt: Mapping[str, Any], file: str) -> None:
    """Check that a super-resolution network enlarges by the ``scale`` of the data."""
    network = opt["network_g"]
    argument = inspect.signature(ARCH_REGISTRY.get(network["type"])).parameters.get("upscale")
    upscale = network.get("upscale", argument and argument.default)
    scale = opt.get("scale", 1)
    if upscale is not None and upscale != scale:
        raise OptionError(
            f"{file}: scale: {scale}, but network_g: upscale: {upscale}; the network must enlarge by the scale of the "
            "data"
        )


def check_published(published: Mapping[str, Any], where: str) -> None:
    """Check the published figures that the report of a test shows: {name, <test set>: {<metric>: figure}}.

    Those of sets and metrics that this file does not test may stay in it. Those of a part of a set, such as the indoor
    images, follow as ``<test set> <part>``.
    """
    if "name" not in published:
        raise OptionError(f"{where}: name: missing; say whose figures these are")
    check_value(published["name"], str, f"{where}: name")
    for data_set, figures in published.items():
        if data_set != "name":
            check_value(figures, Mapping[str, float], f"{where}: {data_set}")


def check_recipe(train: Mapping[str, Any], where: str) -> None:
    """Check the losses, the optimiser and the schedule of ``train``."""
    if "losses" in train and not train["losses"]:
        raise OptionError(f"{where}: losses: empty; name at least one loss")
    check_losses(train.get("losses") or {}, f"{where}: losses")
    check_losses(train.get("reblur_losses") or {}, f"{where}: reblur_losses")
    if "lr" not in train["optim_g"]:
        raise OptionError(f"{where}: optim_g: lr: missing")
    built: Any = [nn.Parameter(torch.zeros(1))]
    for key, choices, supplied in (("optim_g", OPTIMISERS, "params"), ("scheduler", SCHEDULERS, "optimizer")):
        section = train[key]
        check_registered_name(section.get("type"), choices, f"{where}: {key}: type")
        check_arguments(_without_type(section), choices[section["type"]], f"{where}: {key}", (supplied,))
        if "T_max" in section:
            check_value(section["T_max"], Positive, f"{where}: {key}: T_max")
        built = _construct(choices[section["type"]], section, f"{where}: {key}", built)


def check_losses(losses: Mapping[str, Any], where: str) -> None:
    """Check losses by name."""
    for name, loss in losses.items():
        check_term_name(name, f"{where}: {name}")
        check_registered(loss, LOSS_REGISTRY, f"{where}: {name}")
        _construct(LOSS_REGISTRY.get(loss["type"]), loss, f"{where}: {name}")


def check_term_name(name: Any, where: str) -> None:
    """Check the name of a loss: it becomes part of names in the log, and the name of a submodule."""
    problem = None if isinstance(name, str) and name.isidentifier() else "expected letters, digits and underscores"
    if problem is None:
        try:
            nn.ModuleDict({name: nn.Identity()})
        except KeyError:
            problem = "PyTorch needs this name itself"
    if problem:
        raise OptionError(f"{where}: {problem}; give this loss another name, such as 'l1'")


def check_registered(
    section: Mapping[str, Any],
    registry: Any,
    where: str,
    supplied: Collection[str] = (),
    extra: Collection[str] = (),
) -> None:
    """Check a section with a ``type`` against the signature of the class or function registered under that name.

    Args:
        section: The section.
        registry: One of BasicSR's registries.
        where: File and section, for the messages.
        supplied: Arguments that the program gives.
        extra: Keys that are read by somebody else.
    """
    check_value(section, Mapping, where)
    name = check_registered_name(section.get("type"), registry, f"{where}: type")
    values = {key: value for key, value in _without_type(section).items() if key not in extra}
    # BasicSR's metrics take **kwargs for the sake of the keys in `extra`; with these aside it only hides misspellings.
    check_arguments(values, registry.get(name), where, supplied, open_ended=False if extra else None)


def check_registered_name(name: Any, known: Any, where: str) -> str:
    """Return a name that ``known`` (a registry or a dictionary) holds, as it is written there."""
    if name is None:
        raise OptionError(f"{where}: missing; choose one of {', '.join(sorted(known.keys()))}")
    for candidate in (name, f"{name}_basicsr"):
        if candidate in known:
            return candidate
    raise OptionError(f"{where}: nothing is called {name!r}{suggestion(str(name), known.keys())}")


def _construct(target: Callable[..., Any], section: Mapping[str, Any], where: str, *supplied: Any) -> Any:
    """Build what a section with a ``type`` describes, and pass on in one line what its constructor refuses."""
    try:
        return target(*supplied, **_without_type(section))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise OptionError(f"{where}: {' '.join(str(error).split())}") from error


def _without_type(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "type"}
