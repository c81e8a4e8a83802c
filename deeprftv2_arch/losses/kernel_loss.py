"""How far estimated kernels are from the one that explains a patch best: distance in kernels, not in images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.ops.full_precision import at_least_float32, without_autocast


class LeastSquaresKernelLoss(nn.Module):
    """Squared length of the step from every kernel towards the least-squares kernel of its patch.

        loss_weight * mean over kernels of |(H + damping I)^-1 (H K - b)|^2,  H = sum w w^T,  b = sum w y

    The sums run over the pixels and channels of a patch whose windows ``w`` of the sharp image lie inside it, and ``y``
    is the blurred pixel. This is one step of Levenberg and Marquardt's method on the squared error of blurring again,
    at whose end that error is least; no kernel is known. Gradients of the error itself learn the width of a blur soon
    and its direction late: photographs are smooth, so that the eigenvalues of H span five orders of magnitude, and
    those along which directions of motion differ are small ones. The step weighs all alike, down to those that noise
    hides, below ``damping``.

    The blur is taken to be the same all over a patch; where it is not, the step leads to a mixture.

    Args:
        loss_weight: Factor of the result.
        damping: Above 0, in units of H, whose images have values of 0..1.

    Raises:
        OptionError: ``damping`` is not above 0.
    """

    def __init__(self, loss_weight: float = 1.0, damping: float = 0.1) -> None:
        super().__init__()
        if not 0 < damping < math.inf:
            raise OptionError(f"LeastSquaresKernelLoss: damping must be above 0, got {damping}")
        self.loss_weight = loss_weight
        self.damping = damping

    def forward(self, sharp: Tensor, kernels: Tensor, blurred: Tensor) -> Tensor:
        """Measure kernels of patches.

        Args:
            sharp: (B, C, H, W), not smaller than a kernel.
            kernels: (B, D, h, w), D = kernel_size**2: of the patch's pixels, or of any number of them.
            blurred: (B, C, H, W).

        Returns:
            A scalar, in float32, or in float64 if an input is.
        """
        with without_autocast(kernels):
            sharp, kernels, blurred = (at_least_float32(x) for x in (sharp, kernels, blurred))
            hessian, target = normal_equations(sharp, blurred, math.isqrt(kernels.shape[1]))
            damped = hessian + self.damping * torch.eye(len(hessian[0]), dtype=hessian.dtype, device=hessian.device)
            error = hessian @ kernels.flatten(2) - target[:, :, None]
            step = torch.linalg.solve(damped, error)
            return self.loss_weight * step.square().sum(dim=1).mean()


@torch.no_grad()
def normal_equations(sharp: Tensor, blurred: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return H (B, D, D) and b (B, D): the least-squares kernel K of a patch solves H K = b; see the loss."""
    batch, channels, height, width = sharp.shape
    radius = size // 2
    inner = blurred[:, :, radius : height - radius, radius : width - radius]
    windows = F.unfold(sharp.reshape(batch * channels, 1, height, width), size)  # (B C, D, pixels)
    hessian = (windows @ windows.transpose(1, 2)).unflatten(0, (batch, channels)).sum(dim=1)
    target = (windows @ inner.reshape(batch * channels, -1, 1)).unflatten(0, (batch, channels)).sum(dim=1)
    return hessian, target[:, :, 0]
