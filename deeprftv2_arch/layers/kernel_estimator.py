"""The Fourier Kernel Estimator (FKE): estimates a blur kernel per channel and applies it, in Fourier space."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.block_stack import BlockKind
from deeprftv2_arch.layers.layer_norm import LayerNorm2d
from deeprftv2_arch.layers.pointwise import PointwiseConv2d
from deeprftv2_arch.layers.reversible_column import sub_resnet
from deeprftv2_arch.layers.tiling import TileGrid
from deeprftv2_arch.ops.fourier import irfft2, rfft2
from deeprftv2_arch.ops.full_precision import without_autocast
from deeprftv2_arch.ops.reversible import Memory, call, keeps_between_columns


class FourierKernelEstimator(nn.Module):
    """Estimate kernels k in Fourier space from features f, multiply the spectrum of f by them, and merge the result.

        A = F(to_kernel f);  Y = F(to_blurred f);  r_0.. = sub_resnet(stem[Re A, Im A]; r^prev)
        [Re K, Im K] = kernel_head(LN(r_last));  d = F^-1(Y * K);  out = merge[d, f]

    The product is that of complex numbers, per channel. The reversible sub-resnet works on (H, W/2 + 1) frequencies;
    what lies in Fourier space runs in float32 or float64, whatever autocast says. It can be put into any network:

    >>> import torch
    >>> from deeprftv2_arch import FourierKernelEstimator
    >>> features = torch.rand(1, 16, 24, 32)  # of some network, (B, dim, H, W)
    >>> first = FourierKernelEstimator(dim=16)
    >>> deblurred, kernel_features = first(features)
    >>> second = FourierKernelEstimator(dim=16, first=False)  # further on, with what the first one found
    >>> deblurred, kernel_features = second(deblurred, kernel_features)
    >>> deblurred.shape, len(kernel_features), kernel_features[-1].shape
    (torch.Size([1, 16, 24, 32]), 4, torch.Size([1, 16, 24, 17]))

    Args:
        dim: Channels of f and of the estimator.
        counts: Blocks of every level of the sub-resnet.
        kind: Kind of the sub-resnet's blocks.
        first: Whether no estimator of the same scale comes before this one.
        memory: How much the sub-resnet, and what lies before it, keeps for the backward pass.

    Attributes:
        window: Height and width of the windows in which larger maps are worked on, each with a spectrum of its own:
            side by side in training, overlapping and blended in eval mode. None, as at first, for whole maps.
        window_overlap: Pixels that neighbouring windows share in eval mode.

    Raises:
        OptionError: ``dim`` or an entry of ``counts`` is below 1, there are no levels, or no such kind or memory mode.
    """

    def __init__(
        self,
        dim: int,
        counts: Sequence[int] = (1, 1, 1, 1),
        kind: BlockKind = "VS",
        first: bool = True,
        memory: Memory = "none",
    ) -> None:
        super().__init__()
        _check_arguments(dim, counts)
        self.keep = keeps_between_columns(memory)
        self.window: int | None = None
        self.window_overlap = 0
        self.to_kernel = PointwiseConv2d(dim, dim, bias=False)
        self.to_blurred = PointwiseConv2d(dim, dim, bias=False)
        self.stem = PointwiseConv2d(2 * dim, dim, bias=False)
        self.sub_resnet = sub_resnet(dim, counts, kind, first, memory)
        self.norm = LayerNorm2d(dim)
        self.kernel_head = PointwiseConv2d(dim, 2 * dim)
        self.merge = PointwiseConv2d(2 * dim, dim, bias=False)

    def forward(self, f: Tensor, previous: Sequence[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """Deblur features.

        Args:
            f: (B, dim, H, W); an odd height or width is made even by reflection at the bottom or the right.
            previous: The features r_0.. of the estimator before this one at the same scale; None of the first one.

        Returns:
            The deblurred features (B, dim, H, W), and r_0.. of this estimator, each (B, dim, H, W/2 + 1) of the even
            size; with windows (B windows, dim, h, w/2 + 1), window by window.

        Raises:
            OptionError: ``previous`` has another number of features than this estimator.
        """
        if self.window is None or max(f.shape[2:]) <= self.window:
            return self.deblur(f, previous)
        grid = TileGrid(f.shape[2:], self.window, 0 if self.training else self.window_overlap)
        windows = grid.cut(f)
        deblurred, features = self.deblur(torch.cat(windows), previous)
        return grid.join(deblurred.chunk(len(windows)), blend=not self.training), features

    def deblur(self, f: Tensor, previous: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Do as :meth:`forward` on whole maps."""
        height, width = f.shape[2:]
        if height % 2 or width % 2:
            deblurred, features = self.deblur(F.pad(f, (0, width % 2, 0, height % 2), mode="reflect"), previous)
            return deblurred[:, :, :height, :width], features
        x = call(self.to_sub_resnet, f, keep=self.keep)
        with without_autocast(f):
            kernel, features = self.estimate_kernel(x, previous)
        return self.apply_kernel(f, kernel), features

    def to_sub_resnet(self, f: Tensor) -> Tensor:
        """Turn features f into the sub-resnet's input, (B, dim, H, W/2 + 1)."""
        source = self.to_kernel(f)
        with without_autocast(f):
            return self.stem(_planes(rfft2(source)))

    def estimate_kernel(self, x: Tensor, previous: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Turn the sub-resnet's input into complex kernels (B, dim, H, W/2 + 1) and the features r_0.. ."""
        depth = len(self.sub_resnet.levels)
        if previous is not None and len(previous) != depth:
            raise OptionError(
                f"FourierKernelEstimator: the estimator before this one has {len(previous)} features, this one "
                f"{depth}; give both the same counts"
            )
        features = self.sub_resnet(
            x,
            previous=previous or [None] * depth,
            links=[*previous[1:], None] if previous else [None] * depth,
        )
        return self.to_spectrum(self.kernel_head(self.norm(features[-1]))), features

    def to_spectrum(self, head: Tensor) -> Tensor:
        """Turn the head's output (B, 2 dim, H, W/2 + 1) into complex kernels (B, dim, H, W/2 + 1)."""
        real, imaginary = head.chunk(2, dim=1)
        return torch.complex(real, imaginary)

    def apply_kernel(self, f: Tensor, kernel: Tensor) -> Tensor:
        """Deblur features (B, dim, H, W) by the kernels, and merge the result with them."""
        height, width = f.shape[2:]
        blurred = self.to_blurred(f)
        with without_autocast(f):
            deblurred = irfft2(self.product(rfft2(blurred), kernel), (height, width)).to(f.dtype)
        return self.merge(_concatenated(deblurred, f))

    def product(self, spectrum: Tensor, kernel: Tensor) -> Tensor:
        """Multiply the features' spectrum Y by the kernels K."""
        return spectrum * kernel


def _planes(spectrum: Tensor) -> Tensor:
    """Put the real parts of a complex (B, C, H, W) before its imaginary ones, (B, 2 C, H, W), in ``channels_last``."""
    return torch.view_as_real(spectrum).permute(0, 2, 3, 4, 1).flatten(3).permute(0, 3, 1, 2)


def _concatenated(*maps: Tensor) -> Tensor:
    """Concatenate channels in ``channels_last``, whatever the format of a Fourier transform's result."""
    return torch.cat([x.permute(0, 2, 3, 1) for x in maps], dim=3).permute(0, 3, 1, 2)


def _check_arguments(dim: int, counts: Sequence[int]) -> None:
    if dim < 1:
        raise OptionError(f"FourierKernelEstimator: dim must be at least 1, got {dim}")
    is_list = isinstance(counts, Sequence) and not isinstance(counts, str)
    if not is_list or not counts or any(not isinstance(count, int) or count < 1 for count in counts):
        raise OptionError(
            "FourierKernelEstimator: counts must be a list with the number of blocks of every level, each at least 1, "
            f"got {counts!r}"
        )
