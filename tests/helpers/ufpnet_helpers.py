"""UFPNet's networks, small enough for tests, options for the trainings of its stages, and files that stages hand on."""

from pathlib import Path
from typing import Any

import torch
from launch_helpers import changed, data_section, training_options

from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator

SIZE = 5
FLOW: dict[str, Any] = {"kernel_size": SIZE, "blocks": 2, "hidden": 4}
ESTIMATOR: dict[str, Any] = {"width": 4, "kernel_size": SIZE}
UFPNET: dict[str, Any] = {
    "width": 4,
    "enc_blocks": [1, 1, 1],
    "dec_blocks": [1, 1, 1],
    "kernel_width": 4,
    "kernel_size": SIZE,
    "flow_blocks": 2,
    "flow_hidden": 4,
}
# Of four levels, every argument another one than the published.
NARROW: dict[str, Any] = {
    "width": 4,
    "enc_blocks": (1, 1, 1, 2),
    "middle_blocks": 2,
    "dec_blocks": (1, 2, 1, 1),
    "kernel_width": 4,
    "kernel_size": 3,
    "flow_blocks": 3,
    "flow_hidden": 5,
}


def write_stage(path: Path, kind: str, seed: int = 0, **changes: Any) -> Path:
    """Write what a stage hands on: a `flow`, an `estimator` or a whole `ufpnet` with random weights."""
    torch.manual_seed(seed)
    network: Any
    if kind == "flow":
        network = KernelFlow(**{**FLOW, **changes})
        for layer in network.layers[1::2]:  # what kernels have in logits, so that decoded ones are dark with some light
            layer.running_mean.fill_(-4)
    elif kind == "estimator":
        network = UncertainKernelEstimator(**{**ESTIMATOR, **changes})
    else:
        network = UFPNet(**{**UFPNET, **changes})
    torch.save({"params": network.state_dict()}, path)
    return path


def kernel_options(train: Path, val: Path, flow: Path | None, /, **changes: Any) -> dict[str, Any]:
    """Return options of six steps of the second stage."""
    options = training_options(
        train,
        val,
        name="tiny_kernel",
        model_type="KernelEstimationModel",
        network_g={"type": "UncertainKernelEstimator", **ESTIMATOR},
        network_flow={"type": "KernelFlow", **FLOW},
        path={
            "pretrain_network_flow": flow and str(flow),
            "resume_state": None,
            "ignore_resume_networks": ["network_flow"],
        },
        train__losses={"kernel": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}},
        datasets__train=data_section(
            train,
            patch_stages=[{"iters": 6, "patch_size": 16, "batch_size": 2}],
            batch_size_per_gpu=2,
            num_worker_per_gpu=0,
        ),
    )
    return changed(options, changes)


def ufpnet_options(
    train: Path, val: Path, estimator: Path | None, flow: Path | None, /, **changes: Any
) -> dict[str, Any]:
    """Return options of six steps of the third stage."""
    options = kernel_options(
        train,
        val,
        flow,
        name="tiny_ufpnet",
        model_type="UFPNetModel",
        network_g={"type": "UFPNet", **UFPNET},
        path={
            "pretrain_network_kernel": estimator and str(estimator),
            "pretrain_network_flow": flow and str(flow),
            "resume_state": None,
        },
        train__losses={"psnr": {"type": "PSNRLoss", "loss_weight": 1.0}},
        train__reblur_losses={"reblur": {"type": "L1Loss", "loss_weight": 0.01, "reduction": "mean"}},
    )
    del options["network_flow"]
    return changed(options, changes)
