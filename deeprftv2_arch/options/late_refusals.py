"""What BasicSR would refuse only after it has renamed the folder of an earlier run: refused with the option file."""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from inspect import signature
from typing import Any


def logger_faults(content: Mapping[str, Any], where: str) -> Iterator[str]:
    """Check that TensorBoard and Weights & Biases can be written to, where they are asked for."""
    section = content.get("logger")
    if not isinstance(section, Mapping) or "debug" in str(content.get("name")):
        return
    writes_tensorboard = section.get("use_tb_logger") is True
    if writes_tensorboard and find_spec("tensorboard") is None:
        yield f"{where}: use_tb_logger: true needs the package tensorboard; pip install tensorboard, or set false"
    wandb = section.get("wandb")
    if not isinstance(wandb, Mapping) or wandb.get("project") is None:
        return
    if not writes_tensorboard:
        yield f"{where}: wandb: it is sent what TensorBoard gets; set use_tb_logger: true, or project: ~"
    if find_spec("wandb") is None:
        yield f"{where}: wandb: needs the package wandb; pip install wandb, or set project: ~"
    elif not _reaches_wandb():
        yield f"{where}: wandb: nobody is logged in; run wandb login, set WANDB_MODE=offline, or project: ~"


def _reaches_wandb() -> bool:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun") or os.environ.get("WANDB_API_KEY"):
        return True
    import wandb  # type: ignore[import-not-found, unused-ignore]

    if "prompt" in signature(wandb.login).parameters:  # releases in which wandb.api is deprecated
        return bool(wandb.login(prompt=False))
    return bool(wandb.api.api_key)


def paired_image_faults(section: Mapping[str, Any], phase: str, where: str) -> Iterator[str]:
    """Check what BasicSR's PairedImageDataset reads beyond what all data sets have."""
    needed = ["dataroot_gt", "dataroot_lq", "io_backend"]
    if phase == "train":
        needed += ["gt_size", "use_hflip", "use_rot", "batch_size_per_gpu"]
        if "patch_stages" in section:
            yield (
                f"{where}: patch_stages: PairedImageDataset does not know them; set gt_size, use_hflip, use_rot and "
                "batch_size_per_gpu, or take type: DeblurPairDataset or SuperResolutionPairDataset"
            )
    for key in needed:
        if section.get(key) is None:
            yield f"{where}: {key}: missing"


def single_image_faults(
    content: Mapping[str, Any], metrics_with_truth: list[str], measures_alone: bool, where: str
) -> Iterator[str]:
    """Refuse metrics that a model of BasicSR's would measure against the ground truth of another picture.

    Args:
        content: The option file.
        metrics_with_truth: Names of its metrics that compare with a ground truth.
        measures_alone: Whether the model leaves such metrics out by itself, as those of this project do.
        where: File and section, for the messages.
    """
    if measures_alone or not metrics_with_truth:
        return
    for phase, section in content.get("datasets", {}).items():
        if isinstance(section, Mapping) and section.get("type") == "SingleImageDataset":
            yield (
                f"{where}: {phase}: SingleImageDataset has no ground truth, which val: metrics: "
                f"{', '.join(metrics_with_truth)} compares with; take the metric away, or another type"
            )
