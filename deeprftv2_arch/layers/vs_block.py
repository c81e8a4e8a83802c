"""The visual state-space block of the Fourier Kernel Estimator: one selective scan over the pixels of a map."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.layers.layer_norm import LayerNorm2d
from deeprftv2_arch.layers.pointwise import PointwiseConv2d, pointwise
from deeprftv2_arch.ops import selective_scan
from deeprftv2_arch.ops.strips import by_strips

STATES = 8
SMALLEST_STEP, LARGEST_STEP = 1e-3, 1e-1  # range of the scan's step sizes at the start of training


class SelectiveScan2d(nn.Module):
    """Gated selective scan in row-major order, with a local convolution before it and one along the sequence.

        u = GELU(dw3x3(scan_proj f));  [dt, B, C] = dw7(x_proj u)
        y = scan(u, dt_proj dt, A, B, C, D);  out = out_proj(LN(y) * GELU(gate_proj f))

    The raw parameters have a leading axis that counts scan directions, of which there is one. The scan runs in float32
    or float64, whatever autocast says. 6d^2 + (76 + 4r)d + 8(r + 16) parameters, with r = ceil(d / 16).

    Args:
        channels: d; the layer maps (B, d, H, W) to (B, d, H, W) and scans 2d channels of 8 states.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.rank = math.ceil(channels / 16)
        projected = self.rank + 2 * STATES

        self.scan_proj = PointwiseConv2d(channels, inner, bias=False)
        self.gate_proj = PointwiseConv2d(channels, inner, bias=False)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.activation = nn.GELU()  # a module, since tools that count operations as the paper's count modules
        self.x_proj_weight = nn.Parameter(torch.empty(1, projected, inner))
        self.x_conv = nn.Conv1d(projected, projected, 7, padding=3, groups=projected)
        self.dt_proj_weight = nn.Parameter(torch.empty(1, inner, self.rank))
        self.dt_proj_bias = nn.Parameter(torch.empty(1, inner))
        self.A_log = nn.Parameter(torch.arange(1.0, STATES + 1, dtype=torch.get_default_dtype()).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = PointwiseConv2d(inner, channels, bias=False)
        self._initialise_projections()

    @torch.no_grad()
    def _initialise_projections(self) -> None:
        """Initialise as Mamba: softplus(dt_proj_bias) is log-uniform between the smallest and the largest step."""
        inner = self.x_proj_weight.shape[2]
        nn.init.uniform_(self.x_proj_weight, -(inner**-0.5), inner**-0.5)
        nn.init.uniform_(self.dt_proj_weight, -(self.rank**-0.5), self.rank**-0.5)
        step = torch.empty_like(self.dt_proj_bias).uniform_(math.log(SMALLEST_STEP), math.log(LARGEST_STEP)).exp()
        self.dt_proj_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus

    def forward(self, f: Tensor) -> Tensor:
        # As a contiguous tensor, (B, H, W, 2d), where GELU is twice as fast on a CPU as on a map in channels_last.
        u = self.activation(self.depthwise(self.scan_proj(f)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

        s = self.x_conv(pointwise(u, self.x_proj_weight[0, :, :, None, None]).flatten(2))
        dt, B, C = s.split([self.rank, STATES, STATES], dim=1)
        dt = dt[:, :, None].contiguous(memory_format=torch.channels_last)  # so that channels are fastest, as in u
        delta = pointwise(dt, self.dt_proj_weight[0, :, :, None, None]).flatten(2)
        y = selective_scan(
            u.flatten(2), delta, -self.A_log.exp(), B, C, self.D, delta_bias=self.dt_proj_bias[0], delta_softplus=True
        )
        return by_strips(self.gated_output, y.unflatten(2, f.shape[2:]), f)

    def gated_output(self, y: Tensor, f: Tensor) -> Tensor:
        """Compute out above, from the scan's output (B, 2d, H, W) and the layer's input."""
        gate = F.gelu(self.gate_proj(f).permute(0, 2, 3, 1))
        return self.out_proj((self.out_norm(y.permute(0, 2, 3, 1)) * gate).permute(0, 3, 1, 2))


class VSBlock(nn.Module):
    """x + SelectiveScan2d(LN(x)): the block of the Fourier Kernel Estimator's sub-resnet.

    Args:
        channels: d; the block maps (B, d, H, W) to (B, d, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.scan = SelectiveScan2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scan(self.norm(x))
