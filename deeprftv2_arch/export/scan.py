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

POSITIONS = 16  # of a chunk
CHUNKS = 16  # of a group: operators are worth their calls, and their results stay in a processor's cache


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
    states = A.shape[1]
    x, step, b, c = (at_least_float32(sequence).transpose(1, 2) for sequence in (u, delta, B, C))
    rates = at_least_float32(A).t()[:, None]
    if delta_bias is not None:
        step = step + delta_bias
    if delta_softplus:
        step = _softplus(step)

    def run_group(before: Tensor, group: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return _run_group(before, *group, rates)

    sequences = (_in_groups(step), _in_groups(step * x), *map(_states_first, map(_in_groups, (b, c))))
    _, y = scan(run_group, x.new_zeros(states, 1, batch, channels), sequences)
    y = y.unflatten(2, (CHUNKS, batch)).permute(3, 0, 2, 1, 4).reshape(batch, -1, channels)[:, :length]
    if D is not None:
        y = y + x * D
    return y.transpose(1, 2).to(u.dtype)


def _softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)), without the operator Softplus, which takes onnxruntime 75 times as long as exp."""
    e = torch.exp(-x.abs())
    rounded = 1 + e
    # log(1 + e) = log(rounded) up to rounding, which e / (rounded - 1) takes back.
    log = torch.where(rounded == 1, e, rounded.log() * (e / (rounded - 1)))
    return x.clamp(min=0) + log


def _in_groups(x: Tensor) -> Tensor:
    """Fold (batch, length, n) to (groups, positions, chunks batch, n), zero behind the end: states stay there."""
    batch, length, n = x.shape
    group = CHUNKS * POSITIONS
    groups = length // group + 2  # never one, which tracing would tell apart from more
    padded = F.pad(x, (0, 0, 0, groups * group - length)).reshape(batch, groups, CHUNKS, POSITIONS, n)
    return padded.permute(1, 3, 2, 0, 4).flatten(2, 3)


def _states_first(x: Tensor) -> Tensor:
    """Turn (groups, positions, chunks batch, states) into (groups, positions states, chunks batch, 1)."""
    return x.transpose(2, 3).flatten(1, 2)[..., None]


def _run_group(
    before: Tensor, step: Tensor, drive: Tensor, b: Tensor, c: Tensor, rates: Tensor
) -> tuple[Tensor, Tensor]:
    """Run one group of h_t = a_t h_{t-1} + x_t with a_t = exp(step_t A) and x_t = drive_t B_t, and its y_t = C_t . h_t.

    A state of all chunks is (states, chunks batch, channels), so that nothing but the small inputs is cut up.

    Args:
        before: The state before the group, (states, 1, batch, channels).
        step, drive: (positions, chunks batch, channels).
        b, c: (positions states, chunks batch, 1).
        rates: A as (states, 1, channels).

    Returns:
        The state at the end of the group, and y (positions, chunks batch, channels).
    """
    states, _, batch, channels = before.shape
    a = [torch.exp(step_t * rates) for step_t in step.split(1)]
    x = [drive_t * b_t for drive_t, b_t in zip(drive.split(1), b.split(states), strict=True)]
    end = x[0]
    for a_t, x_t in zip(a[1:], x[1:], strict=True):
        end = torch.addcmul(x_t, a_t, end)

    by_chunks = (CHUNKS, batch)
    over_chunks = torch.exp(step.sum(0) * rates).unflatten(1, by_chunks)
    befores = []
    for product, from_zero in zip(
        over_chunks.split(1, dim=1), end.unflatten(1, by_chunks).split(1, dim=1), strict=True
    ):
        befores.append(before)
        before = torch.addcmul(from_zero, product, before)

    state = torch.cat(befores, dim=1).reshape(states, -1, channels)
    outputs = []
    for a_t, x_t, c_t in zip(a, x, c.split(states), strict=True):
        state = torch.addcmul(x_t, a_t, state)
        outputs.append((c_t * state).sum(0, keepdim=True))
    # Laid out as the first one, which the loop insists on.
    return before.clone(memory_format=torch.contiguous_format), torch.cat(outputs)
