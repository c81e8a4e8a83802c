"""Windows of estimators and of channel attention in a form that can be traced once for all sizes.

How many windows a map has depends on its size, and so do loops over them and branches for maps that are smaller than a
window. Here all windows are one batch, found by tables of positions, which a graph computes from the size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.local_pooling import LocalMeanPool
from deeprftv2_arch.ops.full_precision import at_least_float32


def replace_windows(network: nn.Module) -> None:
    """Put modules that can be traced in the place of all of a network that work in windows."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, FourierKernelEstimator) and child.window is not None:
                setattr(module, name, WindowedEstimator(child, child.window))
            elif isinstance(child, LocalMeanPool):
                setattr(module, name, AnySizeMeanPool(child.window))


class AnySizeMeanPool(nn.Module):
    """What a :class:`LocalMeanPool` computes.

    Args:
        window: Height and width of the window in pixels.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, C, H, W) to (B, C, H, W)."""
        return self._sliding_mean(self._sliding_mean(at_least_float32(x), 3), 2).to(x.dtype)

    def _sliding_mean(self, x: Tensor, axis: int) -> Tensor:
        length = x.shape[axis]
        window: Any = torch.sym_min(self.window, length)
        start = (torch.arange(length, device=x.device) - (window - 1) // 2).clamp(0, length - window)
        sums = torch.cat([torch.zeros_like(x.narrow(axis, 0, 1)), x.cumsum(dim=axis)], dim=axis)
        means: Tensor = (sums.index_select(axis, start + window) - sums.index_select(axis, start)) / window
        return means


class WindowedEstimator(nn.Module):
    """What a :class:`FourierKernelEstimator` with windows computes in eval mode, on maps of even height and width.

    Args:
        estimator: It, not a copy of it, is used.
        window: Height and width of its windows, even.
    """

    def __init__(self, estimator: FourierKernelEstimator, window: int) -> None:
        super().__init__()
        self.estimator = estimator
        self.window, self.overlap = window, estimator.window_overlap

    def forward(self, f: Tensor, previous: Sequence[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """Deblur as :meth:`FourierKernelEstimator.forward`."""
        batch, channels, height, width = f.shape
        rows = _WindowsOfAxis(height, self.window, self.overlap, f)
        # Never one window in all, which tracing would tell apart from more; narrow maps get one twice.
        columns = _WindowsOfAxis(width, self.window, self.overlap, f, least=2)
        cut = f[:, :, rows.position][..., columns.position]
        windows = cut.permute(2, 4, 0, 1, 3, 5).flatten(0, 2)

        x = self.estimator.to_sub_resnet(windows)
        kernel, features = self.estimator.estimate_kernel(x, previous)
        deblurred = self.estimator.apply_kernel(windows, kernel)

        deblurred = deblurred.reshape(rows.count, columns.count, batch, channels, rows.side, columns.side)
        return columns.join(rows.join(deblurred.permute(2, 3, 0, 4, 1, 5), 2), 3), features


class _WindowsOfAxis:
    """Where the windows along one axis lie, as :class:`~deeprftv2_arch.layers.tiling.TileGrid` says.

    Args:
        length: Of the map.
        window: Length of a window of a map that is not shorter.
        overlap: What neighbouring windows share, but for the last two, which may share more.
        like: A tensor of the type and the device that weights are to have.
        least: The least number of windows.

    Attributes:
        count: Number of windows.
        side: Length of each.
        position: Of every pixel of every window in the map, (count, side).
    """

    def __init__(self, length: int, window: int, overlap: int, like: Tensor, least: int = 1) -> None:
        self.length, self.step = length, window - overlap
        self.most = -(-window // self.step)  # windows that cover a pixel, beside the last one
        self.side: Any = torch.sym_min(window, length)
        # Rounded up; written so that rounding to zero, as ONNX does, is right where it is negative.
        self.count: Any = torch.sym_max(least - 1, (length - window + self.step - 1) // self.step) + 1
        self.pixels = torch.arange(length, device=like.device)
        number, within = (torch.arange(n, device=like.device) for n in (self.count, self.side))
        start = self._starts(number)
        self.position = start[:, None] + within
        shared = torch.where(number.eq(0), 0, self.side - start + self._starts(number - 1))
        shared_after = torch.where(number.eq(self.count - 1), 0, self.side + start - self._starts(number + 1))
        up = _ramp(within, shared[:, None].to(like.dtype))
        self.weights = up * _ramp(-within + (self.side - 1), shared_after[:, None].to(like.dtype))

    def _starts(self, number: Tensor) -> Tensor:
        """Return where windows begin: every ``step`` pixels, the last moved back to the border."""
        return (number * self.step).clamp(max=self.length - self.side)

    def join(self, x: Tensor, axis: int) -> Tensor:
        """Mix windows to a map, linearly where they overlap.

        Args:
            x: Has windows and the positions in them as the dimensions ``axis`` and ``axis + 1``.
            axis: Which dimension is to have the length of the map.
        """
        # The windows that cover a pixel are the last one, and some of those that lie regularly.
        last = self.count - 1
        latest = (self.pixels // self.step).clamp(max=last - 1)
        numbers = [0 * self.pixels + last, *(latest - back for back in range(self.most))]
        weighted, weight_sum = [], []
        for number in numbers:
            within = self.pixels - self._starts(number)
            covers = (number >= 0) & (within >= 0) & (within < self.side)
            place = number.clamp(min=0), within.clamp(0, self.side - 1)
            weight = torch.where(covers, self.weights[place], 0)
            covering = x[(slice(None),) * axis + place]
            weighted.append(weight.reshape(-1, *[1] * (covering.dim() - axis - 1)) * covering)
            weight_sum.append(weight)
        total: Tensor = sum(weighted[1:], weighted[0])
        return total / sum(weight_sum[1:], weight_sum[0]).reshape(-1, *[1] * (total.dim() - axis - 1))


def _ramp(within: Tensor, shared: Tensor) -> Tensor:
    """Return weights of the positions in windows that share their beginnings: a line from 0 to 1, then 1.

    Args:
        within: Positions, (side,).
        shared: How many are shared, (count, 1); where it is one, its weight is a half.
    """
    line = torch.where(shared == 1, 0.5, within / (shared - 1).clamp(min=1))
    return torch.where(within < shared, line, 1.0)
