"""The selective scan as the plain recurrence, in the dtype of its inputs: the backend ``reference``, for tests."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Compute y_t = C_t . h_t + D u_t with h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t and h_{-1} = 0.

    The arithmetic is in the dtype that PyTorch promotes the inputs to: half precision only if all of them have it.

    Args:
        u, delta: (batch, channels, length).
        A: (channels, states).
        B, C: (batch, states, length).
        D, delta_bias: (channels,).
        delta_softplus: Whether ``delta`` with its bias is passed through softplus.

    Returns:
        (batch, channels, length), in the dtype of ``u``.
    """
    given = [x for x in (u, delta, A, B, C, D, delta_bias) if x is not None]
    dtype = reduce(torch.promote_types, (x.dtype for x in given))
    step, x, A, B, C = (tensor.to(dtype) for tensor in (delta, u, A, B, C))
    if delta_bias is not None:
        step = step + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        step = F.softplus(step)
    state = x.new_zeros(*u.shape[:2], A.shape[1])
    outputs = []
    # Taken apart once: a slice per position would make the backward pass quadratic in the length.
    for x_t, step_t, b_t, c_t in zip(*(tensor.unbind(2) for tensor in (x, step, B, C)), strict=True):
        decay = torch.exp(step_t[:, :, None] * A)
        state = decay * state + (step_t * x_t)[:, :, None] * b_t[:, None]
        outputs.append((state * c_t[:, None]).sum(2))
    y = torch.stack(outputs, dim=2)
    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    return y.to(u.dtype)
