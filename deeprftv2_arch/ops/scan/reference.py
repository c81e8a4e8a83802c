"""The selective scan as the plain recurrence, in the dtype of its inputs. For tests."""

import torch
from torch import Tensor


def selective_scan_reference(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """y_t = C_t . h_t with h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t and h_{-1} = 0.

    Args:
        u, delta: (batch, channels, length).
        A: (channels, states).
        B, C: (batch, states, length).

    Returns:
        (batch, channels, length).
    """
    state = u.new_zeros(*u.shape[:2], A.shape[1])
    outputs = []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * u[:, :, t, None] * B[:, None, :, t]
        outputs.append((state * C[:, None, :, t]).sum(-1))
    return torch.stack(outputs, dim=2) if outputs else torch.zeros_like(u)
