"""The selective scan in plain operators and one loop, for graphs that run without this package.

A custom operator, as which the scan is traced, needs this package wherever a graph runs; a loop of Python's would fix
the length of the sequence. Here the loop over groups of positions is PyTorch's operator ``scan``, which is kept in
exported programs and becomes ONNX's Scan; inside a group, chunks of positions advance side by side, as in
:mod:`~deeprftv2_arch.ops.scan.chunked`. So a graph serves any length, and holds the states of one group at a time.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deeprftv2_arch.ops.full_precision import at_least_float32

CHUNK = 16  # positions of a chunk, and chunks of a group
GROUP = CHUNK**2  # positions


def chunked_scan_in_plain_operators() -> dict[Any, Callable[..., Any]]:
    """Return a table of decompositions for the scan's custom operator, whose second result is for gradients alone."""

    def chunked_scan(u: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        return selective_scan_in_groups(u, *others), u.new_zeros(())

    return {torch.ops.deeprftv2.chunked_scan.default: chunked_scan}


def selective_scan_in_groups(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Scan as :func:`~deeprftv2_arch.ops.scan.reference.selective_scan_reference`, without gradients."""
    from torch._higher_order_ops.scan import scan

    batch, channels, length = u.shape
    x, step, b, c = (at_least_float32(sequence).transpose(1, 2) for sequence in (u, delta, B, C))
    rates = at_least_float32(A).t()
    if delta_bias is not None:
        step = step + delta_bias
    if delta_softplus:
        step = F.softplus(step)

    def run_group(before: Tensor, group: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return _run_group(before, *group, rates)

    groups = tuple(_in_groups(sequence) for sequence in (step, step * x, b, c))
    _, y = scan(run_group, x.new_zeros(batch, A.shape[1], channels), groups)
    y = y.transpose(0, 1).reshape(batch, -1, channels)[:, :length]
    if D is not None:
        y = y + x * D
    return y.transpose(1, 2).to(u.dtype)


def _in_groups(x: Tensor) -> Tensor:
    """Fold (batch, length, n) to (groups, batch, chunks, positions, n), zero behind the end: states stay there."""
    batch, length, n = x.shape
    groups = length // GROUP + 2  # never one, which tracing would tell apart from more
    padded = F.pad(x, (0, 0, 0, groups * GROUP - length))
    return padded.reshape(batch, groups, CHUNK, CHUNK, n).transpose(0, 1)


def _run_group(
    before: Tensor, step: Tensor, drive: Tensor, b: Tensor, c: Tensor, rates: Tensor
) -> tuple[Tensor, Tensor]:
    """Run one group of h_t = a_t h_{t-1} + x_t with a_t = exp(step_t A) and x_t = drive_t B_t, and its y_t = C_t . h_t.

    Args:
        before: The state before the group, (batch, states, channels).
        step, drive: (batch, chunks, positions, channels).
        b, c: (batch, chunks, positions, states).
        rates: A as (states, channels).

    Returns:
        The state at the end of the group, and y (batch, chunks, positions, channels).
    """
    a = torch.exp(step[:, :, :, None] * rates).unbind(2)
    x = (drive[:, :, :, None] * b[..., None]).unbind(2)
    end = x[0]
    for a_t, x_t in zip(a[1:], x[1:], strict=True):
        end = torch.addcmul(x_t, a_t, end)

    befores = []
    over_chunks = torch.exp(step.sum(2)[:, :, None] * rates)
    for product, from_zero in zip(over_chunks.unbind(1), end.unbind(1), strict=True):
        befores.append(before)
        before = torch.addcmul(from_zero, product, before)

    state = torch.stack(befores, dim=1)
    outputs = []
    for a_t, x_t, c_t in zip(a, x, c.unbind(2), strict=True):
        state = torch.addcmul(x_t, a_t, state)
        outputs.append((c_t[:, :, None] @ state)[:, :, 0])
    return before, torch.stack(outputs, dim=2)
