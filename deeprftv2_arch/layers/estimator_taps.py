"""What Fourier Kernel Estimators see and make while a network runs, read by forward hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator


@dataclass
class EstimatorTap:
    """What went through an estimator when it was last called.

    Attributes:
        blurred: ``to_blurred f``, the features whose spectrum is multiplied, (B, dim, H, W), of even sides.
        deblurred: The same features after that, (B, dim, H, W).
        kernel: The complex kernels K, (B, dim, H, W/2 + 1).
        features: r_0, the sub-resnet's input, and r_1.. of its levels, each (B, dim, H, W/2 + 1).
    """

    blurred: Tensor = field(default_factory=lambda: torch.empty(0))
    deblurred: Tensor = field(default_factory=lambda: torch.empty(0))
    kernel: Tensor = field(default_factory=lambda: torch.empty(0))
    features: list[Tensor] = field(default_factory=list)


def estimators(network: nn.Module) -> dict[str, FourierKernelEstimator]:
    """Return the estimators of a network by the names of their modules, in the order of the network."""
    return {name: part for name, part in network.named_modules() if isinstance(part, FourierKernelEstimator)}


@contextmanager
def tapped(parts: dict[str, FourierKernelEstimator]) -> Iterator[dict[str, EstimatorTap]]:
    """Record, in a with-block, what goes through estimators.

    Args:
        parts: The estimators by name, as :func:`estimators` returns them.

    Yields:
        The tap of each; filled when the network has run.
    """
    taps = {name: EstimatorTap() for name in parts}
    handles = [handle for name, part in parts.items() for handle in _tap(part, taps[name])]
    try:
        yield taps
    finally:
        for handle in handles:
            handle.remove()


def _tap(part: FourierKernelEstimator, tap: EstimatorTap) -> list[torch.utils.hooks.RemovableHandle]:
    def blurred(module: nn.Module, inputs: Any, output: Tensor) -> None:
        tap.blurred = output.detach()

    def features(module: nn.Module, inputs: tuple[Tensor], output: list[Tensor]) -> None:
        tap.features = [inputs[0].detach(), *(level.detach() for level in output)]

    def kernel(module: nn.Module, inputs: Any, output: Tensor) -> None:
        tap.kernel = part.to_spectrum(output.detach().float())

    def deblurred(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        tap.deblurred = inputs[0].detach().chunk(2, dim=1)[0]

    hooks: dict[nn.Module, Callable[..., None]] = {
        part.to_blurred: blurred,
        part.sub_resnet: features,
        part.kernel_head: kernel,
        part.merge: deblurred,
    }
    return [module.register_forward_hook(hook) for module, hook in hooks.items()]
