"""The one entrance to the selective scan: checks, precision, and the call of a backend."""

import torch
from torch import Tensor

from deeprftv2_arch.ops.full_precision import without_autocast
from deeprftv2_arch.ops.scan.backends import BACKENDS, choose_backend

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


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
    """Scan selectively, with mamba_ssm's meaning and shapes; differentiable in every tensor.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t and y_t = C_t . h_t + D u_t, for every channel on its own, with
    h_{-1} = 0 (Gu and Dao, "Mamba", 2023, algorithm 2). Half-precision inputs are computed in float32, and in float64
    as soon as one input has it, also under autocast. Any strides, empty batches and empty sequences are fine. Which
    backend computes it: :mod:`deeprftv2_arch.ops.scan.backends`.

    Of mamba_ssm's arguments ``z`` (multiply by silu(z) yourself) and ``return_last_state`` do not exist, nor do complex
    A, constant B and C of shape (channels, states), and more than one group.

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
        ValueError: A tensor does not fit ``u`` and ``A`` in shape or device, or is not of a floating dtype; the message
            names it.
        OptionError: The backend that was chosen by name cannot serve; the message says why.
    """
    for name, x in (("u", u), ("delta", delta), ("A", A), ("B", B), ("C", C)):
        if not isinstance(x, Tensor):
            raise ValueError(f"selective_scan: {name} must be a tensor, got {type(x).__name__}")
    B, C = _without_group_axis(B), _without_group_axis(C)
    _check(u, delta, A, B, C, D, delta_bias)
    tensors = (u, delta, A, B, C, D, delta_bias)
    exact = any(x is not None and x.dtype == torch.float64 for x in tensors)
    precision = torch.float64 if exact else torch.float32
    backend = BACKENDS[choose_backend(u.device.type, precision, A.shape[1])]
    if u.numel() == 0:
        return _nothing(*tensors)

    dtype = u.dtype
    with without_autocast(u):
        if exact:
            u, delta, B, C = (x.double() for x in (u, delta, B, C))
        A = A.to(precision)
        D, delta_bias = (None if x is None else x.to(precision) for x in (D, delta_bias))
        return backend.scan(u, delta, A, B, C, D, delta_bias, delta_softplus).to(dtype)


def _without_group_axis(x: Tensor) -> Tensor:
    return x.squeeze(1) if x.dim() == 4 and x.shape[1] == 1 else x


def _nothing(u: Tensor, *others: Tensor | None) -> Tensor:
    """Return an empty result that gives every tensor a gradient, of zeros."""
    for other in others:
        if other is not None:
            u = u + other.sum().to(u.dtype)
    return u


def _check(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None
) -> None:
    if u.dim() != 3:
        raise ValueError(f"selective_scan: u must be (batch, channels, length), got {tuple(u.shape)}")
    if A.dim() != 2 or A.shape[1] == 0:
        raise ValueError(f"selective_scan: A must be (channels, states), with at least one state, got {tuple(A.shape)}")
    batch, channels, length = u.shape
    states = A.shape[1]
    expected = {
        "u": (u, (batch, channels, length)),
        "delta": (delta, (batch, channels, length)),
        "A": (A, (channels, states)),
        "B": (B, (batch, states, length)),
        "C": (C, (batch, states, length)),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            raise ValueError(f"selective_scan: {name} must be {shape} to fit u and A, got {tuple(tensor.shape)}")
        if tensor.dtype not in DTYPES:
            raise ValueError(f"selective_scan: {name} must be of a real floating dtype, got {tensor.dtype}")
        if tensor.device != u.device:
            raise ValueError(f"selective_scan: {name} is on {tensor.device} and u on {u.device}; move them together")
