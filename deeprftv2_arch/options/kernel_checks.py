"""Checks of option files for UFPNet: whether networks, kernels, patches and the files of earlier stages fit."""

from collections.abc import Mapping
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from deeprftv2_arch.checkpoints.stages import read_stage, stages_of
from deeprftv2_arch.data.patches import height_and_width
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.launch.weightless import network_without_memory
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator
from deeprftv2_arch.options.schema import KernelDataSection


def check_kernels(opt: Mapping[str, Any], network: Any, file: str) -> None:
    """Check what a ``model_type`` that works with kernels needs of its networks, patches and stage files.

    Args:
        opt: The options.
        network: ``network_g``.
        file: The option file, for the messages.

    Raises:
        OptionError: A network is of another kind, kernels differ in size, are of an even size or larger than a patch,
            or the weights to start from are named twice.
    """
    if opt["model_type"] == "KernelFlowModel":
        size = _require_kind(network, KernelFlow, f"{file}: network_g: type").kernel_size
        _check_simulated(opt["datasets"], size, file)
    elif opt["model_type"] == "UFPNetModel":
        _require_kind(network, KernelGuidedNetwork, f"{file}: network_g: type")
        _check_start(opt["path"], file)
        size = network.flow.kernel_size
    elif opt["model_type"] == "KernelEstimationModel":
        flow = _flow_without_memory(opt, file)
        _require_kind(network, UncertainKernelEstimator, f"{file}: network_g: type")
        size = network.kernel_size
        if flow.kernel_size != size:
            raise OptionError(
                f"{file}: network_flow: kernel_size: {flow.kernel_size}, but network_g: kernel_size: {size}; they must "
                "be the same, that of the flow's own training"
            )
    else:
        return
    if size % 2 == 0:  # also of a flow alone, before a stage is trained that the next one refuses
        raise OptionError(f"{file}: network_g: kernel_size: expected an odd number, not {size}")
    for number, stage in enumerate(opt["datasets"].get("train", {}).get("patch_stages", ()), 1):
        if min(height_and_width(stage["patch_size"])) < size:
            raise OptionError(
                f"{file}: datasets: train: patch_stages: item {number}: patch_size: {stage['patch_size']} is smaller "
                f"than the kernels of {size}x{size}"
            )


def check_stage_files(opt: Mapping[str, Any], network: nn.Module) -> None:
    """Refuse files of earlier stages that cannot be read or are others; to be called where no state is resumed.

    Args:
        opt: The options.
        network: ``network_g``.

    Raises:
        OptionError: A file is not named.
        CheckpointError: A file is missing, torn or unsafe to read, of another stage, or of another network.
    """
    networks: dict[str, nn.Module] = {}
    if opt["model_type"] == "KernelEstimationModel":
        networks = {"pretrain_network_flow": network_without_memory(opt["network_flow"])}
    elif isinstance(network, KernelGuidedNetwork) and opt["model_type"] == "UFPNetModel":
        networks = stages_of(network) if opt["path"].get("pretrain_network_g") is None else {}
    for option, part in networks.items():
        read_stage(option, part, opt["path"])


def _flow_without_memory(opt: Mapping[str, Any], file: str) -> KernelFlow:
    try:
        flow = network_without_memory(opt["network_flow"])
    except OptionError as error:
        raise OptionError(f"{file}: network_flow: {error}") from error
    return _require_kind(flow, KernelFlow, f"{file}: network_flow: type")


def _check_simulated(datasets: Mapping[str, Mapping[str, Any]], size: int, file: str) -> None:
    for phase, section in datasets.items():
        simulated = section.get("kernel_size", KernelDataSection.kernel_size)
        if simulated != size:
            raise OptionError(
                f"{file}: datasets: {phase}: kernel_size: {simulated}, but network_g: kernel_size: {size}; they must "
                "be the same"
            )


def _check_start(paths: Mapping[str, Any], file: str) -> None:
    if paths.get("pretrain_network_g") is None:
        return
    for option in ("pretrain_network_kernel", "pretrain_network_flow"):
        if paths.get(option) is not None:
            raise OptionError(
                f"{file}: path: {option}: pretrain_network_g has these weights too; name either that file or those of "
                "the stages before"
            )


def _require_kind(network: nn.Module, kind: type, where: str) -> Any:
    """Return a network if it is of a kind."""
    if isinstance(network, kind):
        return network
    known = ", ".join(sorted(name for name, candidate in ARCH_REGISTRY if _is_kind(candidate, kind)))
    raise OptionError(f"{where}: expected {known}, not {type(network).__name__}")


def _is_kind(candidate: Any, kind: type) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, kind)
