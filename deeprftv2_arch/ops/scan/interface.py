"""The one entrance to the selective scan: checks, precision, and the choice of a backend."""

import torch
import torch.nn.functional as F
from torch import Tensor

from deeprftv2_arch.ops.full_precision import at_least_float32, without_autocast
from deeprftv2_arch.ops.scan.chunked import selective_scan_chunked
from deeprftv2_arch.ops.scan.mamba import mamba_is_available, selective_scan_mamba


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Selective scan with mamba_ssm's meaning and shapes, differentiable in every tensor.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t and y_t = C_t . h_t + D u_t, for every channel on its own, with
    h_{-1} = 0. Half-precision inputs are computed in float32 and float64 in float64, also under autocast.

    Args:
        u: Input sequence, (batch, channels, length).
        delta: Step sizes, (batch, channels, length).
        A: Decay rates, normally negative, (channels, states).
        B: Input projections, (batch, states, length), or with one group axis: (batch, 1, states, length).
        C: Output projections, shaped as B.
        D: Skip weights, (channels,).
        delta_bias: Added to ``delta``, (channels,).
        delta_softplus: Pass ``delta`` (with its bias) through softplus.

    Returns:
        (batch, channels, length), in the dtype of ``u``.

    Raises:
        ValueError: A tensor has a shape that does not fit ``u`` and ``A``; the message names it.
    """
    B, C = _without_group_axis(B), _without_group_axis(C)
    _check_shapes(u, delta, A, B, C, D, delta_bias)
    result_dtype = u.dtype
    with without_autocast(u):
        u, delta, A, B, C = (at_least_float32(x) for x in (u, delta, A, B, C))
        if delta_bias is not None:
            delta = delta + at_least_float32(delta_bias)[:, None]
        if delta_softplus:
            delta = F.softplus(delta)
        # mamba_ssm knows no float64.
        backend = selective_scan_chunked
        if u.is_cuda and u.dtype == torch.float32 and mamba_is_available():
            backend = selective_scan_mamba
        y = backend(u, delta, A, B, C)
        if D is not None:
            y = y + at_least_float32(D)[:, None] * u
    return y.to(result_dtype)


def _without_group_axis(x: Tensor) -> Tensor:
    return x.squeeze(1) if x.dim() == 4 and x.shape[1] == 1 else x


def _check_shapes(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None
) -> None:
    if u.dim() != 3:
        raise ValueError(f"selective_scan: u must be (batch, channels, length), got {tuple(u.shape)}")
    if A.dim() != 2:
        raise ValueError(f"selective_scan: A must be (channels, states), got {tuple(A.shape)}")
    batch, channels, length = u.shape
    states = A.shape[1]
    expected = {
        "delta": (delta, (batch, channels, length)),
        "A": (A, (channels, states)),
        "B": (B, (batch, states, length)),
        "C": (C, (batch, states, length)),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"selective_scan: {name} must be {shape} to fit u and A, got {tuple(tensor.shape)}")
