"""Kernels that are added instead of multiplied (paper, Table 7)."""

from torch import Tensor

from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator


class AddedKernelEstimator(FourierKernelEstimator):
    """A Fourier Kernel Estimator with d = F^-1(Y + K) instead of F^-1(Y * K)."""

    def product(self, spectrum: Tensor, kernel: Tensor) -> Tensor:
        """Y + K."""
        return spectrum + kernel
