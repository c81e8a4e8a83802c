"""The selective scan as a user could have it without this package: a Python loop, or the parallel scan of mambapy.

Both take the arguments of :func:`deeprftv2_arch.ops.selective_scan` and hold tensors of batch x channels x length x
states numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _steps(delta: Tensor, delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    return F.softplus(delta) if delta_softplus else delta


def sequential_loop(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Scan one position after the other, as mamba_ssm's own reference, with all decays and inputs made beforehand.

    They are taken apart by ``unbind``, which is kinder to the loop: with a slice per position its backward pass would
    be quadratic in the length.
    """
    step = _steps(delta, delta_bias, delta_softplus)
    decays = torch.exp(torch.einsum("bdl,dn->bdln", step, A)).unbind(2)
    inputs = torch.einsum("bdl,bnl,bdl->bdln", step, B, u).unbind(2)
    state = torch.zeros_like(inputs[0])
    outputs = []
    for decay, new, c in zip(decays, inputs, C.unbind(2), strict=True):
        state = decay * state + new
        outputs.append(torch.einsum("bdn,bn->bd", state, c))
    y = torch.stack(outputs, dim=2)
    return y if D is None else y + u * D[:, None]


def mambapy_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Scan as the package mambapy does in parallel, in its own layout (batch, length, channels, states)."""
    from mambapy.pscan import pscan

    step = _steps(delta, delta_bias, delta_softplus)
    step, x, b, c = (tensor.transpose(1, 2).contiguous() for tensor in (step, u, B, C))
    decays = torch.exp(step[..., None] * A)
    states = pscan(decays, step[..., None] * b[:, :, None] * x[..., None])
    y: Tensor = (states @ c[..., None])[..., 0]
    return (y if D is None else y + D * x).transpose(1, 2)
