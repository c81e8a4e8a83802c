"""What networks have in common that are told the blur kernel of every pixel by a trained kernel estimator."""

from abc import ABC, abstractmethod
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.layers.kernel_field import decode_kernel_field
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.protocol import NetworkTraits
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator


class KernelGuidedNetwork(nn.Module, ABC):
    """A network with a kernel estimator and a flow prior, both frozen: no gradients, always in eval mode.

    Sub-classes restore, in :meth:`deblur`. Codes of kernels are drawn, so that a result is somewhat random in eval mode
    as in training, unless ``samples`` is 0, or ``seed`` or a generator is given.

    Args:
        estimator: Estimates codes.
        flow: Decodes them.
        size_multiple: Of what :meth:`deblur` takes height and width to be multiples.
        samples: 0: every code is the mean of its distribution; 1: it is drawn once, as in the paper; more: the image
            of eval mode is the mean of what so many draws give. Training draws once unless ``samples`` is 0.
        seed: In eval mode every call draws the same noise, on devices of one kind; None: every call draws anew.

    Raises:
        OptionError: An argument is out of range, or estimator and flow have kernels of different sizes.
    """

    def __init__(
        self,
        estimator: UncertainKernelEstimator,
        flow: KernelFlow,
        size_multiple: int,
        samples: int = 1,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        if samples < 0:
            raise OptionError(f"{self.name}: samples must be at least 0, got {samples}")
        if estimator.kernel_size != flow.kernel_size:
            raise OptionError(
                f"{self.name}: the estimator has kernel_size {estimator.kernel_size}, the flow {flow.kernel_size}; "
                "they must be the same"
            )
        self.estimator = estimator.requires_grad_(False).eval()
        self.flow = flow.requires_grad_(False).eval()
        self.size_multiple = size_multiple
        self.samples = samples
        self.seed = seed

    def train(self, mode: bool = True) -> "KernelGuidedNetwork":
        """Choose the mode as of every module, but keep the frozen parts in eval mode."""
        super().train(mode)
        self.estimator.eval()
        self.flow.eval()
        return self

    @property
    def kernel_size(self) -> int:
        """Height and width of the kernels."""
        return self.flow.kernel_size

    @property
    def traits(self) -> NetworkTraits:
        """What callers have to know of the network."""
        return NetworkTraits(size_multiple=self.size_multiple, training_multiple=self.size_multiple)

    @overload
    def forward(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        supervise: Literal[False] = False,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        supervise: Literal[True],
    ) -> dict[str, Tensor]: ...

    def forward(
        self,
        x: Tensor,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        supervise: bool = False,
    ) -> Tensor | dict[str, Tensor]:
        """Restore blurred images.

        Args:
            x: (B, 3, H, W), RGB in 0..1, of any size above half of ``size_multiple``: it is padded by reflection at
                the bottom and the right to multiples of that, and cropped back.
            noise: Standard normal noise (B, D, H', W') of the padded size, D = kernel_size**2, that a single draw takes
                instead of its own, whatever ``samples``.
            generator: Draws the noise, image by image and row by row; by default PyTorch's own, or one with
                ``seed``.
            supervise: Whether to return also the kernels, for losses that compare what they make of sharp images.

        Returns:
            The restored images (B, 3, H, W) in 0..1. With ``supervise`` these as ``restored``, and as ``kernels`` the
            kernel field (B, D, H, W) that they were restored with, which has no gradients.

        Raises:
            OptionError: ``x`` is not RGB, or the noise is of another shape.
            DataError: ``x`` is too small to be padded by reflection.
        """
        height, width = self._check_input(x)
        x = self._padded(x)
        codes = self._estimate_codes(x)
        generator = generator or self._own_generator(x)
        if supervise:
            kernels = self._draw_kernels(codes, noise, generator)
            restored = self.deblur(x, kernels).clamp(0, 1)
            return {"restored": restored[:, :, :height, :width], "kernels": kernels[:, :, :height, :width]}
        draws = 1 if self.training or noise is not None else max(1, self.samples)
        restored = torch.zeros_like(x)
        for _ in range(draws):
            restored = restored + self.deblur(x, self._draw_kernels(codes, noise, generator)).clamp(0, 1) / draws
        return restored[:, :, :height, :width]

    @abstractmethod
    def deblur(self, x: Tensor, kernels: Tensor) -> Tensor:
        """Restore images of which the kernels are known.

        Args:
            x: (B, 3, H, W), RGB in 0..1, height and width multiples of ``size_multiple``.
            kernels: The kernel field (B, D, H, W).

        Returns:
            (B, 3, H, W), not clamped.
        """

    def estimate_kernels(
        self, x: Tensor, noise: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Estimate the kernel field (B, D, H, W) of blurred images, drawn once, or the mean code's if ``samples`` is 0.

        Arguments and errors as of :meth:`forward`. A generator in the same state gives the kernels that it restores
        with. Channel = row * kernel_size + column; the blurred image is about the correlation of the sharp one with
        these kernels.
        """
        height, width = self._check_input(x)
        x = self._padded(x)
        kernels = self._draw_kernels(self._estimate_codes(x), noise, generator or self._own_generator(x))
        return kernels[:, :, :height, :width]

    @torch.no_grad()
    def _estimate_codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.estimator(x)

    @torch.no_grad()
    def _draw_kernels(
        self, codes: tuple[Tensor, Tensor], noise: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        return decode_kernel_field(self.flow, *codes, noise, generator, mean_code=self.samples == 0)

    def _own_generator(self, x: Tensor) -> torch.Generator | None:
        if self.training or self.seed is None:
            return None
        return torch.Generator(x.device).manual_seed(self.seed)

    def _padded(self, x: Tensor) -> Tensor:
        below, right = (-side % self.size_multiple for side in x.shape[2:])
        padded = F.pad(x, (0, right, 0, below), mode="reflect")
        return padded.contiguous(memory_format=torch.channels_last)

    def _check_input(self, x: Tensor) -> tuple[int, int]:
        if x.dim() != 4 or x.shape[1] != 3:
            raise OptionError(f"{self.name} restores RGB images (B, 3, H, W), got a tensor of shape {tuple(x.shape)}")
        height, width = x.shape[2:]
        smallest = self.size_multiple // 2 + 1
        if min(height, width) < smallest:
            raise DataError(
                f"{self.name} restores images of at least {smallest}x{smallest} pixels, got {width}x{height}; "
                "pad smaller ones"
            )
        return height, width
