"""First weights of a kernel estimator that is to learn in a few thousand steps instead of hundreds of thousands."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deeprftv2_arch.checkpoints.io import save_atomically
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator

SPREAD = 0.5  # standard deviation of what the heads return, at which neither softmax nor sigmoid saturates


@torch.no_grad()
def write_first_weights(blurred: Tensor, seed: int, path: Path, width: int, kernel_size: int) -> None:
    """Writes weights with which codes depend on the detail of a picture from the first step on.

    With PyTorch's own, the biases of so many layers outweigh what a picture adds, and the estimator begins by learning
    one kernel for all pictures. Here biases are zero, the first filters do not see the brightness, and every layer
    keeps the variance of its input (He et al., ICCV 2015).

    Args:
        blurred: (B, 3, H, W) pictures in 0..1, by which the heads are scaled.
        seed: Of the weights.
        path: File of the weights.
        width: Of the estimator.
        kernel_size: Of the estimator.
    """
    estimator = UncertainKernelEstimator(width, kernel_size)
    generator = torch.Generator().manual_seed(seed)
    convolutions = [part for part in estimator.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in convolutions:
        inputs = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.in_channels * 9 / 4
        layer.weight.normal_(0, np.sqrt(2 / inputs), generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
    convolutions[0].weight -= convolutions[0].weight.mean(dim=(2, 3), keepdim=True)
    for head in (estimator.mean_head, estimator.sigma_head):
        returned: list[Tensor] = []
        handle = head.register_forward_hook(lambda module, inputs, output, into=returned: into.append(output))
        estimator(blurred)
        handle.remove()
        last: Any = head[-1]
        last.weight *= SPREAD / returned[0].std()
    save_atomically({"params": estimator.state_dict()}, path)
