"""What depends on ``model_type``, in one place: a :class:`ModelType` for each, and how to add one of your own.

A ``model_type`` without an entry here, such as BasicSR's own, works too: what the loops read of its option file is
checked, and the rest is left to the model.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from deeprftv2_arch.checkpoints.stages import stages_of
from deeprftv2_arch.common.images import ByteImage
from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.data.patches import height_and_width
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator
from deeprftv2_arch.options import sections
from deeprftv2_arch.options.building import build_network

Data = Mapping[str, sections.DataSection]
# From the options, the data sets and the network (without weights): a line for every fault, without the file's name.
Check = Callable[[Any, Data, nn.Module], Iterable[str]]


@dataclass(frozen=True)
class DataSetType:
    """A ``type`` of data sets whose sections are known to the last key.

    Attributes:
        training: What the section of a training set holds.
        held_out: What that of another set holds.
        items: What it has, for the log.
    """

    training: type[sections.DataSection]
    held_out: type[sections.DataSection]
    items: Literal["pairs", "kernels"] = "pairs"


@dataclass(frozen=True)
class Baseline:
    """What reports of tests show beside the network.

    Attributes:
        title: Of its row.
        image: Makes it from the degraded image, (H, W, 3) uint8, and the size (height, width) of the restored one.
    """

    title: str
    image: Callable[[ByteImage, tuple[int, int]], ByteImage]


def unchanged(image: ByteImage, size: tuple[int, int]) -> ByteImage:
    """Return the degraded image itself."""
    return image


def no_faults(options: sections.RunOptions, data: Data, network: nn.Module) -> Iterable[str]:
    """Find nothing wrong."""
    return ()


def no_stages(options: sections.RunOptions, network: nn.Module) -> Mapping[str, nn.Module]:
    """Take nothing over from earlier stages."""
    return {}


@dataclass(frozen=True)
class ModelType:
    """Everything that depends on a ``model_type``; the class of that name is in BasicSR's MODEL_REGISTRY.

    By default option files may hold further keys, which the model reads.

    Attributes:
        training: What an option file for training holds.
        testing: What one for testing holds.
        evaluation: What one for ``python -m deeprftv2_arch evaluate`` must hold, which may be one for testing.
        data: The types of data sets that it takes; None: any.
        baseline: What reports compare with; None: a test writes no report.
        check: What else must fit; see :data:`Check`.
        stages: From the options and the network (without weights), which parts get the weights of earlier stages, by
            the key of ``path`` that names their file.
    """

    training: type[sections.RunOptions] = sections.OtherTrainingOptions
    testing: type[sections.RunOptions] = sections.OtherTestingOptions
    evaluation: type[sections.RunOptions] = sections.OtherEvaluationOptions
    data: tuple[str, ...] | None = None
    baseline: Baseline | None = None
    check: Check = no_faults
    stages: Callable[[Any, nn.Module], Mapping[str, nn.Module]] = no_stages

    def options(self, is_train: bool, evaluates: bool = False) -> type[sections.RunOptions]:
        """Return what an option file holds for a training, a test or an evaluation."""
        return self.training if is_train else self.evaluation if evaluates else self.testing


def register_model_type(name: str, model_type: ModelType) -> None:
    """Say what depends on a ``model_type`` of your own; call it where your plugin is imported.

    Args:
        name: The ``model_type``, under which the class of the model is in BasicSR's MODEL_REGISTRY.
        model_type: What depends on it.

    Raises:
        ValueError: The name has an entry already.
    """
    if name in MODEL_TYPES:
        raise ValueError(f"model_type {name} is registered already")
    MODEL_TYPES[name] = model_type


def model_type_named(name: object) -> ModelType:
    """Return what depends on a ``model_type``, be it registered or another project's."""
    return MODEL_TYPES.get(str(name), OTHER)


def check_scale(options: sections.RunOptions, data: Data, network: nn.Module) -> Iterator[str]:
    """Check that a super-resolution network enlarges by the ``scale`` of the data."""
    argument = inspect.signature(type(network)).parameters.get("upscale")
    upscale = options.network_g.get("upscale", argument and argument.default)
    if upscale is not None and upscale != options.scale:
        yield (
            f"scale: {options.scale}, but network_g: upscale: {upscale}; the network must enlarge by the scale of the "
            "data"
        )


def check_flow(options: sections.RunOptions, data: Data, network: nn.Module) -> Iterator[str]:
    """Check that a flow is trained on kernels of its size, and of one that the next stage takes."""
    if not isinstance(network, KernelFlow):
        yield _other_kind("network_g", network, KernelFlow)
        return
    for phase, section in data.items():
        if isinstance(section, sections.HeldOutKernelsSection) and section.kernel_size != network.kernel_size:
            yield (
                f"datasets: {phase}: kernel_size: {section.kernel_size}, but network_g: kernel_size: "
                f"{network.kernel_size}; they must be the same"
            )
    yield from _faults_of_size(network.kernel_size, data)


def check_kernel_estimation(
    options: sections.KernelEstimationTrainingOptions, data: Data, network: nn.Module
) -> Iterator[str]:
    """Check that an estimator and the flow that decodes its codes are there, and of one size of kernels."""
    flow = build_network(options.network_flow, "network_flow", "meta")
    if not isinstance(flow, KernelFlow):
        yield _other_kind("network_flow", flow, KernelFlow)
    elif not isinstance(network, UncertainKernelEstimator):
        yield _other_kind("network_g", network, UncertainKernelEstimator)
    elif flow.kernel_size != network.kernel_size:
        yield (
            f"network_flow: kernel_size: {flow.kernel_size}, but network_g: kernel_size: {network.kernel_size}; they "
            "must be the same, that of the flow's own training"
        )
    else:
        yield from _faults_of_size(network.kernel_size, data)


def check_kernel_guided(options: sections.RunOptions, data: Data, network: nn.Module) -> Iterator[str]:
    """Check that a network is guided by kernels, and that its weights to start from are named once."""
    if not isinstance(network, KernelGuidedNetwork):
        yield _other_kind("network_g", network, KernelGuidedNetwork)
        return
    path = options.path
    if path.pretrain_network_g is not None and isinstance(path, sections.UFPNetPathSection):
        for option in ("pretrain_network_kernel", "pretrain_network_flow"):
            if getattr(path, option) is not None:
                yield (
                    f"path: {option}: pretrain_network_g has these weights too; name either that file or those of the "
                    "stages before"
                )
    yield from _faults_of_size(network.flow.kernel_size, data)


def _faults_of_size(size: int, data: Data) -> Iterator[str]:
    if size % 2 == 0:  # also of a flow alone, before a stage is trained that the next one refuses
        yield f"network_g: kernel_size: expected an odd number, not {size}"
        return
    for place, patch_size in patch_sizes(data):
        if min(height_and_width(patch_size)) < size:
            yield f"{place}: {_listed(patch_size)} is smaller than the kernels of {size}x{size}"


def patch_sizes(data: Data) -> Iterator[tuple[str, int | tuple[int, int]]]:
    """Yield where the option file has a size of training patches, and the size."""
    train = data.get("train")
    if isinstance(train, sections.TrainingPairsSection | sections.TrainingPhotographsSection):
        for number, stage in enumerate(train.patch_stages, 1):
            yield f"datasets: train: patch_stages: item {number}: patch_size", stage.patch_size


def _listed(patch_size: int | tuple[int, int]) -> object:
    """Return a size as option files write it."""
    return patch_size if isinstance(patch_size, int) else list(patch_size)


def _other_kind(section: str, network: nn.Module, kind: type) -> str:
    known = sorted(name for name, found in ARCH_REGISTRY if inspect.isclass(found) and issubclass(found, kind))
    return f"{section}: type: expected {', '.join(known)}, not {type(network).__name__}"


def _stage_of_estimation(
    options: sections.KernelEstimationTrainingOptions, network: nn.Module
) -> Mapping[str, nn.Module]:
    return {"pretrain_network_flow": build_network(options.network_flow, "network_flow", "meta")}


def _stages_of_guidance(options: sections.RunOptions, network: nn.Module) -> Mapping[str, nn.Module]:
    if isinstance(network, KernelGuidedNetwork) and options.path.pretrain_network_g is None:
        return stages_of(network)
    return {}


DATA_SET_TYPES: dict[str, DataSetType] = {
    "DeblurPairDataset": DataSetType(sections.TrainingPairsSection, sections.HeldOutPairsSection),
    "MotionKernelDataset": DataSetType(sections.TrainingKernelsSection, sections.HeldOutKernelsSection, "kernels"),
    "SuperResolutionPairDataset": DataSetType(sections.TrainingPairsSection, sections.HeldOutPairsSection),
    "SyntheticBlurDataset": DataSetType(sections.TrainingPhotographsSection, sections.HeldOutPhotographsSection),
}
BLURRED_AND_SHARP = ("DeblurPairDataset", "SyntheticBlurDataset")

OTHER = ModelType()

MODEL_TYPES: dict[str, ModelType] = {
    "DeblurModel": ModelType(
        training=sections.DeblurTrainingOptions,
        testing=sections.TestingOptions,
        evaluation=sections.EvaluationOptions,
        data=BLURRED_AND_SHARP,
        baseline=Baseline("input", unchanged),
    ),
    "KernelEstimationModel": ModelType(
        training=sections.KernelEstimationTrainingOptions,
        testing=sections.KernelEstimationTestingOptions,
        evaluation=sections.EvaluationOptions,
        data=BLURRED_AND_SHARP,
        baseline=Baseline("sharp image", unchanged),
        check=check_kernel_estimation,
        stages=_stage_of_estimation,
    ),
    "KernelFlowModel": ModelType(
        training=sections.KernelFlowTrainingOptions,
        testing=sections.KernelFlowTestingOptions,
        evaluation=sections.EvaluationOptions,
        data=("MotionKernelDataset",),
        check=check_flow,
    ),
    "SuperResolutionModel": ModelType(
        training=sections.TrainingOptions,
        testing=sections.TestingOptions,
        evaluation=sections.EvaluationOptions,
        data=("SuperResolutionPairDataset",),
        baseline=Baseline("bicubic", imresize),
        check=check_scale,
    ),
    "UFPNetModel": ModelType(
        training=sections.UFPNetTrainingOptions,
        testing=sections.TestingOptions,
        evaluation=sections.EvaluationOptions,
        data=BLURRED_AND_SHARP,
        baseline=Baseline("input", unchanged),
        check=check_kernel_guided,
        stages=_stages_of_guidance,
    ),
}
